"""The pod's model server, watched at the address that is registered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from sidecar.contract import Credentials, Engine, PodIdentity, Probing, Settings, WhenAsleep
from sidecar.reasons import Reason
from sidecar.row_contract import base_url
from sidecar.servers import auto, engine, listing, readiness
from sidecar.servers.ask import CONNECT_SECONDS, POLL_SECONDS, Ask, NoAnswerError
from sidecar.servers.ollama import Ollama
from sidecar.servers.openai import GENERIC
from sidecar.servers.probe import Told
from sidecar.servers.shapes import Ambiguous, Answer, Asleep, Observation, Refused
from sidecar.servers.vllm import VLLM

# Seconds in which a route that is busy or not started is waited for, to tell the engine by it. A front may
# answer so for ever, and half a minute without an answer is ill health.
IDENTIFY_SECONDS: Final = 15.0
_LOOPBACK: Final = ("127.0.0.1", "::1")


class ModelServer:
    """Asks one server, for nothing that makes it compute, except in `explore`.

    `client` must verify certificates; its redirects and timeouts are not used. `now` gives seconds on a clock
    that never goes back. What costs extra requests (engine, version, what a model can do) is kept until the
    server refuses a connection or is another one.
    """

    def __init__(
        self,
        settings: Settings,
        identity: PodIdentity,
        credentials: Credentials,
        client: httpx.AsyncClient,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._pod_ip = identity.pod_ip
        self._base_url = base_url(
            settings.scheme, settings.host or identity.pod_ip, settings.port, settings.path
        )
        self._ask = Ask(client, self._base_url, credentials.server_api_key, now)
        self._engine: engine.Engine | None = None
        self._met: float | None = None
        self._looked: Callable[[Observation], None] = lambda _: None
        self._probed: Callable[[Told], None] = lambda _: None

    def tell(self, looked: Callable[[Observation], None], probed: Callable[[Told], None]) -> None:
        """Call these after each look with what was seen, after each question with what came of it."""
        self._looked, self._probed = looked, probed

    @property
    def base_url(self) -> str:
        """Give the server's address as LiteLLM needs it, without /v1 and without a slash at its end."""
        return self._base_url

    async def observe(self) -> Observation:
        """Look at the server once: at most 5 s, on top 1.5 s of questions and its copied readiness probe."""
        seen = await self._look()
        self._looked(seen)
        return seen

    async def _look(self) -> Observation:
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
            self.forget()
        check = self._settings.server_ready
        if isinstance(seen, Answer) and check is not None:
            failing = await readiness.failing(check, self._pod_ip)
            return seen if failing is None else Ambiguous(Reason.SERVER_NOT_READY, failing)
        return seen

    async def explore(self, idle: Callable[[], Awaitable[bool]]) -> bool:
        """Put one question that makes the server compute, if the owner allows it and one is due.

        `idle` is asked just before whether nothing waits on the server. At most 64 tokens and 30 s. Tells
        whether something new is known; the next look has it. Never raises.
        """
        if self._settings.probing is not Probing.ACTIVE or not isinstance(self._engine, engine.OpenAi):
            return False
        return await self._engine.explore(idle)

    def forget(self) -> None:
        """Forget what is kept of the server: another one listens now."""
        self._engine = self._met = None

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
                watched = self._engine
                if watched is None:
                    watched = self._engine = await self._identify(models)
                    if isinstance(watched, engine.OpenAi):
                        watched.probed = self._probed
                seen = await watched.answer(models)
        except TimeoutError:
            return Ambiguous(Reason.SERVER_TIMEOUT, f"no answer within {POLL_SECONDS:g} s")
        except NoAnswerError as error:
            return error.observation
        if not isinstance(watched, engine.OpenAi):
            return seen
        if self._settings.when_asleep is WhenAsleep.BLOCK and await watched.asleep():
            return Asleep(f"{seen.engine} says that it sleeps")
        return await watched.learn()

    async def _identify(self, models: listing.Listing) -> engine.Engine:
        match self._settings.engine:
            case Engine.VLLM:
                return engine.OpenAi(self._ask, VLLM)
            case Engine.OLLAMA:
                return Ollama(self._ask, self._settings.cloud_models)
            case Engine.OPENAI:
                return engine.OpenAi(self._ask, auto.told_by(models) or GENERIC)
            case Engine.AUTO:
                now = self._ask.now()
                self._met = now if self._met is None else self._met
                patient = now - self._met < IDENTIFY_SECONDS
                return await auto.identify(self._ask, models, self._settings.cloud_models, patient=patient)

    async def _on_loopback(self) -> bool:
        port = self._settings.port
        return any([await readiness.accepts(address, port, CONNECT_SECONDS) for address in _LOOPBACK])
