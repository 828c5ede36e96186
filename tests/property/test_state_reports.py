"""Whatever is lost between a registrar, two brokers and the API server: each state is written, told once."""

from __future__ import annotations

import asyncio
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.broker_contract import DrainReport, State, StateReport
from tests.injected import injected, running
from tests.standins.kube import UNREACHABLE, FakeApi
from tests.virtual_time import now, run
from webhook.broker.metrics import Metrics
from webhook.broker.pods import Pods
from webhook.broker.reports import Reports
from webhook.broker.shapes import Caller, RefusedError
from webhook.kube.events import Events
from webhook.log import Log
from webhook.registered import registered

CALLER = Caller("shop", "qwen", "uid-1", "node-1")
PATH = "/api/v1/namespaces/shop/pods/qwen"
# Seconds between two states, so that the rate is none of the matter.
APART = 60.0

STATES = st.lists(st.sampled_from(list(State)), min_size=1, max_size=8)
# What becomes of each try: which replica gets it, and where the API server fails it (None: nowhere); after
# the last one it succeeds, and `lost` answers of it have the registrar tell it again.
TRIES = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["get", "create", "strategic"])), max_size=3)
FATES = st.lists(st.tuples(TRIES, st.integers(0, 1), st.integers(0, 2)), min_size=8, max_size=8)


class Replica:
    """One of two brokers, as far as it takes reports."""

    def __init__(self, api: FakeApi) -> None:
        log = Log(io.StringIO())
        self.api = api
        self.metrics = Metrics()
        events = Events(api, "litellm-registrar-broker", log)
        self.reports = Reports(api, Pods(api, now), events, self.metrics, log, now=now)

    async def take(self, report: StateReport, fails: str = "") -> None:
        """Take a report, while the API server fails calls of this verb."""
        self.api.fail = {fails: UNREACHABLE} if fails else {}
        try:
            await self.reports.take(report, CALLER, now())
        except RefusedError:
            assert fails
        finally:
            self.api.fail = {}

    def drains(self) -> float:
        """Count the drains that it has counted."""
        name, labels = "litellm_registrar_broker_drains_total", {"end": "done"}
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def report(state: State) -> StateReport:
    """Give what a registrar tells of a state."""
    drain = DrainReport("done", {"deleting": 0.1}, 0) if state is State.DRAINED else None
    models = int(state is State.SERVING)
    return StateReport(state, models=models, wanted=1, drain=drain)


@settings(max_examples=200, deadline=None)
@given(states=STATES, fates=FATES)
def test_each_state_is_written_and_told_once(
    states: list[State], fates: list[tuple[list[tuple[int, str]], int, int]]
) -> None:
    """The condition is the last one told; Events and drains are as many as there were changes of state."""

    async def main() -> None:
        api = FakeApi()
        api.put(PATH, running(injected("shop"), "10.0.0.7"))
        replicas = Replica(api), Replica(api.another())
        for state, (tries, last, lost) in zip(states, fates, strict=False):
            for replica, fails in tries:
                await replicas[replica].take(report(state), fails)
                await asyncio.sleep(APART)
            for again in range(1 + lost):
                await replicas[(last + again) % 2].take(report(state))
                await asyncio.sleep(APART)
            found = registered(api.objects[PATH])
            assert found is not None
            assert (found.state, found.routable) == (state, state is State.SERVING)
        changes = [one for one, before in zip(states, [None, *states], strict=False) if one is not before]
        told = [one["reason"] for path, one in api.objects.items() if "/events/" in path]
        assert told == [state.value for state in changes]
        assert sum(replica.drains() for replica in replicas) == changes.count(State.DRAINED)

    run(main())
