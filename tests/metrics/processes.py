"""Webhook and broker as far as they export metrics, in states brought about by the processes' own code."""

from __future__ import annotations

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from sidecar.broker_contract import State
from sidecar.contract import CONTRACT_VERSION
from webhook.broker import metrics as of_broker
from webhook.broker.key_abilities import Abilities
from webhook.kubelets import Decided
from webhook.living.figures import Judged, Kind, PodFigures
from webhook.living.metrics import LivingMetrics
from webhook.metrics import PREFIX as WEBHOOK_PREFIX
from webhook.metrics import Metrics as WebhookMetrics
from webhook.node_modes import KubeletMetrics
from webhook.process_metrics import ProcessMetrics
from webhook.reaper.metrics import Figures, ReaperMetrics
from webhook.reaper.registrars import RegistrarFigures
from webhook.reaper.shapes import RowState
from webhook.tls.metrics import OwnMetrics
from webhook.wishes import InjectMode

_DAY = 86400.0
# Later (seconds since 1970) than any moment at which a test asks; Prometheus' clock begins at 0 there.
LATEST = 3600.0

# A series by its name and labels, with its type and value.
Scrape = dict[tuple[str, tuple[tuple[str, str], ...]], tuple[str, float]]


def scraped(text: bytes) -> Scrape:
    """Give type and value of each series, as Prometheus reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): (family.type, sample.value)
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


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
        return scraped(self.metrics.text())


class Webhook(Process):
    """A replica of the webhook; one of two leads."""

    prefix = WEBHOOK_PREFIX

    def __init__(self, *, leads: bool = True) -> None:
        self.metrics: WebhookMetrics = WebhookMetrics()
        super().__init__()
        self.metrics.follow("policy", lambda: self.file_is_good)
        KubeletMetrics(self.metrics.registry).show(
            InjectMode.NATIVE, Decided(InjectMode.NATIVE, {"node": InjectMode.NATIVE}, old=0, unreadable=0)
        )
        self.leads = leads
        self.living = LivingMetrics(self.metrics.registry, self.prefix, lambda: self.leads, lambda: 0)
        if leads:
            self.living.pods = PodFigures(
                {Kind(str(CONTRACT_VERSION), current=True): 7}, not_started=0, missed={}
            )
            self.living.judged = Judged(at=0.0, judged=7, refused_now=0, refused_later=0)
        self.work()

    def work(self) -> None:
        """Do what is done every minute."""
        self.metrics.review("/mutate", "injected", "", 0.001)


class Broker(Process):
    """A replica of the broker; one of two leads."""

    prefix = of_broker.PREFIX

    def __init__(self, *, leads: bool = True) -> None:
        self.metrics: of_broker.Metrics = of_broker.Metrics()
        super().__init__()
        self.metrics.follow("names", lambda: self.file_is_good)
        self.metrics.key(Abilities())
        self.leads = leads
        self.reaper = ReaperMetrics(self.metrics.registry, lambda: self.leads)
        if leads:
            self.reaper.figures = Figures(
                at=LATEST,
                rows=Counter({RowState.REGISTERED: 7}),
                registrars=RegistrarFigures({State.SERVING: 7}, {}),
            )
        self.work()

    def work(self) -> None:
        """Do what is done every minute."""
        for _ in range(10):
            self.metrics.call("find", 200, {"own": 0.01})
