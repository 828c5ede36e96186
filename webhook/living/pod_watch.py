"""Watches the pods with a label of ours, counts them, and says of each what is to be said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Collection as Names
from typing import Final

from webhook.inject import Injection, inject
from webhook.kube.api import JSON, Api
from webhook.kube.collection import Collection
from webhook.kube.events import Events
from webhook.kube.our_pods import PODS, SELECTORS
from webhook.living.metrics import LivingMetrics
from webhook.living.pods import Living, LivingPod, living
from webhook.living.telling import AT_ONCE, PAUSE, tell
from webhook.log import Log

# Nothing of what is decided here is kept.
_NONCE: Final = "0"


class PodWatch:
    """The pods of every namespace but the `excluded`, by the clock `now` (seconds, that never goes back).

    Rights: `list` and `watch` on pods.
    """

    def __init__(
        self,
        api: Api,
        *,
        config: Callable[[], Injection],
        excluded: Names[str],
        log: Log,
        metrics: LivingMetrics,
        events: Events,
        now: Callable[[], float],
    ) -> None:
        self._config = config
        self._excluded = excluded
        self._log = log
        self._metrics = metrics
        self._events = events
        self._now = now
        self._collections = [
            Collection(api, PODS, self._keep, log, selector=selector) for selector in SELECTORS
        ]
        self._living = Living(lambda namespace: config().image_of(namespace))

    async def run(self) -> None:
        """Watch, count and say, until cancelled."""
        async with asyncio.TaskGroup() as together:
            for collection in self._collections:
                together.create_task(collection.run())
            together.create_task(self._look_for_ever())

    async def _look_for_ever(self) -> None:
        for collection in self._collections:
            await collection.synced.wait()
        while True:
            pods = [pod for collection in self._collections for pod in collection.items.values()]
            self._metrics.pods, found = self._living.look(pods, self._now(), AT_ONCE)
            tell(found, self._events, self._log)
            await asyncio.sleep(PAUSE)

    def _keep(self, pod: JSON) -> LivingPod | None:
        if pod["metadata"].get("namespace") in self._excluded:
            return None
        return living(pod, lambda found, namespace: inject(found, self._config(), _NONCE, namespace))
