"""How well the server is, and which of its models are gone: observations and time in, a verdict out. Pure.

A hiccup changes nothing. Ill health blocks: connections refused twice in a row, a second apart, or 30 s
without one good answer. A model is gone when three good answers in a row lack it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from sidecar.reasons import Reason
from sidecar.servers.shapes import Ambiguous, Answer, Asleep, Observation, Refused

WAITING_POLL: Final = 0.25
REFUSED_APART: Final = 1.0
REFUSED_IN_A_ROW: Final = 2
UNHEALTHY_AFTER: Final = 30.0
GONE_AFTER: Final = 3

# Only Ollama lists nothing in good health, when its last model was removed (`"data": null`). From any other
# engine an empty list is as doubtful as an error.
_MAY_SERVE_NOTHING: Final = frozenset({"ollama"})


class Condition(StrEnum):
    """What the observations so far say of the server."""

    WELL = "well"
    HICCUP = "hiccup"
    ILL = "ill"


@dataclass(frozen=True, slots=True)
class Health:
    """The server's condition; `reason` and `detail` say what is wrong. Times are of the caller's clock.

    `since` is when the last good answer was followed by none; `refused` counts refusals in a row.
    """

    condition: Condition = Condition.HICCUP
    reason: Reason | None = None
    detail: str = ""
    since: float | None = None
    refused: int = 0
    refused_at: float = 0.0


def judge(before: Health, seen: Observation, now: float, *, had_models: bool) -> Health:
    """Give the server's health after one more observation; `had_models`: it has served some before."""
    if isinstance(seen, Answer):
        empty_is_good = seen.engine in _MAY_SERVE_NOTHING or not had_models
        if seen.models or empty_is_good:
            reason = None if seen.models else Reason.NO_MODELS
            return Health(Condition.WELL, reason)
        seen = Ambiguous(Reason.NO_MODELS, "it served models before")
    since = now if before.since is None else before.since
    if isinstance(seen, Asleep):
        return Health(Condition.ILL, Reason.SERVER_ASLEEP, seen.detail, since)
    if isinstance(seen, Refused):
        after = _refused(before, seen, now)
    else:
        after = Health(reason=seen.reason, detail=seen.detail)
    lasting = now - since >= UNHEALTHY_AFTER
    twice = after.refused >= REFUSED_IN_A_ROW
    ill = before.condition is Condition.ILL or lasting or twice
    return replace(after, condition=Condition.ILL if ill else Condition.HICCUP, since=since)


def _refused(before: Health, seen: Refused, now: float) -> Health:
    counts = before.refused == 0 or now - before.refused_at >= REFUSED_APART
    return Health(
        reason=Reason.SERVER_REFUSED,
        detail=seen.detail,
        refused=before.refused + 1 if counts else before.refused,
        refused_at=now if counts else before.refused_at,
    )


@dataclass(frozen=True, slots=True)
class Roster:
    """The models that count as served, each with the number of good answers in a row that lacked it."""

    missing: Mapping[str, int]

    def __contains__(self, model: str) -> bool:
        return model in self.missing


def update(before: Roster, answer: Answer | None) -> Roster:
    """Give the roster after one more answer; None (no good answer) starts the counts anew."""
    if answer is None:
        return Roster(dict.fromkeys(before.missing, 0))
    served = {model.id: 0 for model in answer.models}
    missed = {model: count + 1 for model, count in before.missing.items() if model not in served}
    return Roster(served | {model: count for model, count in missed.items() if count < GONE_AFTER})


def poll_after(health: Health, *, serving: bool, poll_interval: float) -> float:
    """Give the seconds until the server is looked at again.

    Quick while it is waited for; a second apart when something is wrong with a server that was well, so that
    the verdict comes soon and its end too.
    """
    if not serving:
        return min(WAITING_POLL, poll_interval)
    if health.condition is Condition.WELL:
        return poll_interval
    quick = health.condition is Condition.ILL and health.reason is Reason.SERVER_REFUSED
    return min(WAITING_POLL if quick else REFUSED_APART, poll_interval)
