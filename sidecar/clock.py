"""Time, handed in: the registrar's logic never asks the system for it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the registrar needs of time."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def today(self) -> datetime:
        """Date and time of day in UTC, for people."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so long; tell whether it is set."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""
        ...


class SystemClock:
    """The real time."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    def today(self) -> datetime:
        """Date and time of day in UTC."""
        return datetime.now(UTC)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait until the event is set, at most so long; tell whether it is set."""
        try:
            async with asyncio.timeout(seconds):
                return await event.wait()
        except TimeoutError:
            return False

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""
        await asyncio.sleep(seconds)
