"""The pods with a label of ours and the nodes, followed while this replica leads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from webhook.kube.api import JSON, Api
from webhook.kube.collection import Collection
from webhook.kube.our_pods import PODS, SELECTORS
from webhook.log import Log
from webhook.reaper.seen import node_ready, seen_pod
from webhook.reaper.shapes import SeenPod

_NODES: Final = "/api/v1/nodes"


class Watch:
    """What the API server shows. Rights: `list` and `watch` on pods and nodes."""

    def __init__(self, api: Api, log: Log) -> None:
        self._pods = [Collection(api, PODS, self._keep, log, selector=selector) for selector in SELECTORS]
        self._met: set[str] = set()
        self._nodes = Collection(api, _NODES, node_ready, log)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as together:
            for pods in self._pods:
                together.create_task(pods.run())
            together.create_task(self._nodes.run())

    @property
    def pods(self) -> Mapping[tuple[str, str], SeenPod]:
        """The pods, by namespace and name."""
        return {key: pod for pods in self._pods for key, pod in pods.items.items()}

    def met(self) -> frozenset[str]:
        """Give the uids of pods with a registrar that were seen since this was asked last."""
        met, self._met = frozenset(self._met), set()
        return met

    def _keep(self, pod: JSON) -> SeenPod:
        seen = seen_pod(pod)
        if seen.registrar:
            self._met.add(seen.uid)
        return seen

    @property
    def nodes(self) -> Mapping[str, bool]:
        """The nodes, by name, and whether they are Ready."""
        return {name: ready for (_, name), ready in self._nodes.items.items()}

    @property
    def synced(self) -> bool:
        """Whether everything was listed once."""
        return self._nodes.synced.is_set() and all(pods.synced.is_set() for pods in self._pods)

    @property
    def good(self) -> bool:
        """Whether everything is listed and watched now; else what was known last is shown."""
        return self._nodes.good and all(pods.good for pods in self._pods)
