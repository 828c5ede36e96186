"""What the broker is told of a registrar: on whole registrars, played through on a clock of the test's."""

import asyncio

import httpx
import pytest

from sidecar.broker_contract import DrainReport, State, StateReport
from sidecar.drain import Outcome, Stage
from sidecar.reasons import Reason
from sidecar.servers.shapes import Ambiguous, Asleep
from sidecar.state_reports import state_report
from tests.standins.registrar import SETTINGS, Pod
from tests.standins.scripted import REFUSED, serving

LOADING = Ambiguous(Reason.SERVER_LOADING, "/v1/models: HTTP 503")
DOWN = httpx.ConnectError("All connection attempts failed")


def told(pod: Pod) -> StateReport:
    """Give what would be told of it now."""
    agent = pod.agent
    return state_report(
        agent.state,
        pod.keeper.entries,
        pod.problems.current(),
        routable=agent.routable,
        outcome=agent.outcome,
    )


def short(report: StateReport) -> tuple[State, str, bool, int, int]:
    """Give state, reason, whether it is a warning, and how many models are routable of how many."""
    return report.state, report.reason, report.warning, report.models, report.wanted


async def test_a_server_that_starts_is_waited_for(pod: Pod) -> None:
    """While it loads its model nothing is wrong: the reason is told, and no warning."""
    await pod.clock.advance(10)
    assert short(told(pod)) == (State.WAITING, "server_refused", False, 0, 0)
    pod.server.seen = LOADING
    await pod.clock.advance(10)
    report = told(pod)
    assert short(report) == (State.WAITING, "server_loading", False, 0, 0)
    assert report.message == "The server is loading its model: /v1/models: HTTP 503"


async def test_a_server_that_never_starts_becomes_a_warning(pod: Pod) -> None:
    """From the ready-timeout on somebody has to look, for the reason that keeps it away."""
    await pod.clock.advance(SETTINGS.ready_timeout + 1)
    assert short(told(pod)) == (State.WAITING, "server_refused", True, 0, 0)


async def test_a_pod_that_serves_says_nothing_is_wrong(pod: Pod) -> None:
    """With its time to routable."""
    await pod.serve()
    report = told(pod)
    assert short(report) == (State.SERVING, "", False, 1, 1)
    assert (report.message, report.drain) == ("", None)
    assert report.routable is not None


async def test_a_litellm_that_is_away_keeps_models_away(pod: Pod) -> None:
    """A warning: nothing is routable, and it is not the server's fault."""
    pod.table.fail(1000, DOWN)
    pod.server.seen = serving("m")
    await pod.clock.advance(30)
    assert short(told(pod)) == (State.WAITING, "litellm_unreachable", True, 0, 1)


async def test_a_litellm_that_is_away_is_no_matter_to_who_serves(pod: Pod) -> None:
    """What is registered goes on being routable."""
    await pod.serve()
    pod.table.fail(1000, DOWN)
    await pod.clock.advance(300)
    assert short(told(pod)) == (State.SERVING, "", False, 1, 1)


async def test_a_server_in_ill_health_is_blocked(pod: Pod) -> None:
    """With what is wrong with it, and no model that is routable."""
    await pod.serve()
    pod.server.seen = REFUSED
    await pod.clock.advance(10)
    assert short(told(pod)) == (State.BLOCKED, "server_refused", True, 0, 1)


async def test_a_server_that_sleeps_is_no_warning(pod: Pod) -> None:
    """It was told to."""
    await pod.serve()
    pod.server.seen = Asleep("vllm says that it sleeps")
    await pod.clock.advance(10)
    assert short(told(pod)) == (State.BLOCKED, "server_asleep", False, 0, 1)


async def test_a_row_that_somebody_blocked_is_not_routable(pod: Pod) -> None:
    """The registrar serves, and says that its only model gets nothing, and why."""
    await pod.serve()
    (row,) = pod.table.rows.values()
    row["blocked"] = True
    await pod.clock.advance(200)
    assert short(told(pod)) == (State.SERVING, "blocked_by_someone_else", True, 0, 1)


async def test_a_drain_is_told_with_its_figures(pod: Pod) -> None:
    """While it lasts, and when it is over: how it ended, its phases, what was cut."""
    await pod.serve()
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(10)
    assert short(told(pod)) == (State.DRAINING, "", False, 0, 0)
    await pod.clock.advance(30)
    assert draining.done()
    report = told(pod)
    assert short(report) == (State.DRAINED, "", False, 0, 0)
    assert report.drain is not None
    assert (report.drain.end, report.drain.cut) == ("done", 0)
    assert report.drain.seconds["propagating"] == pytest.approx(35, abs=0.5)


async def test_a_drain_that_cannot_remove_rows_says_why(pod: Pod) -> None:
    """Requests go on coming meanwhile."""
    await pod.serve()
    pod.table.fail(1000, DOWN)
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(10)
    assert not draining.done()
    assert short(told(pod)) == (State.DRAINING, "litellm_unreachable", True, 0, 0)


async def test_a_drain_that_is_cut_short_is_told_as_ended(pod: Pod) -> None:
    """The kubelet's grace period is over before it: the drain has ended all the same."""
    await pod.serve()
    pod.server.gauge = 3
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(5)
    assert not draining.done()
    pod.agent.cut_short()
    report = told(pod)
    assert report.state is State.DRAINED
    assert report.drain is not None
    assert (report.drain.end, report.drain.cut) == ("grace_cut", 3)


async def test_a_pod_that_lives_on_is_told_anew(pod: Pod) -> None:
    """After a drain for a restart of its server: waiting, serving, without the figures of the drain."""
    await pod.serve()
    await pod.drained()
    pod.server.seen = REFUSED
    await pod.clock.advance(2)
    pod.server.seen = serving("m")
    await pod.clock.advance(2)
    report = told(pod)
    assert short(report) == (State.SERVING, "", False, 1, 1)
    assert report.drain is None


def test_the_end_of_a_drain_is_one_of_the_contract() -> None:
    """What a broker is told it can read back, whichever way a drain ends."""
    for end in (Stage.DONE, Stage.SERVER_GONE, Stage.OVERDUE, Stage.GRACE_CUT):
        phases = {Stage.DELETING: 0.1, Stage.PROPAGATING: 35.0004, Stage.IN_FLIGHT: 2.0}
        report = state_report(
            State.DRAINED, (), (), routable=1.5, outcome=Outcome(end, 37.1, None, 0, phases)
        )
        seconds = {"deleting": 0.1, "propagating": 35.0, "in_flight": 2.0}
        assert report.drain == DrainReport(end.value, seconds, None)
        assert StateReport.from_object(report.to_json()) == report
