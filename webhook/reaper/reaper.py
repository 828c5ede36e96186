"""The reaper of one replica of the broker: it leads by a Lease, or waits until it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry

from webhook.broker.known_rows import KnownRows
from webhook.broker.settings import Reap
from webhook.broker.table import Sending
from webhook.kube.api import Api
from webhook.kube.events import Events
from webhook.kube.leader import Timing
from webhook.kube.terms import Terms
from webhook.log import Log
from webhook.reaper.hands import Hands
from webhook.reaper.ledger import Ledger
from webhook.reaper.metrics import ReaperMetrics
from webhook.reaper.shapes import Bounds
from webhook.reaper.telling import Telling
from webhook.reaper.term import Term
from webhook.reaper.watch import Watch

LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"


class Reaper:
    """`run` it as long as the process serves. Rights: those of `Terms`, `Term` and `Events`."""

    def __init__(
        self,
        api: Api,
        lease: tuple[str, str],
        log: Log,
        registry: CollectorRegistry,
        *,
        rows: KnownRows,
        upstream: Sending,
        events: Events,
        cluster: str,
        mode: Reap,
        bounds: Bounds,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        now: Callable[[], float] = time.monotonic,
        today: Callable[[], float] = time.time,
    ) -> None:
        """Stand for the `lease`, by namespace and name; `rows` goes by the clock `now` too."""
        namespace, name = lease
        path = LEASES.format(namespace=namespace, name=name)
        self._terms = Terms(api, path, log, self._look, timing=timing)
        self._api = api
        self._rows = rows
        self._log = log
        self._mode = mode
        self._bounds = bounds
        self._now = now
        self._today = today
        self._ledger = Ledger(api, path)
        self._metrics = ReaperMetrics(registry, lambda: self._terms.leading)
        self._telling = Telling(log, events, self._metrics, lease)
        self._hands = Hands(api, upstream, rows, cluster, lambda: self._terms.leading)

    async def run(self) -> None:
        """Stand for the Lease, and reap while it is ours, until cancelled."""
        await self._terms.run()

    async def _look(self) -> None:
        term = Term(
            Watch(self._api, self._log),
            rows=self._rows,
            hands=self._hands,
            ledger=self._ledger,
            telling=self._telling,
            metrics=self._metrics,
            holder=self._terms.holder,
            mode=self._mode,
            bounds=self._bounds,
            now=self._now,
            today=self._today,
        )
        await self._terms.kept_going(term.run)
