"""What the policy says of model servers that live: now, and when exceptions end. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from webhook.check.cluster import COLLECTIONS, Survey
from webhook.check.verdicts import Checked, Engine
from webhook.inject import Injection
from webhook.living.figures import Judged
from webhook.living.pods import Said
from webhook.policy.lint import SOON, in_days
from webhook.policy.policy import Policy
from webhook.policy.verdict import Mode, Violation
from webhook.reasons import Problem, Reason

_DAY: Final = 86400.0
# Seconds before the end of an exception at which servers are judged again.
_BEFORE: Final = (SOON, _DAY, 0.0)
# Seconds after which they are judged again while one would be refused: whoever mends it is to see that.
_REFUSED_NOW: Final = 3600.0
_REFUSED_LATER: Final = _DAY
# Ends of exceptions that one look takes account of, the next ones: each costs as much as the look itself.
_MOST_ENDS: Final = 4
_API_VERSIONS: Final = {found.kind: found.api_version for found in COLLECTIONS}


class Refusal(NamedTuple):
    """A server that would be refused if it were made anew, for `violations`.

    With `exceptions` not yet, but `within` so many seconds, when these end.
    """

    checked: Checked
    violations: tuple[Violation, ...]
    within: float = 0.0
    exceptions: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, bool, bool]:
        """What stays the same for as long as it needs not be said again."""
        return self.checked.uid, self.within > 0, self.within > _DAY

    @property
    def said(self) -> Said:
        """What an Event says of it."""
        what = "; ".join(map(str, self.violations))
        if not self.within:
            message = f"the policy would refuse this if it were made anew: {what}"
            return Said(_about(self.checked), Problem(Reason.POLICY_VIOLATION, message))
        end = f"{' and '.join(self.exceptions)} ends {in_days(self.within)}"
        message = f"{end}; from then on the policy would refuse this if it were made anew: {what}"
        return Said(_about(self.checked), Problem(Reason.EXCEPTION_ENDS, message))


def ends(policy: Policy, now: float) -> list[float]:
    """Give when exceptions end, those that end soon, the next one first (seconds since 1970)."""
    found = {one.expires for one in policy.exceptions if now < one.expires <= now + SOON}
    return sorted(found)[:_MOST_ENDS]


def next_look(policy: Policy, found: Judged) -> float | None:
    """Give when servers are to be judged again if the policy stays as it is; None: never."""
    times = {one.expires - before for one in policy.exceptions for before in _BEFORE}
    if found.refused_now:
        times.add(found.at + _REFUSED_NOW)
    if found.refused_later:
        times.add(found.at + _REFUSED_LATER)
    return min((time for time in times if time > found.at), default=None)


class Look:
    """Judges objects one by one, owners before what they own, and keeps of each only what was found.

    `closed` are the namespaces in which pods without the label are judged; in `excluded` ones nothing is.
    """

    def __init__(
        self,
        policy: Policy,
        config: Injection,
        now: float,
        *,
        closed: Container[str],
        excluded: AbstractSet[str],
    ) -> None:
        self._policy = policy
        self._now = now
        self._excluded = excluded
        times = (now, *ends(policy, now))
        self._surveys = {time: Survey(Engine(policy, config, time), closed=closed) for time in times}

    def add(self, kind: str, obj: Mapping[str, Any]) -> None:
        """Judge an object of a kind of `COLLECTIONS`, as the API server lists it."""
        if (obj.get("metadata") or {}).get("namespace") in self._excluded:
            return
        for survey in self._surveys.values():
            survey.add(kind, obj)

    def result(self) -> tuple[Judged, list[Refusal]]:
        """Give what was found, of each chain of owners once."""
        refusals: dict[str, Refusal] = {}
        judged: set[str] = set()
        for time, survey in self._surveys.items():
            for entry in survey.entries():
                checked = entry.checked
                judged.add(checked.uid)
                if checked.uid not in refusals and (refusing := _refusing(checked)):
                    refusals[checked.uid] = Refusal(
                        checked, refusing, time - self._now, self._ending(time, checked, refusing)
                    )
        later = sum(refusal.within > 0 for refusal in refusals.values())
        figures = Judged(self._now, len(judged), len(refusals) - later, later)
        return figures, list(refusals.values())

    def _ending(self, time: float, checked: Checked, refusing: tuple[Violation, ...]) -> tuple[str, ...]:
        """Name the exceptions whose end at that time is why an object is refused then."""
        rules = {violation.rule for violation in refusing}
        return tuple(
            one.id
            for one in self._policy.exceptions
            if one.expires == time and rules & set(one.rules) and one.match.in_namespace(checked.namespace)
        )


def _refusing(checked: Checked) -> tuple[Violation, ...]:
    return tuple(v for v in checked.violations if v.mode is Mode.ENFORCE and not v.exception)


def _about(checked: Checked) -> dict[str, str]:
    """Give the object as Events refer to it: an ObjectReference of core/v1."""
    return {
        "apiVersion": _API_VERSIONS[checked.kind],
        "kind": checked.kind.rpartition("/")[2],
        "namespace": checked.namespace,
        "name": checked.name,
        "uid": checked.uid,
    }
