"""What a reaper meets in that world: its watch, the API server, LiteLLM, Events. All else is its own code."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry

from tests.reaping.world import BOUNDS, CLUSTER, EMPTY, LEASE, NAMESPACE, Kube, Rows, World
from webhook.broker.known_rows import KnownRows
from webhook.broker.own_rows import OwnRow
from webhook.broker.settings import Reap
from webhook.broker.shapes import Call, RefusedError, Reply, Rule
from webhook.kube.api import JSON, ApiError
from webhook.log import Log
from webhook.reaper.hands import Hands
from webhook.reaper.ledger import Ledger
from webhook.reaper.metrics import ReaperMetrics
from webhook.reaper.shapes import Bounds, Reason, SeenPod
from webhook.reaper.share import LEAVE
from webhook.reaper.telling import Telling
from webhook.reaper.term import Term

_LEASE_PATH: Final = "/apis/coordination.k8s.io/v1/namespaces/registrar/leases/broker"
_PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods/"
_NODES: Final = "/api/v1/nodes/"


class Watch:
    """The pods and nodes as they are told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[tuple[str, str], SeenPod] = {}

    synced = True

    def met(self) -> frozenset[str]:
        """Give the uids of pods that were there between two looks only: of none."""
        return frozenset()

    @property
    def good(self) -> bool:
        """Whether lists and watches are answered."""
        return self._world.kube is not Kube.FAILED

    @property
    def nodes(self) -> Mapping[str, bool]:
        """The nodes."""
        gone = self._world.kube in EMPTY
        return {} if gone else dict(self._world.nodes)

    @property
    def pods(self) -> Mapping[tuple[str, str], SeenPod]:
        """The pods; those last known while lists fail."""
        world = self._world
        if world.kube is not Kube.FAILED:
            every = 2 if world.kube in (Kube.PARTIAL, Kube.PROXY) else 1
            shown = [] if world.kube in EMPTY else [*world.pods.values()][::every]
            self._known = {
                (NAMESPACE, pod.name): SeenPod(
                    NAMESPACE, pod.name, pod.uid, pod.node, False, not pod.alive, True
                )
                for pod in shown
            }
        return self._known

    async def run(self) -> None:
        """Nothing: the world is asked."""


class Api:
    """The API server, for whoever reads single objects and writes the Lease."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def get(self, path: str) -> JSON:
        """Read a pod, a node, kube-system or the Lease."""
        await asyncio.sleep(0)
        kube = self._world.kube
        if path == _LEASE_PATH:
            return json.loads(json.dumps(self._world.lease))  # type: ignore[no-any-return]
        if kube is Kube.FAILED:
            raise ApiError(500, "InternalError", path)
        if path.endswith("kube-system"):
            return {"metadata": {"uid": "another" if kube is Kube.OTHER else "this"}}
        if path.startswith(_NODES):
            return self._node(path.removeprefix(_NODES))
        name = path.removeprefix(_PODS)
        pod = self._world.pods.get(name)
        if kube is Kube.PROXY:
            raise ApiError(404, "Not Found", path)
        if pod is None or kube in (Kube.LOST, Kube.OTHER):
            raise ApiError(404, "NotFound", path, f"pods/{name}")
        return pod.shown()

    def _node(self, name: str) -> JSON:
        if name not in self._world.nodes or self._world.kube in (Kube.LOST, Kube.OTHER):
            raise ApiError(404, "NotFound", name, f"nodes/{name}")
        status = "True" if self._world.nodes[name] else "Unknown"
        return {"status": {"conditions": [{"type": "Ready", "status": status}]}}

    async def replace(self, path: str, body: JSON) -> JSON:
        """Write the Lease over its version."""
        await asyncio.sleep(0)
        world = self._world
        assert path == _LEASE_PATH
        version = world.lease["metadata"]["resourceVersion"]
        if body["metadata"]["resourceVersion"] != version:
            raise ApiError(409, "Conflict", path)
        before = world.lease["metadata"].get("annotations", {}).get(LEAVE)
        world.lease = json.loads(json.dumps(body))
        world.lease["metadata"]["resourceVersion"] = str(int(version) + 1)
        if before and LEAVE not in body["metadata"]["annotations"]:
            world.leaves.append((world.time, int(before)))
        return world.lease


class LiteLLM:
    """LiteLLM, as one broker asks it; `unread` is whether the last page of its table was a bad answer."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.unread = False
        # Deletions are answered once this is set.
        self.answering = asyncio.Event()
        self.answering.set()
        # So many deletions are answered with a fault, and not carried out.
        self.failing = 0

    async def send(self, call: Call, _: float) -> Reply:
        """Answer a look, a reading, a deletion or a change."""
        await asyncio.sleep(0)
        if call.method == "POST":
            if self.failing:
                self.failing -= 1
                return Reply(500, b"LiteLLM is busy")
            reply = self._delete(str((call.body or {})["id"]))
            await self.answering.wait()
            return reply
        if call.method == "PATCH":
            return self._change(call.path.split("/")[2], call.body or {})
        if key := call.query.get("modelId"):
            if self._world.litellm is Rows.FAILED:
                raise RefusedError(Rule.CANNOT_ASK_LITELLM, "gone", 504)
            return _page([self._world.rows[key]] if key in self._world.rows else [], None)
        return self._table()

    def _table(self) -> Reply:
        mode, rows = self._world.litellm, [*self._world.rows.values()]
        self.unread = mode is not Rows.WELL
        if mode is Rows.FAILED:
            raise RefusedError(Rule.CANNOT_ASK_LITELLM, "gone", 504)
        if mode is Rows.EMPTY:
            return _page([], 0)
        return _page(rows[::2] if mode is Rows.PARTIAL else rows, len(rows))

    def _delete(self, key: str) -> Reply:
        if key not in self._world.rows:
            return Reply(400, b"not found in db")
        self._world.judge(key, unread=self.unread)
        del self._world.rows[key]
        return Reply(200, json.dumps({"message": f"Model: {key} deleted successfully"}).encode())

    def _change(self, key: str, body: Mapping[str, Any]) -> Reply:
        row = self._world.rows.get(key)
        if row is None:
            return Reply(404, b"not found on proxy")
        if body.get("blocked") is True:
            self._world.counted(key)
        row["blocked"] = body.get("blocked", row.get("blocked", False))
        row["model_info"] = {**row["model_info"], **body["model_info"], "blocked": row["blocked"]}
        return Reply(200, json.dumps(row).encode())


def _page(rows: list[JSON], total: int | None) -> Reply:
    count = len(rows) if total is None else total
    return Reply(200, json.dumps({"data": rows, "total_count": count}).encode())


class _Events:
    """Takes Events: the kind and name of what each is about, its reason and message."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str, str]] = []
        # Namespaces in which none can be made.
        self.refusing: set[str] = set()

    async def once(self, about: Mapping[str, str], reason: str, message: str, **_: str) -> bool:
        """Take one, if its namespace takes any."""
        if about.get("namespace") in self.refusing:
            return False
        self.say(about, reason, message)
        return True

    def say(self, about: Mapping[str, str], reason: str, message: str) -> None:
        """Take one."""
        self.said.append((about["kind"], about["name"], reason, message))


class TrustingHands(Hands):
    """Hands that take the watch's word for it: for a control, which must be caught."""

    async def same_cluster(self) -> None:
        """Believe it."""
        self._uid = "this"

    async def fate(self, row: OwnRow) -> Reason | None:
        """Believe the watch."""
        assert row
        return Reason.POD_GONE


class Broker:
    """One replica's reaper. It never doubts that it leads: only the Lease tells."""

    def __init__(
        self,
        world: World,
        holder: str = "broker",
        bounds: Bounds = BOUNDS,
        hands: type[Hands] = Hands,
        mode: Reap = Reap.REMOVE,
    ) -> None:
        api: Any = Api(world)
        self.litellm = LiteLLM(world)
        self.log = io.StringIO()
        log = Log(self.log)
        rows = KnownRows(self.litellm, CLUSTER, log, now=lambda: world.time)
        self.events = _Events()
        events: Any = self.events
        self.holder = holder
        self.registry = CollectorRegistry()
        self.metrics = ReaperMetrics(self.registry, lambda: True)
        self.term = Term(
            Watch(world),
            rows=rows,
            hands=hands(api, self.litellm, rows, CLUSTER, lambda: True),
            ledger=Ledger(api, _LEASE_PATH),
            telling=Telling(log, events, self.metrics, LEASE),
            metrics=self.metrics,
            holder=holder,
            mode=mode,
            bounds=bounds,
            now=lambda: world.time,
            today=lambda: world.time,
        )

    async def look(self) -> None:
        """Look once."""
        await self.term.look()


def leads(world: World, broker: Broker) -> None:
    """Have the Lease be this replica's."""
    world.lease["spec"] = {"holderIdentity": broker.holder}
