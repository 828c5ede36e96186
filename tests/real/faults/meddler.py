"""A proxy before a real LiteLLM in whose answers, requests and moments a test may meddle."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from aiohttp import web

ADDRESS: Final = "127.0.0.1"
_OWN: Final = {"host", "content-length", "transfer-encoding", "connection"}
# Every kind of call that registrars and brokers make.
WRITES: Final = ("create", "change", "delete")
READS: Final = ("ready", "look", "named", "table", "other")
ALL: Final = (*WRITES, *READS)


def kind(method: str, path: str, query: str) -> str:
    """Name what a call is."""
    if path == "/health/readiness":
        return "ready"
    if (method, path) == ("POST", "/model/new"):
        return "create"
    if (method, path) == ("POST", "/model/delete"):
        return "delete"
    if method == "PATCH" and path != "/model/registrar-nobody/update":
        return "change"
    if path == "/v2/model/info":
        named = "model=" in query or "wildcard_only" in query
        return "look" if "modelId=" in query else "named" if named else "table"
    return "other"


@dataclass
class Call:
    """One request on its way to LiteLLM."""

    kind: str
    request: web.Request
    body: bytes
    send: Callable[[], Awaitable[httpx.Response]] = field(repr=False)

    @property
    def row(self) -> str:
        """The id of the row that it writes or looks at; empty if it is about none."""
        path = self.request.path.split("/")
        if self.kind == "change":
            return path[2]
        if self.kind in ("create", "delete"):
            sent = json.loads(self.body)
            return str(sent.get("id") or sent.get("model_info", {}).get("id", ""))
        return self.request.query.get("modelId", "")

    async def forward(self) -> web.Response:
        """Have LiteLLM answer it."""
        answer = await self.send()
        return web.Response(
            status=answer.status_code,
            body=answer.content,
            content_type=answer.headers.get("content-type", "application/json").split(";")[0],
        )

    def cut(self) -> web.Response:
        """End its connection without an answer."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response()


How = Callable[[Call], Awaitable[web.StreamResponse]]


class Meddler:
    """Forwards what nobody meddles with; `met` counts what somebody did, by kind."""

    def __init__(self, target: str) -> None:
        self.met: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.healed = asyncio.Event()
        self.healed.set()
        self.port = 0
        self._target = target
        self._hows: dict[str, How] = {}
        # no connection is kept: LiteLLM might be closing it
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(trust_env=False, timeout=90, limits=limits)
        self._late: set[asyncio.Task[None]] = set()

    def meddle(self, how: How, *kinds: str) -> None:
        """Answer calls of these kinds so from now on."""
        self.healed.clear()
        self.met.clear()
        self._hows = {**self._hows, **dict.fromkeys(kinds, how)}

    def heal(self) -> None:
        """Forward everything again."""
        self._hows = {}
        self.healed.set()

    def later(self, call: Call) -> None:
        """Have a call carried out, if LiteLLM lives, whatever becomes of whoever made it."""

        async def carried_out() -> None:
            with contextlib.suppress(httpx.HTTPError):
                await call.send()

        task = asyncio.create_task(carried_out())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        body = await request.read()
        what = kind(request.method, request.path, request.query_string)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN}

        async def send() -> httpx.Response:
            url = self._target + request.path_qs
            return await self._client.request(request.method, url, content=body, headers=headers)

        call = Call(what, request, body, send)
        self.calls[what] += 1
        how = self._hows.get(what)
        try:
            if how is None:
                return await call.forward()
            self.met[what] += 1
            return await how(call)
        except httpx.HTTPError:  # LiteLLM itself is away
            return call.cut()

    async def close(self) -> None:
        """End what is under way."""
        for task in self._late:
            task.cancel()
        await self._client.aclose()


@asynccontextmanager
async def meddler(target: str) -> AsyncIterator[Meddler]:
    """Listen on a free port of loopback while inside."""
    made = Meddler(target)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", made.take)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, ADDRESS, 0).start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        made.heal()
        await runner.cleanup()
        await made.close()


def answering(status: int, body: Any = None, text: str = "", **headers: str) -> How:
    """Answer so without asking LiteLLM."""

    async def how(_: Call) -> web.StreamResponse:
        shown = text or json.dumps(body)
        kind_of_text = "text/html" if text else "application/json"
        return web.Response(status=status, text=shown, content_type=kind_of_text, headers=headers)

    return how


def after(how: How) -> How:
    """Have LiteLLM do it, and answer something else."""

    async def both(call: Call) -> web.StreamResponse:
        await call.forward()
        return await how(call)

    return both


async def lose(call: Call) -> web.StreamResponse:
    """Cut the connection in place of an answer."""
    return call.cut()


async def twice(call: Call) -> web.StreamResponse:
    """Have it done twice at the same time; the answer is the one that comes last."""
    answers = await asyncio.gather(call.forward(), call.forward())
    return answers[-1]


async def truncate(call: Call) -> web.StreamResponse:
    """Give half of the answer, and close."""
    whole = await call.forward()
    content = whole.body if isinstance(whole.body, bytes) else b""
    headers = {"Content-Type": whole.content_type, "Content-Length": str(len(content))}
    answer = web.StreamResponse(status=whole.status, headers=headers)
    await answer.prepare(call.request)
    await answer.write(content[: len(content) // 2])
    answer.force_close()
    if call.request.transport is not None:
        call.request.transport.close()
    return answer


def late(seconds: float) -> How:
    """Give the answer so much later."""

    async def how(call: Call) -> web.StreamResponse:
        answer = await call.forward()
        await asyncio.sleep(seconds)
        return answer

    return how
