"""What the reaper counts, for Prometheus."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from webhook.broker.metrics import PREFIX
from webhook.reaper.registrars import STATES, RegistrarFigures
from webhook.reaper.shapes import Brake, Failure, Reason, RowState

T = TypeVar("T", bound=str)

_LEADER: Final = "; exported by the leading replica only, once it knows"


@dataclass(frozen=True, slots=True)
class Figures:
    """What the last look found, at a time of day (seconds since 1970).

    `rows` is None until the pods are known, and while LiteLLM cannot be read; `registrars` until the former.
    """

    at: float
    rows: Count[RowState] | None = None
    due: Count[Reason] = field(default_factory=Count)
    held: frozenset[Brake] = frozenset()
    registrars: RegistrarFigures | None = None


class ReaperMetrics:
    """In the registry of the process. Gauges are exported only while this replica leads.

    Others have no series, so that neither a sum nor a maximum counts what nobody keeps up to date.
    """

    def __init__(self, registry: CollectorRegistry, leading: Callable[[], bool]) -> None:
        self.figures: Figures | None = None
        Gauge(
            f"{PREFIX}_reaper_leading", "Whether this replica is the one that reaps", registry=registry
        ).set_function(leading)
        self.removed = Counter(
            f"{PREFIX}_reaper_removed",
            "Rows that the reaper removed, by reason",
            ("reason",),
            registry=registry,
        )
        self.blocked = Counter(
            f"{PREFIX}_reaper_blocked", "Rows blocked as their node was not Ready", registry=registry
        )
        self.unblocked = Counter(
            f"{PREFIX}_reaper_unblocked", "Rows unblocked as their node was Ready again", registry=registry
        )
        self.failures = Counter(
            f"{PREFIX}_reaper_failures",
            "What was due and could not be done, by reason; it is tried again",
            ("reason",),
            registry=registry,
        )
        for reason in Reason:
            self.removed.labels(reason.value)
        for failure in Failure:
            self.failures.labels(failure.value)
        registry.register(self)  # a collector: asked when metrics are read

    def collect(self) -> Iterator[Metric]:
        """Give what is known now, as the library asks for it."""
        found = self.figures
        if found is None:
            return
        yield GaugeMetricFamily(
            f"{PREFIX}_reaper_last_look_timestamp_seconds",
            f"When rows were last held against pods, in seconds since 1970{_LEADER}",
            value=found.at,
        )
        if found.rows is not None:
            about = "Rows of this cluster's registrars, by state"
            yield _gauges("rows", about, "state", list(RowState), found.rows)
        due = "Rows that are to be removed now, by reason"
        yield _gauges("reaper_due", due, "reason", list(Reason), found.due)
        held = "1 for each brake that holds the reaper back"
        yield _gauges("reaper_held", held, "brake", list(Brake), Count(found.held))
        if found.registrars is None:
            return
        states = (
            "Living pods whose registrar tells the broker its state, by that; silent: it has told nothing"
        )
        yield _gauges("registrars", states, "state", STATES, found.registrars.states)
        long = "Of these the pods of which nothing has been routable for five minutes or more, by state"
        yield _gauges("not_routable_pods", long, "state", STATES, found.registrars.not_routable)


def _gauges(name: str, about: str, label: str, values: Iterable[T], found: Mapping[T, int]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", about + _LEADER, labels=(label,))
    for value in values:
        family.add_metric((value,), found.get(value, 0))
    return family
