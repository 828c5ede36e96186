"""The web application: from an HTTP request to what the desk is asked, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from sidecar.broker_contract import CONTRACT_HEADER
from webhook.broker.desk import Sent
from webhook.broker.limits import MAX_BODY
from webhook.broker.shapes import Answer, RefusedError, Rule
from webhook.serving import InHand, Port

# Seconds for a body to come in: it is 128 KiB at most, from within the cluster.
_BODY_SECONDS: Final = 10.0
# And for the head of a connection's first request, TLS's own handshake aside.
_HEAD_SECONDS: Final = 20.0


class Answering(Protocol):
    """What answers a call, whatever it is."""

    async def answer(self, sent: Sent, body: Callable[[], Awaitable[bytes]]) -> Answer:
        """Answer; `body` reads what is left of the call, and may raise RefusedError. Never raises."""


class App:
    """The port that registrars call; `stopping` is set from outside."""

    def __init__(self, desk: Answering, body_seconds: float = _BODY_SECONDS) -> None:
        self.stopping = False
        self.in_hand = InHand()
        self._desk = desk
        self._body_seconds = body_seconds
        # Connections on which a request has begun, and since when the others have been open.
        self._heard: set[web.RequestHandler] = set()
        self._silent: dict[web.RequestHandler, float] = {}

    def calls(self) -> web.Application:
        """Give an application without routes: what is no call of a registrar's is for the desk to refuse."""
        return web.Application(client_max_size=MAX_BODY, middlewares=[self._call])

    def end_silent(self, port: Port, now: float) -> None:
        """End connections on which no head of a request has come to its end for too long.

        (Between two requests aiohttp does so itself.) `now` is in seconds.
        """
        connections = set(port.connections)
        self._heard &= connections
        self._silent = {one: self._silent.get(one, now) for one in connections - self._heard}
        for one, since in self._silent.items():
            if now - since >= _HEAD_SECONDS and one.transport is not None:
                one.transport.abort()

    @web.middleware
    async def _call(self, request: web.Request, handler: Handler) -> web.StreamResponse:  # noqa: ARG002 - aiohttp hands in what its routes would do
        self._heard.add(request.protocol)
        path, _mark, query = request.raw_path.partition("?")
        sent = Sent(
            method=request.method,
            path=path,
            query=query,
            authorization=_one(request, "Authorization"),
            contract=_one(request, CONTRACT_HEADER),
            peer=request.remote or "",
        )
        with self.in_hand.one():
            answer = await self._desk.answer(sent, lambda: self._body(request))
        response = web.Response(
            status=answer.status, body=answer.body, headers=answer.headers, content_type="application/json"
        )
        # What was not read is not waited for; and while we stop the next call is another replica's.
        if self.stopping or not request.content.at_eof():
            response.force_close()
        return response

    async def _body(self, request: web.Request) -> bytes:
        """Read the body, within bounds. Raises RefusedError."""
        if "Content-Encoding" in request.headers:
            raise RefusedError(Rule.BODY_BAD, "Content-Encoding: none is allowed")
        size = request.content_length or 0
        if size > MAX_BODY:  # refused before it is read
            raise _too_large(f"found {size} bytes")
        try:
            async with asyncio.timeout(self._body_seconds):
                return await request.read()
        except TimeoutError:
            message = f"the body did not come in within {self._body_seconds:g} s"
            raise RefusedError(Rule.BODY_BAD, message) from None
        except web.HTTPRequestEntityTooLarge:
            raise _too_large("found more") from None
        except (ConnectionError, web.RequestPayloadError):
            message = "the body could not be read to its end"
            raise RefusedError(Rule.BODY_BAD, message) from None


def _too_large(found: str) -> RefusedError:
    return RefusedError(Rule.BODY_TOO_LARGE, f"{found}, allowed are up to {MAX_BODY} bytes")


def _one(request: web.Request, name: str) -> str | None:
    """Give a header; one that is there several times counts as their list (RFC 9110 section 5.3)."""
    values = request.headers.getall(name, [])
    return ", ".join(values) if values else None
