"""What becomes of the pod while it drains: only the API server knows, and only a broker can ask it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from sidecar.broker_contract import PodState
from sidecar.clock import Clock
from sidecar.contract import GRACE_MARGIN

ASK_EVERY: Final = 3.0
# Grace can be shortened once more, but that is rare.
ASK_A_DYING_POD_EVERY: Final = 10.0
# Of a grace that was cut short the margin is at most this share: it is for what comes after the drain.
_MARGIN_SHARE: Final = 1 / 3


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the pod's end.

    `deleting` is None while nobody has told. `grace` (seconds) counts from the deletion, which was not before
    `since`, on the clock that counts seconds.
    """

    since: float = 0.0
    deleting: bool | None = None
    grace: float | None = None

    def after(self, told: PodState | None, asked: float) -> Known:
        """Give what is known after an answer to a question of this time; None was no answer.

        A deletion is never taken back. A grace that is shortened later counts from the deletion too
        (`BeforeDelete` in k8s.io/apiserver, pkg/registry/rest/delete.go).
        """
        if told is None:
            return self
        if told.deleting:
            grace = self.grace if told.grace is None else float(told.grace)
            return replace(self, deleting=True, grace=grace)
        return self if self.deleting else Known(asked, deleting=False)

    def cut(self, injected: float) -> float | None:
        """Give the time by which a drain must be over if the grace is less than the `injected` one."""
        if self.grace is None or self.grace >= injected:
            return None
        return self.since + self.grace - min(GRACE_MARGIN, self.grace * _MARGIN_SHARE)


class Fate:
    """Asks for the state of our own pod; without `ask` nothing is ever known."""

    def __init__(self, ask: Callable[[], Awaitable[PodState | None]] | None, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self.known = Known()

    async def look(self) -> None:
        """Ask once; without an answer what is known stays."""
        if self._ask is not None:
            asked = self._clock.now()
            self.known = self.known.after(await self._ask(), asked)

    async def follow(self) -> None:
        """Ask again and again, until cancelled; what was known of a pod that was not being deleted is old."""
        if not self.known.deleting:
            self.known = Known(self._clock.now())
        while self._ask is not None:
            await self.look()
            await self._clock.sleep(ASK_A_DYING_POD_EVERY if self.known.deleting else ASK_EVERY)
