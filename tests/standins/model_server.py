"""What all stand-ins for model servers have in common, and a plain OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from tests.standins.listening import Listener

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CREATED: Final = 1795217707


class RefusedError(Exception):
    """A refusal: its status and JSON body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


class ModelServer:
    """An OpenAI-compatible server. Used as an async context manager, and refusing connections until `load`.

    `models` are the names it serves and may be changed at any time. `think` is how long an answer takes and
    `gap` how long there is between the `chunks` of a stream, in seconds. `address` is bound at once; port 0
    takes a free one. `keepalive`: how long an idle connection is kept, in seconds. `tls`: HTTPS.
    """

    owned_by = "stand-in"
    name = "openai"
    server_header: str | None = None

    def __init__(
        self,
        *models: str,
        address: tuple[str, int] = ("127.0.0.1", 0),
        api_key: str | None = None,
        think: float = 0.0,
        chunks: int = 5,
        gap: float = 0.0,
        keepalive: float = 75.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.models = list(models)
        self.api_key = api_key
        self.think = think
        self.chunks = chunks
        self.gap = gap
        self.running = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.answered = 0
        app = web.Application(middlewares=[self._guard])
        app.add_routes(self.routes())
        app.on_response_prepare.append(self._sign)
        self._listener = Listener(app, *address, keepalive=keepalive, tls=tls)

    async def __aenter__(self) -> Self:
        """Give the server, not yet listening."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut everything and free the port."""
        await self._listener.close()

    @property
    def url(self) -> str:
        """`http://HOST:PORT`."""
        return self._listener.url

    @property
    def port(self) -> int:
        """The port that is bound."""
        return self._listener.port

    async def load(self) -> Self:
        """Be ready: connections are accepted from now on."""
        await self._listener.listen()
        return self

    async def kill(self) -> None:
        """Be gone at once, as after SIGKILL: connections are cut, new ones refused. `load` may follow."""
        await self._listener.refuse()

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return [
            web.get("/v1/models", self.list_models, allow_head=False),
            web.post("/v1/chat/completions", self.chat),
        ]

    def cards(self) -> list[dict[str, Any]] | None:
        """Give `data` of /v1/models."""
        return [
            {"id": m, "object": "model", "created": CREATED, "owned_by": self.owned_by} for m in self.models
        ]

    async def list_models(self, _request: web.Request) -> web.Response:
        """GET /v1/models."""
        return web.json_response({"object": "list", "data": self.cards()})

    def check_model(self, model: str) -> None:
        """Raise RefusedError for a model that is not served."""
        if model not in self.models:
            message = f"The model '{model}' does not exist"
            raise RefusedError(
                404,
                {"error": {"message": message, "type": "invalid_request_error", "code": "model_not_found"}},
            )

    def check_key(self, request: web.Request) -> None:
        """Raise RefusedError for a wrong key."""
        if self.api_key is not None and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            message = "Incorrect API key provided"
            raise RefusedError(
                401,
                {"error": {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}},
            )

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions: says in its answer who it is; streamed if asked."""
        body = json.loads(await request.text())
        model = str(body.get("model", ""))
        self.check_model(model)
        with self._in_flight():
            if body.get("stream"):
                return await self._stream(request, model)
            await self.pause(self.think)
            self.answered += 1
            message = {"role": "assistant", "content": f"{self.name} on port {self.port}"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.json_response(_completion("chat.completion", model, choice) | {"usage": self.usage()})

    def usage(self) -> dict[str, Any]:
        """Give `usage` of a chat."""
        return {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}

    async def _stream(self, request: web.Request, model: str) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await self.pause(self.think)
        await answer.prepare(request)
        for number in range(self.chunks):
            delta = {"content": f"{number} "} if number else {"role": "assistant", "content": ""}
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            await answer.write(_event(_completion("chat.completion.chunk", model, choice)))
            await self.pause(self.gap)
        choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        await answer.write(_event(_completion("chat.completion.chunk", model, choice)))
        await answer.write(b"data: [DONE]\n\n")
        await answer.write_eof()
        self.answered += 1
        return answer

    async def pause(self, seconds: float) -> None:
        """Work so long on a request."""
        await asyncio.sleep(seconds)

    @contextmanager
    def _in_flight(self) -> Iterator[None]:
        self.running += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.running -= 1
            if not self.running:
                self.idle.set()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self.check_key(request)
            return await handler(request)
        except RefusedError as refused:
            return web.json_response(refused.body, status=refused.status)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            return self.no_route(error)

    async def _sign(self, _request: web.Request, answer: web.StreamResponse) -> None:
        """Send the Server header of the server that is played, or none."""
        answer.headers.popall("Server", None)
        if self.server_header is not None:
            answer.headers["Server"] = self.server_header

    def no_route(self, error: web.HTTPException) -> web.Response:
        """Answer a path or method that is not there."""
        return web.json_response({"detail": error.reason}, status=error.status)


def _completion(kind: str, model: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-0", "object": kind, "created": CREATED, "model": model, "choices": [choice]}


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()
