"""The registrar's own HTTP endpoint: /drain, /ready, /status and /metrics.

h11 parses, asyncio carries. One request a connection: the kubelet's probes and hooks keep none alive either.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import h11

from sidecar.contract import DRAIN_PATH, METRICS_PATH, NONCE_HEADER, READY_PATH, STATUS_PATH

MAX_CONNECTIONS: Final = 32
MAX_HEADER: Final = 16 * 1024
REQUEST_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 5.0
STOP_SECONDS: Final = 0.5

_BACKLOG: Final = 128
_MAX_PROBERS: Final = 16
_READS: Final = frozenset({"GET", "HEAD"})
_METHODS: Final = {
    DRAIN_PATH: frozenset({"GET", "POST"}),
    READY_PATH: _READS,
    STATUS_PATH: _READS,
    METRICS_PATH: _READS,
}
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    nonce: bytes
    agent: bytes
    peer: str


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: Mapping[str, Any] | bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = _JSON


class Endpoint:
    """Serves on the pod's address.

    `drain` is called for each /drain with the right nonce; it must join a drain under way, and its outcome is
    the answer. A client that goes away does not stop it. `metrics` gives a page after its content type.
    `wrong_nonce` is told the address of who asked without the nonce; an empty nonce is nobody's.
    """

    def __init__(
        self,
        nonce: str,
        *,
        drain: Callable[[], Awaitable[Mapping[str, Any]]],
        ready: Callable[[], bool],
        status: Callable[[], Mapping[str, Any]],
        metrics: Callable[[], tuple[str, bytes]],
        wrong_nonce: Callable[[str], None],
    ) -> None:
        self._nonce = nonce.encode()
        self._drain = drain
        self._ready = ready
        self._status = status
        self._metrics = metrics
        self._wrong_nonce = wrong_nonce
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        # Those whose request has not come in yet, oldest first.
        self._reading: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._drains: set[asyncio.Future[Mapping[str, Any]]] = set()
        self._probers: set[str] = set()

    @property
    def probers(self) -> frozenset[str]:
        """Give the addresses the kubelet called from: as its probe, or with the nonce; never loopback."""
        return frozenset(self._probers)

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port, which differs from `port` when that is 0. Raises OSError."""
        self._server = await asyncio.start_server(
            self._accept, host, port, limit=MAX_HEADER, backlog=_BACKLOG, reuse_address=True
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening; answers on their way get half a second, then every connection is closed."""
        if self._server is not None:
            self._server.close()
        for task in self._reading.values():
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=STOP_SECONDS)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._reading) >= MAX_CONNECTIONS:
            # Whoever holds connections without asking must not keep the kubelet's hook out.
            next(iter(self._reading.values())).cancel()
        # What is written is with the kernel when drain() returns, so that a connection can be dropped then.
        writer.transport.set_write_buffer_limits(0)
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._connections.add(task)
        self._reading[writer] = task
        task.add_done_callback(partial(self._close, writer))

    def _close(self, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        self._reading.pop(writer, None)
        writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER)
        # The client is gone, took too long (TimeoutError is an OSError), or cannot be answered any more.
        with suppress(OSError, h11.LocalProtocolError):
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    request = await _receive(connection, reader, _peer(writer))
            except h11.RemoteProtocolError as error:
                status = HTTPStatus(error.error_status_hint)
                await _send(connection, writer, _Answer(status, {"error": "malformed request"}))
                return
            self._reading.pop(writer, None)
            if request is not None:
                answer = await self._answer_or_fault(request)
                await _send(connection, writer, answer, bare=request.method == "HEAD")

    async def _answer_or_fault(self, request: _Request) -> _Answer:
        try:
            return await self._answer(request)
        except Exception as error:  # noqa: BLE001 - a fault of the registrar's own must not cost the pod its hook
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{request.path} failed", "exception": error}
            )
            return _Answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "internal error"})

    async def _answer(self, request: _Request) -> _Answer:
        methods = _METHODS.get(request.path)
        if methods is None:
            return _Answer(HTTPStatus.NOT_FOUND, {"error": "not found"})
        if request.method not in methods:
            allow = (("Allow", ", ".join(sorted(methods))),)
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "method not allowed"}, allow)
        if request.path == DRAIN_PATH:
            return await self._answer_drain(request)
        if request.path == STATUS_PATH:
            return _Answer(HTTPStatus.OK, self._status())
        if request.path == METRICS_PATH:
            content_type, page = self._metrics()
            return _Answer(HTTPStatus.OK, page, content_type=content_type)
        if request.agent.startswith(b"kube-probe/"):
            self._note(request.peer)
        ready = self._ready()
        return _Answer(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, {"ready": ready})

    async def _answer_drain(self, request: _Request) -> _Answer:
        if not self._nonce or not hmac.compare_digest(request.nonce, self._nonce):
            self._wrong_nonce(request.peer)
            return _Answer(HTTPStatus.FORBIDDEN, {"error": "wrong nonce"})
        self._note(request.peer)
        drain = asyncio.ensure_future(self._drain())
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)
        return _Answer(HTTPStatus.OK, await asyncio.shield(drain))

    def _note(self, peer: str) -> None:
        if peer and len(self._probers) < _MAX_PROBERS and not ipaddress.ip_address(peer).is_loopback:
            self._probers.add(peer)


async def _receive(connection: h11.Connection, reader: asyncio.StreamReader, peer: str) -> _Request | None:
    """Read one request with its body, which is dropped; None when the client closed before it was whole."""
    head: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                break
            connection.receive_data(await reader.read(MAX_HEADER))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.EndOfMessage):
            break
        elif not isinstance(event, h11.Data):
            return None
    if head is None:
        return None
    headers = dict(head.headers)
    return _Request(
        method=head.method.decode("ascii"),
        path=head.target.partition(b"?")[0].decode("ascii", "replace"),
        nonce=headers.get(NONCE_HEADER.lower().encode(), b""),
        agent=headers.get(b"user-agent", b""),
        peer=peer,
    )


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, answer: _Answer, *, bare: bool = False
) -> None:
    told = answer.body
    body = told if isinstance(told, bytes) else json.dumps(told, default=str).encode() + b"\n"
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        *answer.headers,
    ]
    head = connection.send(h11.Response(status_code=answer.status, headers=headers)) or b""
    # h11 frames no body for HEAD, so none may be handed to it.
    data = b"" if bare else connection.send(h11.Data(data=body)) or b""
    writer.write(head + data + (connection.send(h11.EndOfMessage()) or b""))
    async with asyncio.timeout(ANSWER_SECONDS):
        await writer.drain()


def _peer(writer: asyncio.StreamWriter) -> str:
    name = writer.get_extra_info("peername")
    if not name:  # gone before it was looked at
        return ""
    address = ipaddress.ip_address(name[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
