"""What the broker is to be told of a registrar: its state, and what keeps its models away. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from sidecar.broker_contract import DrainReport, State, StateReport
from sidecar.drain import Outcome
from sidecar.entry import Entry
from sidecar.problems import Problem
from sidecar.reasons import Reason

_SERVERS: Final = frozenset(
    {
        *(reason for reason in Reason if reason.startswith("server_")),
        *(Reason.NO_MODELS, Reason.ALL_LEFT_OUT),
    }
    - {Reason.SERVER_UNSTEADY}
)
_LITELLMS: Final = frozenset(
    {reason for reason in Reason if reason.startswith(("litellm_", "broker_"))}
    - {Reason.LITELLM_WITHOUT_BLOCK, Reason.BROKER_LEFT_OUT}
)
_ROWS: Final = frozenset({Reason.BLOCKED_BY_SOMEONE_ELSE, Reason.BLOCKED_BY_REAPER})
_LATE: Final = frozenset({Reason.READY_TIMEOUT})
_DRAINS: Final = frozenset({Reason.DRAIN_TIMEOUT, Reason.GRACE_CUT})
# In each state, what keeps the models away: the first that is so counts.
_KEEP_AWAY: Final[dict[State, tuple[Collection[Reason], ...]]] = {
    State.WAITING: (_SERVERS, _LITELLMS, _LATE),
    State.SERVING: (_ROWS, _LITELLMS),
    State.BLOCKED: (_SERVERS,),
    State.DRAINING: (_LITELLMS,),
    State.DRAINED: (_DRAINS, _LITELLMS),
}


def state_report(
    state: State,
    entries: Sequence[Entry],
    problems: Sequence[Problem],
    *,
    routable: float | None,
    outcome: Outcome | None,
) -> StateReport:
    """Give what is to be told: the state, what keeps it from serving, its models; how its drain went.

    `routable` is as in a report; `outcome` that of the drain, also of one that was cut short.
    """
    if outcome is not None:
        state = State.DRAINED
    models = sum(entry.routable for entry in entries)
    wanted = sum(entry.wish.row is not None for entry in entries)
    all_well = state is State.SERVING and models == wanted
    found = None if all_well else next(_keeping_away(state, problems), None)
    if found is None:
        return StateReport(state, "", "", False, models, wanted, routable, _drain(outcome))
    late = any(problem.reason in _LATE for problem in problems)
    warning = found.reason is not Reason.SERVER_ASLEEP and (late or not found.passing)
    message = f"{found.reason.sentence}: {found.detail}" if found.detail else found.reason.sentence
    return StateReport(state, found.reason, message, warning, models, wanted, routable, _drain(outcome))


def _keeping_away(state: State, problems: Sequence[Problem]) -> Iterator[Problem]:
    for reasons in _KEEP_AWAY[state]:
        yield from (problem for problem in problems if problem.reason in reasons)


def _drain(outcome: Outcome | None) -> DrainReport | None:
    if outcome is None:
        return None
    seconds = {phase.value: round(spent, 3) for phase, spent in outcome.phases.items()}
    return DrainReport(outcome.end.value, seconds, outcome.cut)
