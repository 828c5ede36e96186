"""Who may use a name of a model, held in the cluster: a Lease for each name, in the broker's namespace.

LiteLLM has no such thing as "make this row unless the name is taken", and its replicas lag; so a namespace
claims a name before its first row is made. The API server makes an object once, whoever asks first.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from sidecar.contract import DOMAIN
from webhook.broker import limits
from webhook.broker.flights import Flights
from webhook.broker.shapes import RefusedError, Rule
from webhook.kube.api import ApiError
from webhook.pods import mapping

LABEL: Final = f"{DOMAIN}/claim"
_NAME: Final = f"{DOMAIN}/model-name"
# Seconds for which a claim counts without asking; then it is renewed.
_TAKEN_FOR: Final = 60.0
# Seconds without a change of a claim, as seen here, after which it is stale: its namespace has begun no row
# since. Longer than a row takes from its claim until every broker knows of it: the queue, LiteLLM's own time,
# the lag of its replicas, two readings of its table.
STALE: Final = 300.0
_TRIES: Final = 5
_MOST: Final = 20_000
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409

JSON = dict[str, Any]


class Objects(Protocol):
    """What is needed of the API server. Every method raises ApiError."""

    async def get(self, path: str) -> JSON:
        """Read an object."""

    async def list(self, path: str, selector: str) -> list[JSON]:
        """Read a collection."""

    async def create(self, path: str, body: JSON) -> JSON:
        """Create an object."""

    async def replace(self, path: str, body: JSON) -> JSON:
        """Write a whole object over the version in it."""

    async def delete(self, path: str, options: JSON) -> JSON:
        """Delete an object."""


class Claims:
    """Claims names for namespaces, and takes over claims that nothing came of, or comes of any more.

    Whether a claim is stale is told by this process's own clock, from when on it was seen unchanged: the
    times in it may be of a clock that is an hour off.
    """

    def __init__(
        self,
        api: Objects,
        namespace: str,
        *,
        now: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
        most: int = limits.ROWS_PER_NAMESPACE,
    ) -> None:
        """Claim by these objects; `most`: how many new names a namespace may claim until one is stale."""
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._now = now
        self._today = today
        self._flights = Flights[str]()
        # What is claimed through this process: name to namespace, and when it was asked for.
        self._taken: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._most = most
        # Names that a namespace asked for, oldest first, and when: what came to nothing is a Lease too.
        self._asked_for: defaultdict[str, OrderedDict[str, float]] = defaultdict(OrderedDict)
        # Claims of others: object to its version, and since when that has been seen.
        self._seen: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def claim(self, name: str, namespace: str) -> str:
        """Claim a name for a namespace, and give the namespace that holds it now: this one or another.

        Only for a name that no other namespace has a row of. Raises RefusedError: CANNOT_ASK_KUBERNETES, or
        TOO_MANY_ROWS for names without end.
        """
        holder, asked = self._taken.get(name, ("", 0.0))
        if holder == namespace and self._now() - asked < _TAKEN_FOR:
            return namespace
        self._ration(name, namespace)
        try:
            return await self._flights.once((name, namespace), lambda: self._claim(name, namespace))
        except ApiError as error:
            message = f"the name cannot be claimed: {error.status or 'no answer'} {error.reason}"
            raise RefusedError(Rule.CANNOT_ASK_KUBERNETES, message, 503) from None

    def _ration(self, name: str, namespace: str) -> None:
        """Refuse a namespace that asks for ever other names."""
        asked_for, now = self._asked_for[namespace], self._now()
        while asked_for and now - next(iter(asked_for.values())) >= STALE:
            asked_for.popitem(last=False)
        if name not in asked_for and len(asked_for) >= self._most:
            message = (
                f"namespace {namespace} has claimed {len(asked_for)} names lately, allowed are {self._most}"
            )
            raise RefusedError(Rule.TOO_MANY_ROWS, message)
        asked_for[name] = now
        asked_for.move_to_end(name)

    async def clean(self, held: Callable[[str, str], bool]) -> int:
        """Remove claims that are stale and of which nothing is left; give how many.

        Replicas that do so at the same time do no harm.
        `held` tells of a name and a namespace whether it has a row of that name. Raises ApiError.
        """
        removed = 0
        for lease in await self._api.list(self._path, LABEL):
            meta = mapping(lease.get("metadata"))
            name = str(mapping(meta.get("annotations")).get(_NAME))
            if held(name, _holder(lease)):
                self._seen.pop(str(meta.get("name")), None)
            elif self._is_stale(lease):
                removed += await self._remove(lease)
        return removed

    async def _claim(self, name: str, namespace: str) -> str:
        asked = self._now()
        path = f"{self._path}/{lease_name(name)}"
        for _ in range(_TRIES):
            try:
                lease = await self._api.get(path)
                holder = _holder(lease)
                if holder != namespace and not self._is_stale(lease):
                    return holder
                body = self._body(name, namespace, str(mapping(lease.get("metadata")).get("resourceVersion")))
                await self._api.replace(path, body)
            except ApiError as error:
                if error.status == _CONFLICT:  # another one was first: look again
                    continue
                if error.status != _NOT_FOUND:
                    raise
                if not await self._made(name, namespace):
                    continue
            self._remember(self._taken, name, (namespace, asked))
            return namespace
        raise ApiError(_CONFLICT, "Conflict", "a claim is changed again and again")

    async def _made(self, name: str, namespace: str) -> bool:
        """Make a claim; False: another one was first."""
        try:
            await self._api.create(self._path, self._body(name, namespace))
        except ApiError as error:
            if error.status == _CONFLICT:
                return False
            raise
        return True

    async def _remove(self, lease: JSON) -> bool:
        """Delete a claim as it was seen."""
        meta = mapping(lease.get("metadata"))
        version = {"preconditions": {"resourceVersion": meta.get("resourceVersion")}}
        try:
            await self._api.delete(f"{self._path}/{meta.get('name')}", version)
        except ApiError as error:
            if error.status in (_CONFLICT, _NOT_FOUND):
                return False
            raise
        return True

    def _is_stale(self, lease: JSON) -> bool:
        """Tell whether a claim has been seen as it is for so long that nothing comes of it any more."""
        meta = mapping(lease.get("metadata"))
        key, version = str(meta.get("name")), str(meta.get("resourceVersion"))
        seen = self._seen.get(key)
        if seen is None or seen[0] != version:
            self._remember(self._seen, key, (version, self._now()))
            return False
        return self._now() - seen[1] >= STALE

    def _body(self, name: str, namespace: str, version: str = "") -> JSON:
        """Write a claim as a Lease (kubernetes.io, reference, coordination.k8s.io/v1)."""
        meta: JSON = {"name": lease_name(name), "labels": {LABEL: "name"}, "annotations": {_NAME: name}}
        if version:
            meta["resourceVersion"] = version
        renewed = self._today().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": meta,
            "spec": {"holderIdentity": namespace, "renewTime": renewed},
        }

    @staticmethod
    def _remember(known: OrderedDict[str, tuple[str, float]], key: str, value: tuple[str, float]) -> None:
        known[key] = value
        known.move_to_end(key)
        if len(known) > _MOST:
            known.popitem(last=False)


def lease_name(name: str) -> str:
    """Give the object's name for a model's, which may hold anything."""
    return f"name-{hashlib.sha256(name.encode()).hexdigest()[:40]}"


def _holder(lease: JSON) -> str:
    return str(mapping(lease.get("spec")).get("holderIdentity"))
