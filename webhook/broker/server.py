"""Puts the broker together: starts its two ports, waits for a signal, stops without losing a call."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from webhook.broker.app import App
from webhook.broker.claims import Claims
from webhook.broker.desk import Bounds, Desk
from webhook.broker.fair_queue import READS_AT_ONCE, WRITES_WAIT, FairQueue
from webhook.broker.key_report import KeyReport
from webhook.broker.known_rows import KnownRows
from webhook.broker.metrics import PREFIX, Metrics
from webhook.broker.names_file import names_file
from webhook.broker.pods import Pods
from webhook.broker.rates import Limit, Rates
from webhook.broker.reports import Reports
from webhook.broker.settings import Settings
from webhook.broker.shapes import Outcome
from webhook.broker.tokens import Tokens
from webhook.broker.upstream import Upstream, read_key, trust
from webhook.config import ConfigError
from webhook.flags import SettingsError
from webhook.followed_file import FollowedFile
from webhook.kube.api import Api, ApiError
from webhook.kube.events import Events
from webhook.kube.identity import cluster_uid
from webhook.log import Log
from webhook.process_metrics import ProcessMetrics
from webhook.reaper.reaper import Reaper
from webhook.reaper.shapes import Bounds as ReaperBounds
from webhook.serving import Port, health, started, until_stopped, wind_down
from webhook.tls.live import Live
from webhook.tls.metrics import OwnMetrics
from webhook.tls.own import Keeper, Own, times
from webhook.tls.performing import Kind
from webhook.tls.publication import ConfigMapKey

# Seconds that a registrar's connection may be idle; it gives one up itself after 5 (httpx's default).
_KEEPALIVE: Final = 30.0
# How many calls may come at once, for each call a second that may come on average.
_BURST: Final = 10.0
# Seconds between two looks for connections that say nothing.
_LISTEN_EVERY: Final = 5.0
# Seconds between two looks for claims of names that are stale.
_SWEEP_EVERY: Final = 300.0


class Server:
    """The broker on its two ports."""

    def __init__(self, settings: Settings, log: Log, api: Api, live: Live | None = None) -> None:
        """Put it together; `live` replaces certificates of its own in tests. Raises SettingsError."""
        self._settings = settings
        self._log = log
        self._api = api
        self._metrics = Metrics()
        self._live = live or Live()
        self._keeper = None if live else self._own_certificates()
        self._upstream = _upstream(settings, self._metrics.litellm)
        self._claims = Claims(api, settings.namespace, most=settings.rows_per_namespace)
        self._rows = KnownRows(self._upstream, settings.cluster_id, log)
        self._events = Events(api, "litellm-registrar-broker", log)
        self._metrics.events_lost(lambda: self._events.lost)
        queue = FairQueue(settings.concurrency, WRITES_WAIT)
        self._metrics.waiting(lambda: queue.waiting)
        pods = Pods(api)
        desk = Desk(
            settings.cluster_id,
            Bounds(settings.rows_per_pod, settings.rows_per_namespace),
            tokens=Tokens(api, settings.token_audience),
            rates=Rates(_limit(settings.pod_rate), _limit(settings.namespace_rate)),
            pods=pods,
            reports=Reports(api, pods, self._events, self._metrics, log),
            rows=self._rows,
            claims=self._claims,
            queue=queue,
            reads=FairQueue(READS_AT_ONCE),
            upstream=self._upstream,
            log=log,
            metrics=self._metrics,
            events=self._events,
        )
        self._app = App(desk)
        self._files: dict[str, FollowedFile[Any]] = {
            "litellm-key-file": FollowedFile(
                settings.litellm_key_file, "litellm-key-file", log, parse=read_key, use=self._upstream.use
            ),
            "names": names_file(settings.names, log, desk.use),
        }
        self._follows: list[asyncio.Task[None]] = []
        self._calls = Port(self._app.calls(), "--port", _KEEPALIVE)
        self._health = Port(health(self._metrics.text, self._unready), "--health-port")

    @property
    def address(self) -> str:
        """Where registrars are answered, like `127.0.0.1:8443`; the first of several sockets."""
        return self._calls.address

    @property
    def health_address(self) -> str:
        """Where health is answered."""
        return self._health.address

    async def start(self) -> None:
        """Listen on both ports.

        Raises SettingsError (bad key of LiteLLM, bad names), OSError (port not to be had).
        """
        settings = self._settings
        try:
            self._load()
            await self._calls.listen(settings.listen_address, settings.port, self._live.context)
            await self._health.listen(settings.listen_address, settings.health_port)
        except (OSError, SettingsError):
            await self.close()
            raise
        work = {name: file.follow() for name, file in self._files.items()}
        work |= {
            "claims": self._sweep(),
            "events": self._events.run(),
            "key": KeyReport(self._upstream, self._log, self._metrics.key).follow(),
            "rows": self._rows.follow(),
            "silence": self._end_silent(),
        }
        if self._keeper:
            work["certificates"] = self._keeper.run()
        if settings.lease:
            work["reaper"] = self._reaper().run()
        self._follows = started(work, self._log)
        self._log.say(
            "STARTED",
            "Registrars are answered",
            address=self.address,
            health=self.health_address,
            cluster=settings.cluster_id,
            litellm=settings.litellm_url,
            names=settings.names or None,
        )

    async def close(self) -> None:
        """Close both ports at once; what is in hand has a second to be written."""
        for task in self._follows:
            task.cancel()
        if self._follows:
            await asyncio.wait(self._follows)
        await self._calls.close()
        await self._health.close()
        await self._upstream.close()
        await self._api.close()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Be unready, let endpoints notice (until `hurry` is set), then end what is in hand and stop."""
        self._app.stopping = True
        in_hand = self._app.in_hand
        self._log.say("STOPPING", "Not ready any more; calls are still answered", in_hand=in_hand.count)
        cut = await wind_down(
            self._calls,
            in_hand,
            delay=self._settings.stop_delay,
            most=self._settings.stop_timeout,
            hurry=hurry,
        )
        await self.close()
        if cut:
            self._log.say("STOPPED", "Calls in hand were cut", cut=cut)
        else:
            self._log.say("STOPPED", "Every call in hand was answered")

    async def _end_silent(self) -> None:
        while True:
            await asyncio.sleep(_LISTEN_EVERY)
            self._app.end_silent(self._calls, time.monotonic())

    async def _sweep(self) -> None:
        """Remove claims that nothing came of; replicas that do so at the same time do no harm."""
        problem = ""
        while True:
            await asyncio.sleep(_SWEEP_EVERY * random.uniform(0.8, 1.2))  # noqa: S311 - out of step, no secret
            try:
                await self._claims.clean(self._rows.holds)
                problem = ""
            except ApiError as error:
                if problem != error.reason:
                    problem = error.reason
                    self._log.say("PROBLEM", f"Claims of names are not cleared up: {error}")

    def _unready(self) -> str:
        if self._app.stopping:
            return "stopping"
        return "" if self._live.pair else "no_certificate"

    def _load(self) -> None:
        problems: list[str] = []
        for name, file in self._files.items():
            if path := getattr(self._settings, name.replace("-", "_")):
                self._metrics.follow(name, partial(getattr, file, "good"))
            try:
                file.load()
            except ConfigError as error:
                problems += [f"--{name} {path!r}: {text}" for text in error.problems]
        if problems:
            raise SettingsError(problems)

    def _reaper(self) -> Reaper:
        settings = self._settings
        return Reaper(
            self._api,
            (settings.namespace, settings.lease),
            self._log,
            self._metrics.registry,
            rows=self._rows,
            upstream=self._upstream,
            events=self._events,
            cluster=settings.cluster_id,
            mode=settings.reap,
            bounds=ReaperBounds(
                settings.reap_grace, settings.node_grace, settings.reap_share, settings.reap_at_least
            ),
        )

    def _own_certificates(self) -> Keeper:
        settings = self._settings
        own = Own(
            namespace=settings.namespace,
            secret=settings.tls_secret,
            names=settings.tls_hosts,
            kind=Kind("litellm-registrar broker", crosses=True),
            targets=[ConfigMapKey(settings.namespace, settings.ca_configmap)],
            times=times(settings),
        )
        metrics = OwnMetrics(self._metrics.registry, PREFIX)
        return Keeper(self._api, own, self._live, self._log, metrics)


async def broker(settings: Settings, log: Log) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the wait for endpoints."""
    try:
        api = await Api.connect(settings.kubeconfig)
    except ApiError as error:
        problem = f"--kubeconfig {settings.kubeconfig!r}: the Kubernetes API is needed: {error}"
        raise SettingsError([problem]) from None
    if not settings.cluster_id:
        settings = replace(settings, cluster_id=await _cluster(settings, log, api))
    await until_stopped(Server(settings, log, api))


async def _cluster(settings: Settings, log: Log, api: Api) -> str:
    """Ask what the cluster is called; alive meanwhile, and not ready. Raises OSError (port not to be had)."""
    waiting = Port(health(ProcessMetrics(PREFIX).text, lambda: "cluster_unknown"), "--health-port")
    try:
        await waiting.listen(settings.listen_address, settings.health_port)
        return await cluster_uid(api, log)
    except BaseException:
        await api.close()
        raise
    finally:
        await waiting.close()


def _upstream(settings: Settings, count: Callable[[Outcome], None]) -> Upstream:
    try:
        return Upstream(settings.litellm_url, trust(settings.litellm_ca), count=count)
    except ConfigError as error:
        raise SettingsError(
            [f"--litellm-ca {settings.litellm_ca!r}: {text}" for text in error.problems]
        ) from None


def _limit(rate: float) -> Limit:
    return Limit(rate, _BURST * rate)
