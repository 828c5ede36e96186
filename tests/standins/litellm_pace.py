"""How long LiteLLM 1.106.2 takes for admin calls: one process, which works on all of them by turns.

Measured on the real one, with one replica on this project's two cores: a creation 0.1 s, 4 and 8 at once
0.4 and 0.8 s each, 16 at once 2.2 s, 20 at once 4.1 s; a change 0.07 to 0.14 s; a reading 8 ms with few rows
and up to 50 ms with 1,000, a page of all rows 0.2 s with 1,000 (`webhook/broker/fair_queue.py`,
`known_rows.py`). Readiness and what finds no row count as the shortest reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

_READ: Final = 0.008
_PER_ROW: Final = 0.042 / 1000
_PER_ROW_OF_A_PAGE: Final = 0.19 / 1000
_WRITE: Final = 0.1
_TURNS_OF_A_WRITE: Final = 10
# Above so many writes at once each takes longer, by this for the square of how many more there are.
_CROWD: Final = 8
_PER_SQUARE: Final = 0.00072
# So long it works on one call before it turns to the next.
_SLICE: Final = 0.01
_WRITES: Final = frozenset({"/model/new", "/model/delete", "/model/block", "/model/unblock"})


class Pace:
    """The work of one replica, as if each call took its measured time of it."""

    def __init__(self) -> None:
        self._in_hand = 0
        self._writes = 0
        # When all turns that were taken so far are over.
        self._over = 0.0

    async def work(self, path: str, query: Mapping[str, str], *, finds: bool, rows: int) -> None:
        """Work on a call; `finds` tells whether there is a row with the id in its path."""
        writes = path in _WRITES or (path.endswith("/update") and finds)
        if not self._in_hand:
            self._over = asyncio.get_running_loop().time()
        self._in_hand += 1
        self._writes += writes
        try:
            if writes:
                await self._write()
            elif path.endswith("/model/info") and "modelId" not in query:
                # it copies them all, and writes down those of the name, if one is asked for
                per_row = _PER_ROW if "model" in query else _PER_ROW_OF_A_PAGE
                await self._spend(_READ + per_row * rows)
            else:
                await self._spend(_READ)
        finally:
            self._in_hand -= 1
            self._writes -= writes

    async def _write(self) -> None:
        for _ in range(_TURNS_OF_A_WRITE):
            more = max(0, self._writes - _CROWD) ** 2
            await self._spend((_WRITE + _PER_SQUARE * more) / _TURNS_OF_A_WRITE)

    async def _spend(self, seconds: float) -> None:
        """Take turns; one that this machine ended late does not put off those behind it."""
        now = asyncio.get_running_loop().time
        while seconds > 0:
            self._over += min(_SLICE, seconds)
            seconds -= _SLICE
            await asyncio.sleep(max(0.0, self._over - now()))
