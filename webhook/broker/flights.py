"""One question at a time: whoever asks the same meanwhile gets the same answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Calls under way, at most one for each key."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[T]] = {}

    async def once(self, key: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Give what `call` gives, or the call for this key that is under way; raises what it raises.

        A client that goes away does not end the call: others may wait for it.
        """
        flight = self._under_way.get(key)
        if flight is None:
            flight = asyncio.ensure_future(call())
            self._under_way[key] = flight
            flight.add_done_callback(lambda landed: self._land(key, landed))
        return await asyncio.shield(flight)

    def _land(self, key: Hashable, flight: asyncio.Future[T]) -> None:
        del self._under_way[key]
        if not flight.cancelled():
            flight.exception()  # looked at, or asyncio would tell of it where everybody has gone
