"""Whether new pods get native sidecars, as the kubelets of the cluster's nodes say now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from webhook.kube.api import Api
from webhook.kube.collection import Collection
from webhook.kubelets import Decided, Release, decide, version
from webhook.log import Log
from webhook.metrics import PREFIX
from webhook.reasons import Reason
from webhook.wishes import InjectMode

_NODES: Final = "/api/v1/nodes"
# Seconds for which the process is not ready because the nodes are not known; pods get an ordinary container
# then, which runs everywhere.
PATIENCE: Final = 30.0

# Takes the mode of pods for any node, and that of pods bound to one, by its name.
Use = Callable[[InjectMode, Mapping[str, InjectMode]], None]


class KubeletMetrics:
    """What is counted of the nodes; every replica watches them, and says the same."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._native = Gauge(
            f"{PREFIX}_native",
            "1 if pods for any node get the registrar as a native sidecar, with --inject-mode auto",
            registry=registry,
        )
        self._nodes = Gauge(
            f"{PREFIX}_nodes",
            "Nodes by what their kubelet is to native sidecars: new, old, or of an unreadable version",
            ("kubelet",),
            registry=registry,
        )

    def show(self, mode: InjectMode, found: Decided) -> None:
        """Show what is decided."""
        self._native.set(mode is InjectMode.NATIVE)
        self._nodes.labels("old").set(found.old)
        self._nodes.labels("unreadable").set(found.unreadable)
        self._nodes.labels("new").set(len(found.nodes) - found.old - found.unreadable)


class NodeModes:
    """Follows the nodes, and tells `use` the modes whenever they change."""

    def __init__(self, api: Api, native_from: Release, use: Use, log: Log, metrics: KubeletMetrics) -> None:
        """Follow by this API: `list` and `watch` of nodes."""
        self._native_from = native_from
        self._use = use
        self._log = log
        self._metrics = metrics
        self._nodes = Collection(api, _NODES, version, log, changed=self._decide)
        self._mode = InjectMode.CONTAINER
        self._told = ""
        self._waits = True

    @property
    def unready(self) -> str:
        """Why pods should not come yet, by the reason's name; empty once nodes are known, or late."""
        return Reason.KUBELETS_UNKNOWN if self._waits else ""

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._nodes.run())
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._nodes.synced.wait()
            except TimeoutError:
                self._log.say(
                    "PROBLEM", f"{_NODES} is not known yet: pods get an ordinary container until it is"
                )
            self._waits = False

    def _decide(self) -> None:
        versions = {name: found for (_, name), found in self._nodes.items.items()}
        found = decide(versions, self._native_from)
        # Without any node (one that was scaled down to none) the last known ones count.
        self._mode = found.mode or self._mode
        self._use(self._mode, found.nodes)
        self._metrics.show(self._mode, found)
        sentence = _sentence(self._mode, found, self._native_from)
        if sentence != self._told:
            self._told = sentence
            self._log.say(
                "NODES", sentence, nodes=len(found.nodes), old=found.old, unreadable=found.unreadable
            )


def _sentence(mode: InjectMode, found: Decided, native_from: Release) -> str:
    kind = "a native sidecar" if mode is InjectMode.NATIVE else "an ordinary container"
    if found.mode is None:
        why = "no node is known"
    elif mode is InjectMode.NATIVE:
        why = f"every kubelet is {native_from} or newer"
    elif found.old:
        why = f"not every kubelet is {native_from} or newer"
    else:
        why = "the version of a kubelet cannot be read"
    return f"The registrar of new pods is {kind}: {why}"
