"""Starts the two ports, waits for a signal, stops without losing a request."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from webhook.app import Admission, App
from webhook.broker_ca import PublishedCa, broker_ca_file
from webhook.config import ConfigError
from webhook.defaults_file import defaults_file
from webhook.flags import SettingsError
from webhook.followed_file import FollowedFile
from webhook.gate import Gate
from webhook.kube.api import Api, ApiError
from webhook.kube.follow import Followed
from webhook.kube.identity import cluster_uid
from webhook.living.caretaker import Caretaker
from webhook.log import Log
from webhook.metrics import PREFIX, Metrics
from webhook.node_modes import KubeletMetrics, NodeModes
from webhook.policy.policy import Policy
from webhook.policy_file import policy_file
from webhook.reasons import Reason
from webhook.serving import Port, started, until_stopped, wind_down
from webhook.settings import ModeChoice, Settings
from webhook.tls.files import PairFiles
from webhook.tls.live import Live
from webhook.tls.metrics import OwnMetrics, TlsMetrics
from webhook.tls.own import Keeper, Own, times
from webhook.tls.performing import Kind
from webhook.tls.publication import webhook_configurations


class Server:
    """The webhook on its two ports."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        metrics = Metrics()
        self._admission = admission = Admission(settings.injection, log, settings.on_error, metrics=metrics)
        self._live = Live()
        self._app = App(admission, log, metrics, self._unready)
        self._files: dict[str, FollowedFile[Any]] = {
            "defaults": defaults_file(
                settings.defaults, log, admission.use, by_broker=bool(settings.broker_url)
            ),
            "policy": policy_file(settings.policy, log, self._hold),
            "broker-ca": broker_ca_file(settings.broker_ca, log, admission.trust),
        }
        self._paths = {
            "defaults": settings.defaults,
            "policy": settings.policy,
            "broker-ca": settings.broker_ca,
        }
        for name, file in self._files.items():
            if self._paths[name]:
                metrics.follow(name, partial(getattr, file, "good"))
        self._metrics = metrics
        self._published = PublishedCa(settings.broker_ca_configmap, log, admission.trust)
        if settings.broker_ca_configmap:
            metrics.follow("broker-ca", lambda: self._published.good)
        self._api: Api | None = None
        self._caretaker: Caretaker | None = None
        self._modes: NodeModes | None = None
        self._keeper: Keeper | None = None
        self._follows: list[asyncio.Task[None]] = []
        self._reviews = Port(self._app.reviews(), "--port")
        self._health = Port(self._app.health(), "--health-port")

    @property
    def address(self) -> str:
        """Where reviews are answered, like `127.0.0.1:8443`; the first of several sockets."""
        return self._reviews.address

    @property
    def health_address(self) -> str:
        """Where health is answered."""
        return self._health.address

    @property
    def in_hand(self) -> int:
        """How many reviews have begun and are not yet answered."""
        return self._app.in_hand.count

    async def start(self) -> None:
        """Listen on both ports.

        Raises SettingsError (bad certificate, defaults or policy, no way to the Kubernetes API that is
        needed), OSError (port not to be had).
        """
        settings = self._settings
        if settings.asks_kubernetes:
            self._api = await _connected(settings.kubeconfig)
        try:
            certificates = self._certificates()
            self._load()
            await self._reviews.listen(settings.listen_address, settings.port, self._live.context)
            await self._health.listen(settings.listen_address, settings.health_port)
        except (OSError, SettingsError):
            await self.close()
            raise
        work = {name: file.follow() for name, file in self._files.items()}
        work["certificates"] = certificates.run()
        if self._api is not None:
            work |= self._asking(self._api)
        self._follows = started(work, self._log)
        self._log.say(
            "STARTED",
            "Admission reviews are answered",
            address=self.address,
            health=self.health_address,
            cluster=settings.cluster_id or None,
            image=settings.registrar_image,
            mode=settings.inject_mode,
            policy=settings.policy or None,
            broker=settings.broker_url or None,
        )

    def _asking(self, api: Api) -> dict[str, Coroutine[Any, Any, None]]:
        """Give what follows or changes something of the cluster, by name."""
        settings, log = self._settings, self._log
        work: dict[str, Coroutine[Any, Any, None]] = {}
        if settings.broker_ca_configmap:
            path = f"/api/v1/namespaces/{settings.namespace}/configmaps/{settings.broker_ca_configmap}"
            work["broker-ca-configmap"] = Followed(api, path, self._published.take, log).run()
        if settings.gated_configurations:
            show = self._metrics.held_back.set
            names, namespace = settings.gated_configurations, settings.namespace
            work["gate"] = Gate(api, names, namespace, log, show=show).run()
        if settings.lease:
            self._caretaker = self._looking_after(api)
            work["living"] = self._caretaker.run()
        if not settings.cluster_id:
            work["cluster-id"] = self._call(api)
        if settings.inject_mode is ModeChoice.AUTO:
            metrics = KubeletMetrics(self._metrics.registry)
            self._modes = NodeModes(api, settings.native_from, self._admission.place, log, metrics)
            work["nodes"] = self._modes.run()
        return work

    async def _call(self, api: Api) -> None:
        """Learn what the cluster is called, as nobody has said it."""
        cluster = await cluster_uid(api, self._log)
        self._admission.call(cluster)
        self._log.say("CLUSTER", "This cluster is called by the uid of kube-system", cluster=cluster)

    def _unready(self) -> str:
        """Why nobody can be served, by the reason's name."""
        if not self._live.pair:
            return Reason.NO_CERTIFICATE
        if self._keeper is not None and self._keeper.unpublished:
            return Reason.NOT_PUBLISHED
        return self._modes.unready if self._modes else ""

    def _hold(self, policy: Policy) -> None:
        """Take another policy, for reviews and for what lives; from the thread that reads its file."""
        self._admission.hold(policy)
        if self._caretaker is not None:
            self._caretaker.policy_changed()

    def _looking_after(self, api: Api) -> Caretaker:
        settings = self._settings
        return Caretaker(
            api,
            f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases/{settings.lease}",
            self._log,
            self._metrics.registry,
            PREFIX,
            config=lambda: self._admission.config,
            policy=lambda: self._admission.policy,
            excluded={settings.namespace, *settings.excluded_namespaces},
        )

    def _certificates(self) -> PairFiles | Keeper:
        """Give what the certificate comes from; files are read now. Raises SettingsError."""
        settings, registry = self._settings, self._metrics.registry
        if self._api is not None and settings.tls_secret:
            own = Own(
                namespace=settings.namespace,
                secret=settings.tls_secret,
                names=settings.tls_hosts,
                kind=Kind("litellm-registrar webhook", crosses=False),
                targets=webhook_configurations(settings.webhook_configurations),
                times=times(settings),
            )
            metrics = OwnMetrics(registry, PREFIX)
            self._keeper = Keeper(self._api, own, self._live, self._log, metrics)
            return self._keeper
        files = PairFiles(
            settings.tls_cert, settings.tls_key, self._live, self._log, TlsMetrics(registry, PREFIX)
        )
        files.load()
        return files

    def _load(self) -> None:
        problems: list[str] = []
        for name, file in self._files.items():
            try:
                file.load()
            except ConfigError as error:
                problems += [f"--{name} {self._paths[name]!r}: {text}" for text in error.problems]
        if problems:
            raise SettingsError(problems)

    async def close(self) -> None:
        """Close both ports at once; what is in hand has a second to be written."""
        for task in self._follows:
            task.cancel()
        if self._follows:
            await asyncio.wait(self._follows)
        await self._reviews.close()
        await self._health.close()
        if self._api is not None:
            await self._api.close()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Be unready, let endpoints notice (until `hurry` is set), then end what is in hand and stop."""
        self._app.stopping = True
        self._log.say("STOPPING", "Not ready any more; reviews are still answered", in_hand=self.in_hand)
        cut = await wind_down(
            self._reviews,
            self._app.in_hand,
            delay=self._settings.stop_delay,
            most=self._settings.stop_timeout,
            hurry=hurry,
        )
        await self.close()
        if cut:
            self._log.say("STOPPED", "Reviews in hand were cut", cut=cut)
        else:
            self._log.say("STOPPED", "Every review in hand was answered")


async def _connected(kubeconfig: str) -> Api:
    try:
        return await Api.connect(kubeconfig)
    except ApiError as error:
        raise SettingsError([f"--kubeconfig {kubeconfig!r}: the Kubernetes API is needed: {error}"]) from None


async def serve(settings: Settings, log: Log) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the wait for endpoints."""
    await until_stopped(Server(settings, log))
