"""What is wrong now: each problem is said once, again only when it changes, and once when it is over."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sidecar.clock import Clock
from sidecar.log import Log, Value, Word
from sidecar.reasons import Reason

DETAIL_LENGTH: Final = 300


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is, or last was, wrong."""

    reason: Reason
    detail: str
    since: datetime
    began: float


class Problems:
    """The problems of each subject (the server, LiteLLM, one row), one at a time."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._now: dict[str, Problem] = {}
        self.last: Problem | None = None

    def current(self) -> tuple[Problem, ...]:
        """Give what is wrong now."""
        return tuple(self._now.values())

    def say(
        self, subject: str, reason: Reason, detail: str = "", *, word: Word = Word.PROBLEM, **values: Value
    ) -> None:
        """Note a problem; a line is written only if it is a new one for this subject."""
        before = self._now.get(subject)
        if before is not None and before.reason is reason:
            return
        # Hidden before it is cut short: half a secret would not be found.
        detail = self._log.hide(detail)[:DETAIL_LENGTH]
        problem = Problem(reason, detail, self._clock.today(), self._clock.now())
        self._now[subject] = self.last = problem
        self._log.event(word, reason.sentence, reason=reason, **values, detail=detail or None)

    def clear(
        self, subject: str, *, only: Collection[Reason] | None = None, quiet: bool = False, **values: Value
    ) -> None:
        """Note that a problem is over (if it is one of these); `quiet` when another line says so."""
        problem = self._now.get(subject)
        if problem is None or (only is not None and problem.reason not in only):
            return
        del self._now[subject]
        if not quiet:
            lasted = self._clock.now() - problem.began
            self._log.event(
                Word.SOLVED,
                f"No longer so: {problem.reason.sentence}",
                reason=problem.reason,
                **values,
                lasted=lasted,
            )
