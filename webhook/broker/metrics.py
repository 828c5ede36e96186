"""The broker's metrics, for Prometheus.

No label of any holds what comes with a request: the number of series is bounded by the code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from sidecar.broker_contract import DRAIN_ENDS, DRAIN_PHASES, DrainReport, State
from webhook.broker.key_abilities import Abilities
from webhook.broker.shapes import Outcome, Rule
from webhook.process_metrics import ProcessMetrics

PREFIX: Final = "litellm_registrar_broker"
# Seconds. Our own part takes some ms, a write of LiteLLM's 0.1 to 4 s, and up to 60 s where it is busy.
_BUCKETS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.02,
    0.03,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
# Seconds until a model was routable, and of a drain's phases (propagation alone is 35 as shipped).
_LIFE_BUCKETS: Final = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 40.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
# What a registrar tells is counted up to this: seconds of a day, requests. A sum must stay a sum.
_MOST_SECONDS: Final = 86_400.0
_MOST_CUT: Final = 10_000


class Metrics(ProcessMetrics):
    """What is counted, in a registry of its own."""

    def __init__(self) -> None:
        super().__init__(PREFIX)
        self._calls = Counter(
            f"{PREFIX}_calls",
            "Calls of registrars answered, by what was asked and the answer's status",
            ("call", "status"),
            registry=self.registry,
        )
        self._refusals = Counter(
            f"{PREFIX}_refusals", "Calls refused, by rule", ("rule",), registry=self.registry
        )
        self._litellm = Counter(
            f"{PREFIX}_litellm_requests",
            "Requests to LiteLLM, registrars' and the broker's own, by what became of them",
            ("outcome",),
            registry=self.registry,
        )
        self._seconds = Histogram(
            f"{PREFIX}_call_seconds",
            "Time of a call, apart: litellm until LiteLLM answered it, queue until it was its turn there, "
            "lookup until LiteLLM had said who holds a name, own the rest",
            ("call", "part"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._waiting = Gauge(
            f"{PREFIX}_writes_waiting", "Writes that wait for a place at LiteLLM", registry=self.registry
        )
        self._lost = Gauge(
            f"{PREFIX}_events_lost",
            "Events on pods that could not be written, since the start",
            registry=self.registry,
        )
        self._key = Gauge(
            f"{PREFIX}_key",
            "What is known of LiteLLM's key, 1 for each that is so: unknown; missing (it cannot do all that "
            "is needed); wide, unbound, master (it can do more than that)",
            ("is",),
            registry=self.registry,
        )
        self._reports = Counter(
            f"{PREFIX}_reports",
            "Reports of registrars taken, by the state they tell",
            ("state",),
            registry=self.registry,
        )
        self._routable = Histogram(
            f"{PREFIX}_time_to_routable_seconds",
            "From a server's first good answer until its models were routable for the first time",
            buckets=_LIFE_BUCKETS,
            registry=self.registry,
        )
        self._drain = Histogram(
            f"{PREFIX}_drain_seconds",
            "What drains spent their time with, by phase",
            ("phase",),
            buckets=_LIFE_BUCKETS,
            registry=self.registry,
        )
        self._drains = Counter(
            f"{PREFIX}_drains", "Drains that have ended, by how", ("end",), registry=self.registry
        )
        self._cut = Counter(
            f"{PREFIX}_drain_cut_requests",
            "Requests in flight when their drain ended, as far as known",
            registry=self.registry,
        )
        for state in State:
            self._reports.labels(state.value)
        for phase in DRAIN_PHASES:
            self._drain.labels(phase)
        for end in DRAIN_ENDS:
            self._drains.labels(end)
        for rule in Rule:  # a rule that was never broken is 0, not absent
            self._refusals.labels(rule.value)
        for outcome in Outcome:
            self._litellm.labels(outcome.value)

    def call(self, call: str, status: int, seconds: Mapping[str, float]) -> None:
        """Count an answered call; `seconds` by part, those left out that it had not."""
        self._calls.labels(call, str(status)).inc()
        for part, spent in seconds.items():
            if spent:
                self._seconds.labels(call, part).observe(spent)

    def refusal(self, rule: Rule) -> None:
        """Count a refusal."""
        self._refusals.labels(rule.value).inc()

    def litellm(self, outcome: Outcome) -> None:
        """Count a request to LiteLLM."""
        self._litellm.labels(outcome.value).inc()

    def waiting(self, count: Callable[[], int]) -> None:
        """Show how many writes wait, asked when metrics are read."""
        self._waiting.set_function(count)

    def events_lost(self, count: Callable[[], int]) -> None:
        """Show how many Events could not be written, asked when metrics are read."""
        self._lost.set_function(count)

    def key(self, abilities: Abilities) -> None:
        """Show what is known of LiteLLM's key."""
        for item in fields(Abilities):
            self._key.labels(item.name).set(bool(getattr(abilities, item.name)))

    def report(self, state: State) -> None:
        """Count a registrar's report."""
        self._reports.labels(state.value).inc()

    def routable(self, seconds: float) -> None:
        """Count how long it took until models were routable."""
        self._routable.observe(min(seconds, _MOST_SECONDS))

    def drained(self, drain: DrainReport) -> None:
        """Count a drain."""
        self._drains.labels(drain.end).inc()
        for phase, seconds in drain.seconds.items():
            self._drain.labels(phase).observe(min(seconds, _MOST_SECONDS))
        self._cut.inc(min(drain.cut or 0, _MOST_CUT))
