"""The pod's model server, watched at the address that is registered."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx

from sidecar.contract import Credentials, Engine, PodIdentity, Settings
from sidecar.reasons import Reason
from sidecar.servers import auto, engine, listing, readiness
from sidecar.servers.ask import CONNECT_SECONDS, POLL_SECONDS, Ask, NoAnswerError
from sidecar.servers.ollama import Ollama
from sidecar.servers.openai import GENERIC
from sidecar.servers.shapes import Ambiguous, Answer, Observation, Refused
from sidecar.servers.vllm import VLLM

_LOOPBACK: Final = ("127.0.0.1", "::1")


class ModelServer:
    """Asks one server; never for inference.

    `client` must verify certificates; its redirects and timeouts are not used. What costs extra requests
    (engine, version, modes, context lengths) is asked once and kept until the server refuses a connection.
    """

    def __init__(
        self, settings: Settings, identity: PodIdentity, credentials: Credentials, client: httpx.AsyncClient
    ) -> None:
        self._settings = settings
        self._pod_ip = identity.pod_ip
        self._base_url = base_url(settings, identity)
        self._ask = Ask(client, self._base_url, credentials.server_api_key)
        self._engine: engine.Engine | None = None

    @property
    def base_url(self) -> str:
        """Give the server's address as LiteLLM needs it, without /v1 and without a slash at its end."""
        return self._base_url

    async def observe(self) -> Observation:
        """Look at the server once: at most 5 s, and the timeout of its copied readiness probe on top."""
        seen = await self._poll()
        if isinstance(seen, Refused) and self._settings.host is None and await self._on_loopback():
            # It may have begun to listen between the two questions, so it is asked again.
            again = await self._poll()
            seen = (
                Ambiguous(Reason.SERVER_ON_LOOPBACK_ONLY, again.detail)
                if isinstance(again, Refused)
                else again
            )
        if isinstance(seen, Refused):
            self._engine = None
        check = self._settings.server_ready
        if isinstance(seen, Answer) and check is not None:
            failing = await readiness.failing(check, self._pod_ip)
            return seen if failing is None else Ambiguous(Reason.SERVER_NOT_READY, failing)
        return seen

    async def in_flight(self) -> int | None:
        """Give the requests running and waiting by the engine's gauges; None when that is unknown."""
        if self._engine is None:
            return None
        try:
            async with asyncio.timeout(POLL_SECONDS):
                return await self._engine.in_flight()
        except (TimeoutError, NoAnswerError):
            return None

    async def _poll(self) -> Observation:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                models = await listing.fetch(self._ask)
                if self._engine is None:
                    self._engine = await self._identify(models)
                return await self._engine.answer(models)
        except TimeoutError:
            return Ambiguous(Reason.SERVER_TIMEOUT, f"no answer within {POLL_SECONDS:g} s")
        except NoAnswerError as error:
            return error.observation

    async def _identify(self, models: listing.Listing) -> engine.Engine:
        match self._settings.engine:
            case Engine.VLLM:
                return engine.OpenAi(self._ask, VLLM)
            case Engine.OLLAMA:
                return Ollama(self._ask)
            case Engine.OPENAI:
                return engine.OpenAi(self._ask, auto.told_by(models) or GENERIC)
            case Engine.AUTO:
                return await auto.identify(self._ask, models)

    async def _on_loopback(self) -> bool:
        port = self._settings.port
        return any([await readiness.accepts(address, port, CONNECT_SECONDS) for address in _LOOPBACK])


def base_url(settings: Settings, identity: PodIdentity) -> str:
    """Write the server's address: its `host` setting or the pod's IP, port, and path prefix."""
    host = readiness.bracketed(settings.host or identity.pod_ip)
    prefix = settings.path.strip("/")
    return f"{settings.scheme}://{host}:{settings.port}{'/' + prefix if prefix else ''}"
