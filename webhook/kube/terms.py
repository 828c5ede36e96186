"""What one replica at a time does: begun when it leads, ended when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from webhook.kube.api import Api
from webhook.kube.leader import Leader, Timing, identity, since_boot
from webhook.log import Log, traced

# Seconds until a part that ended by a fault of our own is begun anew.
_AGAIN: Final = 30.0

Part = Callable[[], Awaitable[None]]


class Terms:
    """Stands for the Lease at the path `lease`, and runs `term` from its beginning while it is ours.

    What others have found is not known here, so every term begins anew. Rights: those of `Leader`.
    """

    def __init__(
        self,
        api: Api,
        lease: str,
        log: Log,
        term: Part,
        *,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        ticks: Callable[[], float] = since_boot,
    ) -> None:
        self.holder = identity()
        self._leader = Leader(api, lease, self.holder, log, timing=timing, use=self._lead, now=ticks)
        self._term = term
        self._log = log
        self._running: asyncio.Task[None] | None = None
        self._faults: set[str] = set()

    @property
    def leading(self) -> bool:
        """Tell whether this replica leads, for certain and at this moment."""
        return self._leader.leading

    async def run(self) -> None:
        """Stand for the Lease and lead while it is ours, until cancelled."""
        try:
            await self.kept_going(self._leader.run)
        finally:
            self._lead(False)
            if self._running is not None:
                await asyncio.wait([self._running])
            await self._leader.release()

    async def kept_going(self, part: Part) -> None:
        """Run a part of what is done; whatever it ends by, it is begun anew, and the others go on."""
        while True:
            try:
                await part()
            except Exception as error:  # noqa: BLE001 - whatever it is, the other parts go on
                self._say_fault(type(error).__name__, traced(error))
            await asyncio.sleep(_AGAIN)

    def _lead(self, leading: bool) -> None:  # noqa: FBT001 - as the leader tells it
        before = self._running
        if before is not None:
            before.cancel()
        if leading:
            self._running = asyncio.create_task(self._led(before))

    async def _led(self, before: asyncio.Task[None] | None) -> None:
        """Begin once the term `before`, which has been told to end, has ended."""
        if before is not None:
            await asyncio.wait([before])
        await self._term()

    def _say_fault(self, kind: str, where: str) -> None:
        if where not in self._faults:  # as many as there are places in the code
            self._faults.add(where)
            problem = f"Not all that the leader does is done, an error of our own: {kind}"
            self._log.say("PROBLEM", problem, at=where)
