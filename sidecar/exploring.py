"""Finds out, question by question, what only computing tells; never beside a request of somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from sidecar.clock import Clock
from sidecar.traffic import Traffic


class Explored(Protocol):
    """The model server: see `sidecar.servers`."""

    async def explore(self, idle: Callable[[], Awaitable[bool]]) -> bool:
        """Ask one question that makes it compute, if there is one and it is `idle`; tell if it taught us."""
        ...


class Exploring:
    """Puts at most one question to the server `every` so many seconds, while it `may`.

    `learned` is called when an answer has taught us something.
    """

    def __init__(
        self,
        server: Explored,
        traffic: Traffic,
        clock: Clock,
        *,
        every: float,
        may: Callable[[], bool],
        learned: Callable[[], None],
    ) -> None:
        self._server = server
        self._traffic = traffic
        self._clock = clock
        self._every = every
        self._may = may
        self._learned = learned
        self._question: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self._clock.sleep(self._every)
            if not self._may():
                continue
            self._question = asyncio.create_task(self._server.explore(self._idle), name="question")
            try:
                await asyncio.wait({self._question})
            finally:
                self._question.cancel()
            if not self._question.cancelled() and self._question.result():
                self._learned()

    def drop(self) -> None:
        """Ask no further what is being asked."""
        if self._question is not None:
            self._question.cancel()

    async def _idle(self) -> bool:
        seen = await self._traffic.look()
        return seen.in_flight == 0 and self._may()
