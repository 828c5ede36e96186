"""What rules find, and what the policy makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from webhook.review import clean

# Of one violation, and of all together (the API server cuts warnings beyond; `webhook.review`).
LENGTH: Final = 256
TOTAL: Final = 4096
# What a pod breaks that is too large to be judged (`webhook.policy.judge`). No rule of the table: no policy
# file can name it, so that none can let such a pod pass.
TOO_MANY: Final = "scope.maxContainers"


class Mode(StrEnum):
    """What becomes of a violation, the strictest first."""

    ENFORCE = "enforce"  # the request is denied
    WARN = "warn"  # allowed, with a warning
    AUDIT = "audit"  # allowed; only audit annotation and metric tell
    OFF = "off"  # the rule is not looked at

    @property
    def strictness(self) -> int:
        """Give 3 for enforce down to 0 for off."""
        return 3 - list(Mode).index(self)

    def at_most(self, other: Mode) -> Mode:
        """Give the milder of the two."""
        return min(self, other, key=lambda mode: mode.strictness)


class Finding(NamedTuple):
    """What one rule found: the field's path, what is there, what is wanted instead. Never a secret.

    `part` replaces the field's name in the rule's id, for rules that are several (`podSecurity.hostPath`).
    """

    path: str
    found: str
    wanted: str
    container: str = ""
    part: str = ""


class Violation(NamedTuple):
    """A finding under its rule's id and mode; `exception` is the id of the exception that lets it pass."""

    rule: str
    path: str
    found: str
    wanted: str
    mode: Mode
    container: str = ""
    exception: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same when containers move: a violation from before an update has it too."""
        return self.rule, self.container or self.path, self.found

    def __str__(self) -> str:
        return clean(f"{self.rule}: {self.path}: found {self.found}, wanted {self.wanted}", LENGTH)


class Judgement(NamedTuple):
    """Every violation of one pod, and the hash of the policy that was held against it."""

    violations: tuple[Violation, ...] = ()
    policy: str = ""

    def of(self, mode: Mode) -> tuple[Violation, ...]:
        """Give the violations in this mode that no exception lets pass."""
        return tuple(v for v in self.violations if v.mode is mode and not v.exception)

    @property
    def excepted(self) -> tuple[Violation, ...]:
        """Give the violations that an exception lets pass."""
        return tuple(v for v in self.violations if v.exception)

    def since(self, old: Judgement) -> Judgement:
        """Give what this update brings in: what `old` has not; of a pod that is not judged nobody knows."""
        known = {violation.key for violation in old.violations if violation.rule != TOO_MANY}
        return self._replace(violations=tuple(v for v in self.violations if v.key not in known))


def listed(violations: Iterable[object]) -> tuple[str, ...]:
    """Write down violations, or texts beside them, each once, in 4096 characters; what is cut is counted."""
    texts = list(dict.fromkeys(map(str, violations)))
    kept: list[str] = []
    room = TOTAL
    for index, text in enumerate(texts):
        left = len(texts) - index
        more = f"{left} more violation{'s are' if left > 1 else ' is'} not shown; mend these first"
        # the note of a cut must still fit behind every text but the last
        if len(text) + 2 > room - (0 if left == 1 else len(more) + 2):
            return (*kept, more)
        kept.append(text)
        room -= len(text) + 2
    return tuple(kept)
