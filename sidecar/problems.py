"""What is wrong now: each problem is said once, again only when it changes, and once when it is over.

What is over before it is worth a line was never said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sidecar.clock import Clock
from sidecar.log import Log, Value, Word, stamp
from sidecar.reasons import Reason

DETAIL_LENGTH: Final = 300


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is, or last was, wrong; by which `rule`, if somebody has refused something.

    `passing`: nothing has to be done about it, it is only waited for.
    """

    reason: Reason
    detail: str
    since: datetime
    began: float
    rule: str = ""
    passing: bool = False

    def told(self) -> dict[str, str]:
        """Give what `/status` shows of it."""
        by = {"rule": self.rule} if self.rule else {}
        return {"reason": self.reason, **by, "detail": self.detail, "since": stamp(self.since)}


class Problems:
    """The problems of each subject (the server, LiteLLM, one row), one at a time."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._now: dict[str, Problem] = {}
        # Of each subject, since when it is wrong for reasons that are not worth a line yet.
        self._unsaid: dict[str, dict[Reason, float]] = {}
        self.last: Problem | None = None
        self._said: Callable[[Reason], None] = lambda _: None

    def tell(self, said: Callable[[Reason], None]) -> None:
        """Call this with the reason of each problem that is worth a line, once a line."""
        self._said = said

    def current(self) -> tuple[Problem, ...]:
        """Give what is wrong now."""
        return tuple(self._now.values())

    def is_any_of(self, reasons: Collection[Reason]) -> bool:
        """Tell whether something is wrong for one of these reasons, be it worth a line yet or not."""
        said = any(problem.reason in reasons for problem in self._now.values())
        return said or any(not unsaid.keys().isdisjoint(reasons) for unsaid in self._unsaid.values())

    def say(
        self,
        subject: str,
        reason: Reason,
        detail: str = "",
        *,
        word: Word = Word.PROBLEM,
        rule: str = "",
        silence: float = 0.0,
        **values: Value,
    ) -> None:
        """Note a problem; a line is written only if it is a new one for this subject.

        With `silence` only if it came up so many seconds ago for the first time, and was not over since.
        """
        before = self._now.get(subject)
        if before is not None and (before.reason, before.rule) == (reason, rule):
            self._unsaid.pop(subject, None)
            return
        now = self._clock.now()
        began = self._unsaid.setdefault(subject, {}).setdefault(reason, now)
        if now - began < silence:
            return
        del self._unsaid[subject]
        # Hidden before it is cut short: half a secret would not be found.
        detail = self._log.hide(detail)[:DETAIL_LENGTH]
        since = self._clock.today() - timedelta(seconds=now - began)
        problem = Problem(reason, detail, since, began, rule, word is Word.WAITING)
        self._now[subject] = self.last = problem
        self._said(reason)
        self._log.event(
            word, reason.sentence, reason=reason, rule=rule or None, **values, detail=detail or None
        )

    def clear(
        self, subject: str, *, only: Collection[Reason] | None = None, quiet: bool = False, **values: Value
    ) -> None:
        """Note that a problem is over (if it is one of these); `quiet` when another line says so."""
        unsaid = self._unsaid.pop(subject, {})
        if only is not None and (left := {key: began for key, began in unsaid.items() if key not in only}):
            self._unsaid[subject] = left
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
