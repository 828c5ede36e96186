"""A model server that answers from a table, without any network."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from sidecar.contract import Credentials, Engine, PodIdentity, Settings
from sidecar.servers.server import ModelServer

HANGS: Final = object()
POD = PodIdentity("team", "qwen-0", "uid-1", "10.0.0.5")


class Canned:
    """Gives each path (of a GET, or written `POST /path`) its answer; a path without one is 404.

    An answer is a JSON value, a text, an `httpx.Response`, an exception to raise, or a callable of the
    request that gives one of these; `HANGS` is none at all. `calls` lists what was asked, `requests` how.
    """

    def __init__(self, routes: Mapping[str, Any]) -> None:
        self.routes = dict(routes)
        self.requests: list[httpx.Request] = []

    @property
    def calls(self) -> list[str]:
        """What was asked, in order."""
        return [_key(request) for request in self.requests]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.requests.append(request)
        answer = self.routes.get(_key(request), httpx.Response(404, json={"detail": "Not Found"}))
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            # One that was read once cannot be streamed again.
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        if isinstance(answer, str):
            return httpx.Response(200, content=answer.encode(errors="surrogatepass"))
        return httpx.Response(200, content=json.dumps(answer), headers={"Content-Type": "application/json"})

    async def reply(self, request: httpx.Request) -> httpx.Response:
        """Answer, or never."""
        if self.routes.get(_key(request)) is HANGS:
            self.requests.append(request)
            await asyncio.Event().wait()
        return self(request)

    def watched(
        self,
        engine: Engine,
        *,
        key: str | None = None,
        now: Callable[[], float] = time.monotonic,
        **settings: Any,
    ) -> ModelServer:
        """Give the registrar's view of this server, at 10.0.0.5:8000 unless set."""
        full = Settings(**{"cluster": "c", "engine": engine, "port": 8000, "nonce": "n", **settings})
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.reply))
        return ModelServer(full, POD, Credentials(server_api_key=key), client, now)


def _key(request: httpx.Request) -> str:
    return request.url.path if request.method == "GET" else f"{request.method} {request.url.path}"
