"""What Prometheus reads of webhook and broker, in states brought about by the processes' own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from webhook.broker import metrics as of_broker
from webhook.broker.key_abilities import Abilities
from webhook.living.figures import Judged, PodFigures
from webhook.living.metrics import LivingMetrics
from webhook.metrics import PREFIX as WEBHOOK_PREFIX
from webhook.metrics import Metrics as WebhookMetrics
from webhook.process_metrics import ProcessMetrics
from webhook.tls.metrics import OwnMetrics

_DAY = 86400.0
# So many minutes the series of a test last, from 1970-01-01T00:00Z on: that is promtool's clock.
MINUTES = 60

# A series by its name and labels, with its type and value.
Scrape = dict[tuple[str, tuple[tuple[str, str], ...]], tuple[str, float]]


class Process:
    """One replica's metrics; as it is made it is in the best of health."""

    metrics: ProcessMetrics
    prefix: str

    def __init__(self) -> None:
        self.tls = OwnMetrics(self.metrics.registry, self.prefix)
        self.tls.ends("leaf", 60 * _DAY)
        self.tls.ends("ca", 3650 * _DAY)
        self.tls.verifies.set(1)
        self.tls.published.set(1)
        self.file_is_good = True

    def work(self) -> None:
        """Do what is done every minute."""
        raise NotImplementedError

    def scrape(self) -> Scrape:
        """Give type and value of each series, as Prometheus reads them."""
        families = text_string_to_metric_families(self.metrics.text().decode())
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): (family.type, sample.value)
            for family in families
            for sample in family.samples
        }


class Webhook(Process):
    """A replica of the webhook; one of two leads."""

    prefix = WEBHOOK_PREFIX

    def __init__(self, *, leads: bool) -> None:
        self.metrics: WebhookMetrics = WebhookMetrics()
        super().__init__()
        self.metrics.follow("policy", lambda: self.file_is_good)
        self.leads = leads
        self.living = LivingMetrics(self.metrics.registry, self.prefix, lambda: self.leads, lambda: 0)
        if leads:
            self.living.pods = PodFigures(injected=7, not_started=0, missed={})
            self.living.judged = Judged(at=0.0, judged=7, refused_now=0, refused_later=0)
        self.work()

    def work(self) -> None:
        """Do what is done every minute."""
        self.metrics.review("/mutate", "injected", "", 0.001)


class Broker(Process):
    """A replica of the broker."""

    prefix = of_broker.PREFIX

    def __init__(self) -> None:
        self.metrics: of_broker.Metrics = of_broker.Metrics()
        super().__init__()
        self.metrics.follow("names", lambda: self.file_is_good)
        self.metrics.key(Abilities())
        self.work()

    def work(self) -> None:
        """Do what is done every minute."""
        for _ in range(10):
            self.metrics.call("find", 200, {"own": 0.01})


def _nothing(_: Process) -> None:
    """Leave a replica as it is."""


@dataclass(frozen=True)
class World:
    """Two replicas of webhook and broker each, of which one webhook leads.

    `every` is done to each of them once a minute, `first` to the first of each kind alone; `down` are jobs,
    and single pods, that Prometheus does not reach.
    """

    namespace: str
    release: str
    every: Callable[[Process], None] = _nothing
    first: Callable[[Process], None] = _nothing
    down: frozenset[str] = field(default_factory=frozenset)

    def series(self) -> list[dict[str, str]]:
        """Give what Prometheus has of it, in the notation of promtool's tests: one value a minute."""
        replicas: dict[str, list[Process]] = {
            "webhook": [Webhook(leads=True), Webhook(leads=False)],
            "broker": [Broker(), Broker()],
        }
        return [
            line
            for kind, processes in replicas.items()
            for number, process in enumerate(processes)
            for line in self._of(kind, number, process)
        ]

    def _of(self, kind: str, number: int, process: Process) -> Iterator[dict[str, str]]:
        job = f"{self.release}-{kind}"
        pod = f"{job}-{number}"
        place = {"namespace": self.namespace, "job": job, "pod": pod}
        is_up = not {job, pod} & self.down
        yield {"series": _written("up", place), "values": f"{int(is_up)}+0x{MINUTES}"}
        before = process.scrape()
        process.work()
        self.every(process)
        if number == 0:
            self.first(process)
        for (name, labels), (kind_of, value) in process.scrape().items():
            values = _course(kind_of, before.get((name, labels)), value)
            if is_up:
                yield {"series": _written(name, {**dict(labels), **place}), "values": values}


def _course(kind: str, before: tuple[str, float] | None, now: float) -> str:
    """Go on as in the first minute if it is a counter; stay as it is now if it is not.

    A counter that the process had not at first appears after ten minutes.
    """
    if kind not in {"counter", "histogram"}:
        return f"{now:.0f}+0x{MINUTES}"
    if before is None:
        return f"_x10 {now:.6f}+{now:.6f}x{MINUTES}"
    return f"{before[1]:.6f}+{now - before[1]:.6f}x{MINUTES}"


def _written(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
