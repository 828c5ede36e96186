"""What a registrar's report changes of its pod: the condition, an Event, what is counted."""

from typing import Any

import pytest

from sidecar.broker_contract import DrainReport, State, StateReport
from webhook.broker.state_changes import StateChange, change
from webhook.registered import Registered, registered

NOON = "2026-11-21T12:00:00Z"
LATER = "2026-11-21T12:01:00Z"
SERVING = StateReport(State.SERVING, models=2, wanted=2)
WAITING = StateReport(State.WAITING, wanted=1)
AWAY = StateReport(State.WAITING, "litellm_unreachable", "LiteLLM cannot be reached", warning=True, wanted=1)
BLOCKED = StateReport(State.BLOCKED, "server_timeout", "The server does not answer in time", warning=True)
DRAIN = DrainReport("done", {"deleting": 0.1, "propagating": 35.0, "in_flight": 6.14}, 0)


def changed(report: StateReport, before: Registered | None = None, now: str = NOON) -> StateChange:
    """Give the change that there must be."""
    found = change(report, before, now)
    assert found is not None
    return found


def after(report: StateReport, before: Registered | None = None, now: str = NOON) -> Registered:
    """Give the condition after a report."""
    return changed(report, before, now).registered


def test_a_serving_pod_is_registered() -> None:
    """The condition is True, and says how many models are routable."""
    assert after(SERVING).condition() == {
        "type": "litellm-registrar.io/Registered",
        "status": "True",
        "reason": "serving",
        "message": "2 of 2 models are routable through LiteLLM",
        "lastTransitionTime": NOON,
    }


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (WAITING, "waiting"),
        (AWAY, "waiting:litellm_unreachable"),
        (BLOCKED, "blocked:server_timeout"),
        (
            StateReport(State.SERVING, "blocked_by_someone_else", models=0, wanted=1),
            "serving:blocked_by_someone_else",
        ),
        (StateReport(State.DRAINING), "draining"),
        (StateReport(State.DRAINED, drain=DRAIN), "drained"),
    ],
)
def test_a_pod_that_gets_no_requests_is_not_registered(report: StateReport, reason: str) -> None:
    """In any other state than serving, and where none of its models is routable, for the reason it names."""
    found = after(report).condition()
    assert (found["status"], found["reason"]) == ("False", reason)
    assert report.reason in found["message"]


@pytest.mark.parametrize("report", [SERVING, WAITING, AWAY, BLOCKED, StateReport(State.DRAINED, drain=DRAIN)])
def test_what_is_written_already_changes_nothing(report: StateReport) -> None:
    """Told again, by the same registrar or one that was restarted: no condition, no Event, no count."""
    pod: dict[str, Any] = {
        "status": {"conditions": [{"type": "Ready", "status": "True"}, after(report).condition()]}
    }
    assert registered(pod) == after(report)
    assert change(report, registered(pod), LATER) is None


def test_the_time_of_transition_changes_with_the_status_alone() -> None:
    """As kubelets keep their own conditions: from waiting to blocked it stays, to serving it is now."""
    waiting = after(WAITING)
    assert after(AWAY, waiting, LATER).since == NOON
    assert after(SERVING, waiting, LATER).since == LATER


@pytest.mark.parametrize(
    ("before", "report", "expected"),
    [
        (None, WAITING, ("waiting", "Normal")),
        (WAITING, SERVING, ("serving", "Normal")),
        (SERVING, BLOCKED, ("blocked", "Warning")),
        (SERVING, StateReport(State.DRAINING), ("draining", "Normal")),
        (StateReport(State.DRAINING), StateReport(State.DRAINED, drain=DRAIN), ("drained", "Normal")),
        (WAITING, AWAY, ("waiting", "Warning")),
        (SERVING, StateReport(State.SERVING, models=1, wanted=2), None),
        (AWAY, WAITING, None),
    ],
)
def test_an_event_is_due_for_each_change_of_state_and_for_what_keeps_a_model_away(
    before: StateReport | None, report: StateReport, expected: tuple[str, str] | None
) -> None:
    """One each: more models, or a reason that has passed, are for the condition alone."""
    event = changed(report, None if before is None else after(before)).event
    assert (event and (event.reason, event.kind)) == expected


def test_a_drain_is_told_with_its_figures() -> None:
    """How it ended, its seconds by phase, what was cut: in condition and Event alike."""
    told = changed(StateReport(State.DRAINED, drain=DRAIN), after(StateReport(State.DRAINING)))
    sentence = "done after 41.2 s (deleting 0.1, propagating 35.0, in_flight 6.1), 0 requests cut"
    assert told.event is not None
    assert told.registered.message == told.event.message == f"The models have left LiteLLM, {sentence}"
    assert told.drain == DRAIN


def test_requests_that_a_drain_cut_are_a_warning() -> None:
    """Somebody lost an answer."""
    report = StateReport(State.DRAINED, drain=DrainReport("grace_cut", {"deleting": 1.0}, 3))
    event = changed(report).event
    assert event is not None
    assert event.kind == "Warning"
    assert "grace_cut after 1.0 s (deleting 1.0), 3 requests cut" in event.message


def test_a_drain_and_a_time_to_routable_count_once() -> None:
    """They count with the change that they come with, so a report whose answer was lost counts once."""
    first = StateReport(State.SERVING, models=1, wanted=1, routable=0.7)
    assert changed(first).routable == 0.7
    assert change(first, after(first), LATER) is None
    drained = StateReport(State.DRAINED, drain=DRAIN)
    worded_anew = StateReport(State.DRAINED, message="and again", drain=DRAIN)
    assert changed(worded_anew, after(drained)).drain is None


def test_a_message_is_one_bounded_line() -> None:
    """Whatever a registrar, or somebody in its place, says."""
    message = after(StateReport(State.WAITING, "odd", "a\nb\x1b[31m" + 5000 * "x")).message
    assert len(message) == 600
    assert message.isprintable()


@pytest.mark.parametrize(
    "status", [None, [], {"conditions": "x"}, {"conditions": [{"type": 1}]}, {"conditions": []}]
)
def test_a_pod_without_the_condition_has_not_reported(status: Any) -> None:
    """Whatever its status looks like."""
    assert registered({"status": status}) is None


@pytest.mark.parametrize("reason", ["", "paused", "paused:odd", 3])
def test_a_state_of_a_newer_broker_is_no_state_here(reason: Any) -> None:
    """What it says otherwise is read all the same."""
    condition = {"type": "litellm-registrar.io/Registered", "status": "True", "reason": reason}
    found = registered({"status": {"conditions": [condition]}})
    assert found is not None
    assert (found.state, found.routable) == (None, True)
