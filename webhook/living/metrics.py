"""What the leader finds among what lives, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from webhook.living.figures import Judged, Kind, PodFigures
from webhook.living.pods import CONTRACTS, OTHER_CONTRACT
from webhook.reasons import Reason

_LEADER: Final = "; exported by the leading replica only, once it knows"


class LivingMetrics:
    """Gauges in the registry of the process; `prefix` begins their names.

    `pods` and `judged` are figures only while this replica leads: others have no series, so that neither a
    sum nor a maximum over replicas counts what nobody keeps up to date.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        prefix: str,
        leading: Callable[[], bool],
        events_lost: Callable[[], int],
    ) -> None:
        self._prefix = prefix
        self.pods: PodFigures | None = None
        self.judged: Judged | None = None
        Gauge(
            f"{prefix}_leading",
            "Whether this replica looks after what lives",
            registry=registry,
        ).set_function(leading)
        Gauge(
            f"{prefix}_events_lost",
            "Events on what lives that could not be written, since the start",
            registry=registry,
        ).set_function(events_lost)
        registry.register(self)  # a collector: asked when metrics are read

    def collect(self) -> Iterator[Metric]:
        """Give what is known now, as the library asks for it."""
        if self.pods is not None:
            yield from self._of_pods(self.pods)
        if self.judged is not None:
            yield from self._of_servers(self.judged)

    def _of_pods(self, found: PodFigures) -> Iterator[Metric]:
        yield self._gauge("injected_pods", "Living pods with a registrar", found.injected)
        registrars = GaugeMetricFamily(
            f"{self._prefix}_registrars",
            "Living pods with a registrar, by the version of the contract that it was injected with, and "
            f"whether its image is the current one, that new pods get{_LEADER}",
            labels=("contract", "image"),
        )
        for contract in (*CONTRACTS, OTHER_CONTRACT):
            for image, current in (("current", True), ("other", False)):
                registrars.add_metric((contract, image), found.registrars.get(Kind(contract, current), 0))
        yield registrars
        yield self._gauge(
            "injected_pods_not_started",
            "Living pods whose registrar has not started for a while: its image cannot be pulled, it crashes",
            found.not_started,
        )
        missed = GaugeMetricFamily(
            f"{self._prefix}_missed_pods",
            "Living pods that ask for a registrar and have none, by the reason's name: missed, if they would "
            f"get one when made anew, else what keeps them from it{_LEADER}",
            labels=("reason",),
        )
        for reason in {Reason.MISSED, *found.missed}:  # 0 is said of nothing but that
            missed.add_metric((reason,), found.missed.get(reason, 0))
        yield missed

    def _of_servers(self, found: Judged) -> Iterator[Metric]:
        yield self._gauge(
            "servers_judged", "Workloads and lone pods of model servers that were judged", found.judged
        )
        yield self._gauge(
            "servers_judged_timestamp_seconds", "When that was, in seconds since 1970", found.at
        )
        refused = GaugeMetricFamily(
            f"{self._prefix}_servers_refused",
            "Those of them that the policy would refuse if they were made anew: now, or when an exception "
            f"ends{_LEADER}",
            labels=("when",),
        )
        refused.add_metric(("now",), found.refused_now)
        refused.add_metric(("exception_ends",), found.refused_later)
        yield refused

    def _gauge(self, name: str, about: str, value: float) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{self._prefix}_{name}", about + _LEADER, value=value)
