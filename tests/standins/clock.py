"""A clock that only moves when a test says so, with everything that waits on it."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)


class FakeClock:
    """Time stands still except in `advance`, which wakes sleepers one by one in their order."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        """Seconds."""
        return self._now

    def today(self) -> datetime:
        """Give the same as a time of day."""
        return START + timedelta(seconds=self._now - 1000.0)

    async def sleep(self, seconds: float) -> None:
        """Wait until a test has advanced the time so far."""
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now + seconds, self._count, future))
        await future

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for the event, or until a test has advanced the time so far."""
        waiters = {asyncio.ensure_future(event.wait()), asyncio.ensure_future(self.sleep(seconds))}
        try:
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()
        return event.is_set()

    async def advance(self, seconds: float) -> None:
        """Let so much time pass, and everything happen that happens in it."""
        await settle()
        until = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = until


async def settle() -> None:
    """Let every task run until it waits for something."""
    loop: Any = asyncio.get_running_loop()
    await asyncio.sleep(0)
    while loop._ready:  # noqa: ASYNC110 - the loop's own emptiness has no event
        await asyncio.sleep(0)
