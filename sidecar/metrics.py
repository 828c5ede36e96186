"""The registrar's own metrics, for Prometheus: `/metrics` on its port.

The values of labels are all of this code: what a server, a model, a pod or LiteLLM is called becomes none, so
the number of series is bounded whatever happens. What the registrar knows anyhow is read when metrics are
asked for; only what passes is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric

from sidecar import __version__
from sidecar.agent import Agent
from sidecar.broker_contract import DRAIN_ENDS, State
from sidecar.contract import CONTRACT_VERSION
from sidecar.drain import Outcome
from sidecar.entry import STATES
from sidecar.keeper import Keeper
from sidecar.litellm import OK, Call
from sidecar.reasons import Reason
from sidecar.servers.probe import Told
from sidecar.servers.shapes import Answer, Asleep, Observation, Refused

PREFIX: Final = "litellm_registrar"


class Metrics:
    """What is counted, in a registry of its own."""

    def __init__(self) -> None:
        # When each counter began: as many series again, which nobody asks for. (The library lacks its type.)
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._looks = self._counter(
            "server_looks", "Looks at the model server, by what was seen: ok, or a reason's name", "outcome"
        )
        self._probes = self._counter(
            "probes", "Questions put to the model server about what its models can do", "outcome"
        )
        self._calls = self._counter(
            "litellm_calls",
            "Calls of LiteLLM or the broker, by what came of them: ok, absent, or a reason's name",
            *("call", "outcome"),
        )
        self._problems = self._counter("problems", "Problems that were said, by the reason's name", "reason")
        self._drains = self._counter("drains", "Drains that are over, by how they ended", "end")
        self._cut = self._counter("drain_cut_requests", "Requests still in flight when a drain was over")
        about = Gauge(
            f"{PREFIX}_info",
            "1, by the registrar's version and that of the contract that it was built for",
            ("version", "contract"),
            registry=self.registry,
        )
        about.labels(__version__, CONTRACT_VERSION).set(1)
        # What never happened is 0, not absent: an alert sees the first.
        self._problems.labels(Reason.INTERNAL_ERROR)
        for end in DRAIN_ENDS:
            self._drains.labels(end)
        for told in Told:
            self._probes.labels(told)

    def looked(self, seen: Observation) -> None:
        """Count a look at the server."""
        match seen:
            case Answer():
                outcome = OK
            case Refused():
                outcome = Reason.SERVER_REFUSED.value
            case Asleep():
                outcome = Reason.SERVER_ASLEEP.value
            case _:
                outcome = seen.reason.value
        self._looks.labels(outcome).inc()

    def probed(self, told: Told) -> None:
        """Count a question put to the server."""
        self._probes.labels(told).inc()

    def answered(self, call: Call, outcome: str) -> None:
        """Count a call of LiteLLM."""
        self._calls.labels(call, outcome).inc()

    def said(self, reason: Reason) -> None:
        """Count a problem that was worth a line."""
        self._problems.labels(reason).inc()

    def drained(self, outcome: Outcome) -> None:
        """Count a drain that is over, and what it cut as far as that is known."""
        self._drains.labels(outcome.end).inc()
        self._cut.inc(outcome.cut or 0)

    def follow(self, agent: Agent, keeper: Keeper) -> None:
        """Show where the agent and its rows are; asked when metrics are read."""
        self.registry.register(_Standing(agent, keeper))

    def page(self) -> tuple[str, bytes]:
        """Give all of it in Prometheus' text format, after its content type."""
        return CONTENT_TYPE_LATEST, generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", about, labels, registry=self.registry)


class _Standing:
    """Where a registrar is now; what is not known has no series."""

    def __init__(self, agent: Agent, keeper: Keeper) -> None:
        self._agent = agent
        self._keeper = keeper

    def collect(self) -> Iterator[Metric]:
        """Give what is known now, as the library asks for it."""
        agent, drain = self._agent, self._agent.last_drain
        state = _gauge("state", "1 for the state that the registrar is in", "state")
        for one in State:
            state.add_metric((one,), one is agent.state)
        yield state
        rows = _gauge("rows", "Rows of this pod in LiteLLM, as last heard of", "state")
        states = [entry.state for entry in self._keeper.entries]
        for word in STATES:
            rows.add_metric((word,), states.count(word))
        yield rows
        yield _known(
            "time_to_routable_seconds",
            "Time from the server's first good answer until its models were routable for the first time",
            agent.routable,
        )
        seconds = _gauge("drain_seconds", "Time that the drain has spent in each phase, so far", "phase")
        for phase, spent in (drain.phases if drain is not None else {}).items():
            seconds.add_metric((phase,), spent)
        yield seconds
        yield _known(
            "requests_in_flight_at_sigterm",
            "Requests in flight when the server got SIGTERM: at the end of a drain before it, or at a signal",
            None if drain is None else drain.at_sigterm,
        )


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", about, labels=labels)


def _known(name: str, about: str, value: float | None) -> GaugeMetricFamily:
    gauge = _gauge(name, about)
    if value is not None:
        gauge.add_metric((), value)
    return gauge
