"""A proxy before LiteLLM that counts the registrar's calls and notes when rows were written."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import httpx
from aiohttp import web

_WRITES: Final = {"POST", "PATCH"}
_OWN: Final = {"host", "content-length", "transfer-encoding", "connection"}


class CountingProxy:
    """An async context manager.

    `calls` counts by method and path, `created` maps a model name to the times (asked, answered), `written`
    are the rows created and changed, each with the time it was answered. `spans` are the times from which to
    which LiteLLM had a call, with its method, address and body.
    """

    def __init__(
        self, *targets: str, writes: Callable[[str, str, bytes], None] = lambda _method, _path, _body: None
    ) -> None:
        """Forward to these replicas in turn; `writes` is told each call that may write, before it is made."""
        self.calls: Counter[str] = Counter()
        self.created: dict[str, tuple[float, float]] = {}
        self.written: list[tuple[float, dict[str, Any]]] = []
        self.spans: list[tuple[float, float, str]] = []
        self._targets = itertools.cycle(targets)
        self._writes = writes
        # uvicorn ends an idle connection after 5 s: one is given up before
        limits = httpx.Limits(keepalive_expiry=3.0)
        self._client = httpx.AsyncClient(trust_env=False, timeout=90, limits=limits)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None)
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self._runner.cleanup()
        await self._client.aclose()

    async def _pass(self, request: web.Request) -> web.Response:
        asked = time.monotonic()
        self.calls[f"{request.method} {request.path}"] += 1
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN}
        if request.method != "GET":
            self._writes(request.method, request.path, body)
        begun = time.monotonic()
        answer = await self._client.request(
            request.method, next(self._targets) + request.path_qs, content=body, headers=headers
        )
        what = f"{request.method} {request.path_qs} {body.decode(errors='replace')}"
        self.spans.append((begun, time.monotonic(), what))
        if request.path == "/model/new" and answer.status_code == 200:
            self.created[answer.json()["model_name"]] = (asked, time.monotonic())
        if request.method in _WRITES and answer.status_code == 200 and b"model_info" in body:
            self.written.append((time.monotonic(), json.loads(body)))
        return web.Response(
            status=answer.status_code,
            body=answer.content,
            content_type=answer.headers.get("content-type", "application/json").split(";")[0],
        )
