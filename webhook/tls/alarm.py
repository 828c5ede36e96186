"""A state that somebody has to mend: said at once, again while it lasts, and when it is over."""

from __future__ import annotations

import math
from typing import Final

from webhook.log import Log

# How often it is said again (seconds).
_AGAIN: Final = 600.0


class Alarm:
    """One such state; `over` is what is said at its end. Times are given (seconds on any clock)."""

    def __init__(self, log: Log, over: str) -> None:
        self._log = log
        self._over = over
        self._problem = ""
        self._said = -math.inf

    def sound(self, problem: str, now: float, **values: str | float | None) -> None:
        """Say the problem unless it has just been said."""
        if problem == self._problem and now - self._said < _AGAIN:
            return
        self._problem, self._said = problem, now
        self._log.say("PROBLEM", problem, **values)

    def silence(self, **values: str | float | None) -> None:
        """Take note that there is no problem, or none any more."""
        if self._problem:
            self._problem, self._said = "", -math.inf
            self._log.say("TLS", self._over, **values)
