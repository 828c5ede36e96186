"""Reports of registrars, brought to an API server that may be slow, gone, or of another mind."""

import asyncio
import contextlib
import io
import json
from typing import Any

import pytest

from sidecar.broker_contract import DrainReport, State, StateReport
from sidecar.contract import LogFormat
from tests.injected import injected, running
from tests.standins.kube import NOT_FOUND, UNREACHABLE, FakeApi
from tests.virtual_time import now, run
from webhook.broker.metrics import Metrics
from webhook.broker.pods import Pods
from webhook.broker.reports import POD_LIMIT, Reports
from webhook.broker.shapes import Caller, RefusedError, Rule
from webhook.kube.api import ApiError
from webhook.kube.events import Events
from webhook.log import Log
from webhook.registered import Registered, registered

CALLER = Caller("shop", "qwen", "uid-1", "node-1")
PATH = "/api/v1/namespaces/shop/pods/qwen"
SERVING = StateReport(State.SERVING, models=1, wanted=1, routable=0.7)
DRAINED = StateReport(State.DRAINED, drain=DrainReport("done", {"deleting": 0.1, "propagating": 35.0}, 2))
FORBIDDEN = ApiError(403, "Forbidden", "because it is being terminated")


class Replica:
    """One broker's part that takes reports, and the cluster that it shares with others."""

    def __init__(self, api: FakeApi | None = None) -> None:
        if api is None:
            api = FakeApi()
            api.put(PATH, {})
            api.objects[PATH] = {**running(injected("shop"), "10.0.0.7")}
            api.objects[PATH]["metadata"]["resourceVersion"] = "1"
        self.api = api
        self.metrics = Metrics()
        self.lines = io.StringIO()
        log = Log(self.lines, LogFormat.JSON)
        self.events = Events(api, "litellm-registrar-broker", log)
        self.pods = Pods(api, now)
        self.reports = Reports(api, self.pods, self.events, self.metrics, log, now=now)

    async def take(self, report: StateReport, late: float = 0.0) -> None:
        """Take a report of the pod, so many seconds after its call began."""
        await self.reports.take(report, CALLER, now() - late)

    async def refuses(self, report: StateReport) -> Rule:
        """Tell by which rule a report is refused."""
        with pytest.raises(RefusedError) as caught:
            await self.take(report)
        return caught.value.rule

    def condition(self) -> Registered | None:
        """Give the pod's condition."""
        return registered(self.api.objects[PATH])

    def told(self) -> list[tuple[str, str]]:
        """Give reason and kind of the Events, as they were written."""
        return [
            (found["reason"], found["type"]) for path, found in self.api.objects.items() if "/events/" in path
        ]

    def counted(self, name: str, **labels: str) -> float | None:
        """Give a metric."""
        return self.metrics.registry.get_sample_value(f"litellm_registrar_broker_{name}", labels)


def test_a_report_becomes_the_condition_an_event_a_line_and_a_count() -> None:
    """The pod's other conditions are left alone."""

    async def main() -> None:
        broker = Replica()
        broker.api.objects[PATH]["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        await broker.take(SERVING)
        found = broker.condition()
        assert found is not None
        assert (found.routable, found.state) == (True, State.SERVING)
        assert broker.api.objects[PATH]["status"]["conditions"][0] == {"type": "Ready", "status": "True"}
        (event,) = [one for path, one in broker.api.objects.items() if "/events/" in path]
        assert event["involvedObject"] == CALLER.reference
        assert (event["reason"], event["message"]) == ("serving", found.message)
        (line,) = map(json.loads, broker.lines.getvalue().splitlines())
        assert (line["event"], line["pod"], line["state"], line["message"]) == (
            *("state", "qwen", "serving"),
            f"{found.message}.",
        )
        assert broker.counted("reports_total", state="serving") == 1
        assert broker.counted("time_to_routable_seconds_sum") == 0.7

    run(main())


def test_a_report_that_comes_again_writes_nothing() -> None:
    """To another replica, and after a restart of either side: what was told stands in the pod."""

    async def main() -> None:
        first = Replica()
        await first.take(SERVING)
        written = len(first.api.calls)
        second = Replica(first.api.another())
        await second.take(SERVING)
        assert [verb for verb, _ in second.api.calls] == ["get"]
        assert len(first.api.calls) == written
        assert first.told() == [("serving", "Normal")]
        assert second.counted("time_to_routable_seconds_count") == 0

    run(main())


@pytest.mark.parametrize("dies_at", ["strategic", "create", "get"])
def test_a_replica_that_dies_in_the_middle_leaves_one_event_and_the_condition(dies_at: str) -> None:
    """The registrar tells the other one, which does what is left to do."""

    async def main() -> None:
        first = Replica()
        first.api.fail[dies_at] = UNREACHABLE
        assert await first.refuses(SERVING) is Rule.CANNOT_ASK_KUBERNETES
        second = Replica(first.api.another())
        await second.take(SERVING)
        assert second.told() == [("serving", "Normal")]
        found = second.condition()
        assert found is not None
        assert found.routable
        counts = [one.counted("time_to_routable_seconds_count") for one in (first, second)]
        assert counts == [0, 1]

    run(main())


def test_two_replicas_that_are_told_at_once_say_it_once() -> None:
    """An answer is lost, the registrar tells it again, and the first one is still at it."""

    async def main() -> None:
        first = Replica()
        second = Replica(first.api.another())
        await asyncio.gather(first.take(SERVING), second.take(SERVING))
        assert first.told() == [("serving", "Normal")]

    run(main())


def test_every_life_of_a_pod_is_told() -> None:
    """A pod that drains and lives on, twice: each change of state has its Event, those of before too."""

    async def main() -> None:
        broker = Replica()
        lives = [SERVING, StateReport(State.DRAINING), DRAINED, StateReport(State.WAITING)]
        for report in (*lives, *lives):
            await broker.take(report)
            await asyncio.sleep(30)
        assert [reason for reason, _ in broker.told()] == 2 * ["serving", "draining", "drained", "waiting"]
        assert broker.counted("drains_total", end="done") == 2
        assert broker.counted("drain_cut_requests_total") == 4
        assert broker.counted("drain_seconds_sum", phase="propagating") == 70.0
        assert broker.counted("drain_seconds_count", phase="in_flight") == 0

    run(main())


@pytest.mark.parametrize(
    ("fails", "rule"),
    [
        ({"get": UNREACHABLE}, Rule.CANNOT_ASK_KUBERNETES),
        ({"strategic": FORBIDDEN}, Rule.CANNOT_ASK_KUBERNETES),
        ({"strategic": NOT_FOUND}, Rule.POD_GONE),
        ({"strategic": ApiError(422, "Invalid", "metadata.uid: field is immutable")}, Rule.POD_GONE),
        ({"get": NOT_FOUND}, Rule.POD_GONE),
    ],
)
def test_what_cannot_be_written_is_answered_so(fails: dict[str, ApiError], rule: Rule) -> None:
    """The registrar tells it again, unless its pod is gone."""

    async def main() -> None:
        broker = Replica()
        broker.api.fail |= fails
        assert await broker.refuses(SERVING) is rule
        assert broker.counted("time_to_routable_seconds_count") == 0

    run(main())


def test_a_namespace_that_takes_no_events_keeps_nobody_from_the_condition() -> None:
    """It is being deleted: its pods' drains are counted all the same, and the Event is lost."""

    async def main() -> None:
        broker = Replica()
        broker.api.fail["create"] = FORBIDDEN
        await broker.take(DRAINED)
        assert broker.condition() is not None
        assert (broker.told(), broker.events.lost) == ([], 1)
        assert broker.counted("drains_total", end="done") == 1

    run(main())


def test_another_pod_of_the_name_gets_nothing() -> None:
    """The caller's pod was deleted and made anew while its token is still known."""

    async def main() -> None:
        broker = Replica()
        broker.api.objects[PATH]["metadata"]["uid"] = "uid-2"
        assert await broker.refuses(SERVING) is Rule.POD_GONE
        assert (broker.condition(), broker.told()) == (None, [])

    run(main())


def test_a_pod_without_a_registrar_gets_nothing() -> None:
    """A pod of somebody's own with a token for the broker's audience."""

    async def main() -> None:
        broker = Replica()
        broker.api.objects[PATH]["spec"] = {"containers": [{"name": "registrar"}]}
        assert await broker.refuses(SERVING) is Rule.POD_NOT_INJECTED
        assert broker.condition() is None

    run(main())


def test_a_pod_cannot_flood_the_api_server() -> None:
    """Whatever it tells, and how often: ten at once, and one in ten seconds from then on."""

    async def main() -> None:
        broker = Replica()
        refused = 0
        for number in range(3600):
            state = (State.SERVING, State.BLOCKED)[number % 2]
            with contextlib.suppress(RefusedError):
                await broker.take(StateReport(state, message=str(number), models=1, wanted=1))
                refused -= 1
            refused += 1
            await asyncio.sleep(1)
        taken = 3600 - refused
        assert taken <= POD_LIMIT.burst + 3600 * POD_LIMIT.rate + 1
        assert len(broker.api.calls) <= 3 * taken

    run(main())


def test_an_api_server_that_hangs_is_given_up_before_the_registrar_does() -> None:
    """Else an old report would be written over what the registrar has told another replica meanwhile."""

    async def main() -> None:
        broker = Replica()
        broker.api.hang = asyncio.Event()
        began = now()
        assert await broker.refuses(SERVING) is Rule.BUSY
        assert now() - began < 5
        broker.api.hang.set()
        await asyncio.sleep(1)
        assert broker.condition() is None

    run(main())


def test_what_a_registrar_makes_up_keeps_the_figures_usable() -> None:
    """A pod may lie about itself; a sum must stay a sum."""

    async def main() -> None:
        broker = Replica()
        lie: dict[str, Any] = {
            "routable": 1e300,
            "drain": DrainReport("overdue", {"deleting": 1e300}, 10**15),
        }
        await broker.take(StateReport(State.DRAINED, **lie))
        assert broker.counted("time_to_routable_seconds_sum") == 86_400
        assert broker.counted("drain_seconds_sum", phase="deleting") == 86_400
        assert broker.counted("drain_cut_requests_total") == 10_000

    run(main())


def test_what_was_asked_before_a_report_tells_nothing_of_it() -> None:
    """A look at the pod, for one of its rows, hangs for longer than a report takes: that one looks anew."""

    async def main() -> None:
        broker = Replica()
        await broker.take(SERVING)
        broker.api.hang = asyncio.Event()
        row = asyncio.create_task(broker.pods.facts(CALLER, fresh=True))
        await asyncio.sleep(1)
        held, broker.api.hang = broker.api.hang, None
        await broker.take(StateReport(State.BLOCKED, wanted=1))
        await broker.take(SERVING)
        held.set()
        await row
        assert [reason for reason, _ in broker.told()] == ["serving", "blocked", "serving"]
        found = broker.condition()
        assert found is not None
        assert found.routable

    run(main())
