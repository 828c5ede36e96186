"""A model server and its sockets that say what a test tells them to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from sidecar.servers.facts import Fact, Facts, Origin
from sidecar.servers.shapes import Answer, Model, Observation, Refused
from sidecar.sockets import SocketSample

REFUSED = Refused("/v1/models: connection refused")


def serving(*models: str, engine: str = "vllm") -> Answer:
    """Give the answer of a server with these models."""
    facts = Facts(context=Fact(1024, Origin.ENGINE))
    return Answer(engine, "0.32.0", tuple(Model(model, facts=facts) for model in models), gauges=True)


class ScriptedServer:
    """`seen` is what a look at it gives, `gauge` what its own gauges say.

    `lessons` is what it gives after each question that makes it compute, once `taught` (its gauge is 1 until
    then); `forgotten` counts.
    """

    base_url = "http://10.0.0.5:8000"

    def __init__(self, seen: Observation = REFUSED, gauge: int | None = 0) -> None:
        self.seen = seen
        self.gauge = gauge
        self.looks = 0
        self.forgotten = 0
        self.lessons: list[Observation] = []
        self.taught = asyncio.Event()
        self.taught.set()

    async def observe(self) -> Observation:
        """Look once."""
        self.looks += 1
        return self.seen

    def forget(self) -> None:
        """Take note."""
        self.forgotten += 1

    async def explore(self, idle: Callable[[], Awaitable[bool]]) -> bool:
        """Learn the next lesson if nothing is in flight."""
        if not self.lessons or not await idle():
            return False
        if not self.taught.is_set():
            gauge, self.gauge = self.gauge, 1
            try:
                await self.taught.wait()
            finally:
                self.gauge = gauge
        self.seen = self.lessons.pop(0)
        return True

    async def in_flight(self) -> int | None:
        """Give the gauges."""
        return self.gauge


class ScriptedSockets:
    """`now` is the next sample; None: it cannot be told. `listeners` are other ones after a restart."""

    def __init__(self, now: SocketSample | None = None) -> None:
        self.now = now
        self.listeners = frozenset({1})

    def sample(self, probers: Collection[str]) -> SocketSample | None:
        """Look once."""
        assert not isinstance(probers, str)
        return self.now

    def listening(self) -> frozenset[int]:
        """Give the sockets that listen."""
        return self.listeners
