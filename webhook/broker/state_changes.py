"""What a registrar's report changes: the pod's condition, an Event, what is counted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sidecar.broker_contract import DrainReport, State, StateReport
from webhook.registered import Registered
from webhook.review import clean

# Characters of a condition's message.
_MESSAGE_LENGTH: Final = 600
_SENTENCES: Final[Mapping[State, str]] = {
    State.WAITING: "No model of this pod is routable through LiteLLM yet",
    State.BLOCKED: "The server is not well; LiteLLM is told to send it nothing",
    State.DRAINING: "The models leave LiteLLM, and requests in flight are waited for",
    State.DRAINED: "The models have left LiteLLM",
}


@dataclass(frozen=True, slots=True)
class StateEvent:
    """An Event on the pod: `reason` is the word of a state, `kind` `Normal` or `Warning`."""

    reason: str
    message: str
    kind: str


@dataclass(frozen=True, slots=True)
class StateChange:
    """What a report changes: the condition as it is to be, the Event that says so, what is counted once."""

    registered: Registered
    event: StateEvent | None
    routable: float | None
    drain: DrainReport | None

    def patch(self, uid: str) -> dict[str, Any]:
        """Give the strategic merge patch of the pod's status; it is for the pod of this uid only."""
        return {"metadata": {"uid": uid}, "status": {"conditions": [self.registered.condition()]}}


def change(report: StateReport, before: Registered | None, now: str) -> StateChange | None:
    """Tell what a report changes; None: nothing, what it says is written already.

    `now` is the time of day as Kubernetes writes it. An Event is due for each change of state, and for what
    somebody has to look at. What is counted comes with the change: a report that comes twice counts once.
    """
    routable = report.state is State.SERVING and report.models > 0
    after = Registered(routable, report.state, report.reason, _message(report), now)
    if before is not None and before.routable == routable:
        after = replace(after, since=before.since)
    if after == before:
        return None
    entered = before is None or before.state is not report.state
    news = entered or (report.warning and before is not None and before.reason != report.reason)
    return StateChange(
        after, _event(report, after) if news else None, report.routable, report.drain if entered else None
    )


def _event(report: StateReport, after: Registered) -> StateEvent:
    cut = report.drain is not None and bool(report.drain.cut)
    return StateEvent(report.state.value, after.message, "Warning" if report.warning or cut else "Normal")


def _message(report: StateReport) -> str:
    sentence = _SENTENCES.get(report.state)
    if sentence is None:
        sentence = f"{report.models} of {report.wanted} models are routable through LiteLLM"
    if report.drain is not None:
        sentence = f"{sentence}, {_drained(report.drain)}"
    because = ": ".join(filter(None, (report.reason, report.message)))
    return clean(f"{sentence}. {because}" if because else sentence, _MESSAGE_LENGTH)


def _drained(drain: DrainReport) -> str:
    """Say how a drain went: `done after 41.2 s (deleting 0.1, propagating 35.0, in_flight 6.1), 0 cut`."""
    phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in drain.seconds.items())
    cut = "an unknown number of" if drain.cut is None else drain.cut
    took = f"{sum(drain.seconds.values()):.1f} s" + (f" ({phases})" if phases else "")
    return f"{drain.end} after {took}, {cut} requests cut"
