"""How a model server is asked: bounded in time and size, and every failure has its name."""

from __future__ import annotations

import copy
import json
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self

import httpx

from sidecar.reasons import Reason
from sidecar.servers.shapes import Ambiguous, Refused

POLL_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 1.0
# The largest answer asked for is Ollama's /api/show, which repeats the model's licence and tensors.
MAX_BODY: Final = 16 * 1024 * 1024

_TIMEOUT: Final = httpx.Timeout(POLL_SECONDS, connect=CONNECT_SECONDS)


class NoAnswerError(Exception):
    """The server gave no usable answer; `observation` says why."""

    def __init__(self, observation: Refused | Ambiguous) -> None:
        super().__init__(observation.detail)
        self.observation = observation


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer of any status."""

    status: int
    headers: httpx.Headers
    body: bytes

    def json_object(self) -> dict[str, Any] | None:
        """Give the body if it is a JSON object."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


class Ask:
    """Asks the server at `base_url` (`http://10.0.0.5:8000/prefix`), with its API key if it has one.

    Each request has a connection of its own: uvicorn closes idle ones after 5 s, when the next poll comes.
    `now` gives seconds on a clock that never goes back.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        api_key: str | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._base_url = base_url
        self._timeout = _TIMEOUT
        self.now = now
        # Named, so that the owner of an access log or an alert about refusals knows whose they are.
        self._headers = {"Connection": "close", "Accept": "*/*", "User-Agent": "litellm-registrar"}
        # A key that no header can hold is not sent: the server's 401 then names what is wrong.
        if api_key is not None and api_key.isascii() and api_key.isprintable():
            self._headers["Authorization"] = f"Bearer {api_key}"

    def patient(self, seconds: float) -> Self:
        """Give one that waits so long for an answer."""
        patient = copy.copy(self)
        patient._timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)  # noqa: SLF001 - of this class
        return patient

    async def get(self, path: str) -> Reply:
        """Give the answer, whatever its status. Raises NoAnswerError when there is none."""
        return await self._send("GET", path)

    async def post(self, path: str, payload: dict[str, Any]) -> Reply:
        """Send JSON and give the answer, whatever its status. Raises NoAnswerError when there is none."""
        return await self._send("POST", path, payload)

    async def wanted(self, path: str) -> dict[str, Any]:
        """Give the JSON object of a 200. Raises NoAnswerError on everything else."""
        return read(path, await self._send("GET", path))

    async def optional(self, path: str) -> dict[str, Any] | None:
        """Give the JSON object of a 200, None for another answer. Raises NoAnswerError when none comes."""
        reply = await self._send("GET", path)
        return reply.json_object() if reply.status == HTTPStatus.OK else None

    async def well(self, path: str) -> None:
        """Ask a health route; a server without this route is well. Raises NoAnswerError if it is not well."""
        reply = await self._send("GET", path)
        if reply.status not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            raise NoAnswerError(fault(path, reply))

    async def _send(self, method: str, path: str, payload: dict[str, Any] | None = None) -> Reply:
        try:
            request = self._client.build_request(
                method, self._base_url + path, headers=self._headers, json=payload, timeout=self._timeout
            )
            response = await self._client.send(request, stream=True, follow_redirects=False)
            try:
                body = await _body(path, response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswerError(failure(path, error)) from error
        return Reply(response.status_code, response.headers, body)


async def _body(path: str, response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY:
            raise NoAnswerError(Ambiguous(Reason.SERVER_BAD_ANSWER, f"{path}: more than {MAX_BODY} bytes"))
    return bytes(body)


def read(path: str, reply: Reply) -> dict[str, Any]:
    """Give the JSON object of a 200. Raises NoAnswerError on everything else."""
    if reply.status != HTTPStatus.OK:
        raise NoAnswerError(fault(path, reply))
    value = reply.json_object()
    if value is None:
        raise NoAnswerError(Ambiguous(Reason.SERVER_BAD_ANSWER, f"{path}: not a JSON object"))
    return value


def fault(path: str, reply: Reply) -> Ambiguous:
    """Name what an answer that is not 200 means. Bodies are never repeated: a 401 may hold the key."""
    if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        reason = Reason.SERVER_UNAUTHORIZED
    elif reply.status == HTTPStatus.NOT_FOUND:
        reason = Reason.SERVER_NO_MODEL_LIST
    elif reply.status == HTTPStatus.SERVICE_UNAVAILABLE and b"oading" in reply.body:
        # llama-server says "Loading model" on every route (llama.cpp, tools/server/server.cpp).
        reason = Reason.SERVER_LOADING
    elif reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        reason = Reason.SERVER_ERROR
    else:
        reason = Reason.SERVER_BAD_ANSWER
    return Ambiguous(reason, f"{path}: HTTP {reply.status}")


def failure(path: str, error: Exception) -> Refused | Ambiguous:
    """Name why no answer came."""
    found = tuple(causes(error))
    detail = f"{path}: {type(error).__name__}: {found[-1] or error}"
    if any(isinstance(cause, ConnectionRefusedError) for cause in found):
        return Refused(f"{path}: connection refused")
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in found):
        return Ambiguous(Reason.SERVER_BAD_TLS, detail)
    if isinstance(error, httpx.TimeoutException):
        return Ambiguous(Reason.SERVER_TIMEOUT, detail)
    if isinstance(error, httpx.ConnectError | httpx.InvalidURL | httpx.UnsupportedProtocol):
        return Ambiguous(Reason.SERVER_UNREACHABLE, detail)
    # Cut short, or not HTTP at all (plain HTTP spoken to a TLS port).
    return Ambiguous(Reason.SERVER_BAD_ANSWER, detail)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Give the error and all under it: httpx wraps httpcore's, that one anyio's, that one the system's."""
    yield error
    below: tuple[BaseException | None, ...] = (error.__cause__ or error.__context__,)
    if isinstance(error, BaseExceptionGroup):
        below = error.exceptions
    for cause in below:
        if cause is not None:
            yield from causes(cause)
