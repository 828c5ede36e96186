"""The caller's pod, read from the API server, and remembered for a moment."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from webhook.broker.flights import Flights
from webhook.broker.pod_facts import pod_facts
from webhook.broker.shapes import Caller, PodFacts
from webhook.broker.tokens import unasked
from webhook.kube.api import ApiError, Reading

# Seconds for which a pod counts as seen: the few calls of a starting pod ask once.
_SEEN_FOR: Final = 2.0
_MOST: Final = 10_000
_NOT_FOUND: Final = 404


class Pods:
    """Reads pods. One that has no address is not remembered: it gets one in a moment, or is gone."""

    def __init__(self, api: Reading, now: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._now = now
        self._flights = Flights[PodFacts]()
        self._seen: OrderedDict[str, tuple[float, PodFacts]] = OrderedDict()

    async def facts(self, caller: Caller, *, fresh: bool = False) -> PodFacts:
        """Tell what the API server knows of this pod, up to 2 s old unless `fresh`.

        Raises RefusedError for a pod without a registrar, and where the API server cannot be asked.
        """
        seen = self._seen.get(caller.pod_uid)
        if seen is not None and not fresh and self._now() - seen[0] < _SEEN_FOR:
            return seen[1]
        return await self._flights.once(caller.pod_uid, lambda: self.read(caller))

    async def read(self, caller: Caller) -> PodFacts:
        """Tell what the API server knows of it from now on: no answer to a question that is under way counts.

        Raises RefusedError as `facts` does.
        """
        asked = self._now()
        self._seen.pop(caller.pod_uid, None)
        try:
            pod = await self._api.get(f"/api/v1/namespaces/{caller.namespace}/pods/{caller.pod}")
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise unasked(error) from None
            pod = None
        facts = pod_facts(pod, caller)
        if facts.addresses:
            self._seen[caller.pod_uid] = asked, facts
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return facts
