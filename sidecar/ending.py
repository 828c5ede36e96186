"""The end of the registrar: what SIGTERM does, depending on whether a drain has gone before."""

from __future__ import annotations

import asyncio
from typing import Final

from sidecar.agent import Agent
from sidecar.broker_contract import State
from sidecar.clock import Clock
from sidecar.drain import DRAIN, SIGTERM, shown
from sidecar.keeper import Keeper
from sidecar.log import Log, Word
from sidecar.problems import Problems
from sidecar.reasons import Reason

LAST_TRY_SECONDS: Final = 5.0
_STEP: Final = 0.1


class Ending:
    """Waits for signals and brings the registrar to its end."""

    def __init__(self, agent: Agent, keeper: Keeper, *, problems: Problems, log: Log, clock: Clock) -> None:
        self._agent = agent
        self._keeper = keeper
        self._problems = problems
        self._log = log
        self._clock = clock
        self._first = asyncio.Event()
        self._second = asyncio.Event()

    def signal(self) -> None:
        """Hear of one SIGTERM (or SIGINT)."""
        (self._second if self._first.is_set() else self._first).set()

    async def over(self) -> None:
        """Return when the registrar may exit.

        The first signal drains, unless a drain has ended. A signal while a drain is under way means that the
        kubelet's grace period is spent: everybody gets SIGTERM at once, so nothing is left to wait for.
        """
        await self._first.wait()
        if self._agent.state is State.DRAINING or not await self._drained():
            outcome = self._agent.cut_short()
            cut = None if outcome is None else outcome.cut
            self._problems.say(DRAIN, Reason.GRACE_CUT)
            self._log.event(Word.GONE, "The pod ends before its requests have ended", cut=shown(cut))
        await self._last_try()
        self._log.event(Word.STOPPED, "The registrar ends", rows_left=len(self._keeper.entries) or None)

    async def _drained(self) -> bool:
        """Drain, if that is not done; tell whether it came to its end before a second signal."""
        drain = asyncio.create_task(self._agent.drain(SIGTERM))
        second = asyncio.create_task(self._second.wait())
        await asyncio.wait({drain, second}, return_when=asyncio.FIRST_COMPLETED)
        second.cancel()
        return drain.done()

    async def _last_try(self) -> None:
        until = self._clock.now() + LAST_TRY_SECONDS
        while self._keeper.entries and self._clock.now() < until:
            await self._clock.sleep(_STEP)
