"""A cluster and a LiteLLM in memory that may answer as badly as can be, and the referee of writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import floor
from typing import Final

from sidecar.row_contract import OWNER_KEY, row_id
from webhook.kube.api import JSON
from webhook.reaper.core import BELIEVED
from webhook.reaper.shapes import Bounds
from webhook.reaper.share import WINDOW

CLUSTER: Final = "here"
NAMESPACE: Final = "models"
LEASE: Final = ("registrar", "broker")
BOUNDS: Final = Bounds(grace=20, node_grace=60, share=0.2, at_least=3)


class Kube(StrEnum):
    """How the API server answers."""

    WELL = "well"
    FAILED = "failed"  # lists and watches do not, nor does anything else
    EMPTY = "empty"  # lists are, single objects are there
    LOST = "lost"  # lists are, and single objects are not found: as after a restore of nothing
    PARTIAL = "partial"  # some pods are missing in lists
    PROXY = "proxy"  # some pods are missing in lists, and 404 comes from something before the API server
    OTHER = "other"  # it is another cluster's


EMPTY: Final = frozenset({Kube.EMPTY, Kube.LOST, Kube.OTHER})


class Rows(StrEnum):
    """How LiteLLM answers who reads its table."""

    WELL = "well"
    FAILED = "failed"
    EMPTY = "empty"
    PARTIAL = "partial"


@dataclass
class Pod:
    """A pod as it truly is."""

    name: str
    uid: str
    node: str
    phase: str = "Running"

    @property
    def alive(self) -> bool:
        """Whether anything of it runs."""
        return self.phase == "Running"

    def shown(self) -> JSON:
        """Give it as the API server shows it."""
        return {
            "metadata": {"namespace": NAMESPACE, "name": self.name, "uid": self.uid},
            "spec": {"nodeName": self.node},
            "status": {"phase": self.phase},
        }


@dataclass(frozen=True)
class Breach:
    """What a reaper did that it must not: of which kind, to which row, and when."""

    kind: str
    row: str
    about: str


@dataclass
class World:
    """What is true, how badly it is told, and what the reapers did that they must not."""

    time: float = 1_000_000.0
    pods: dict[str, Pod] = field(default_factory=dict)
    nodes: dict[str, bool] = field(default_factory=lambda: {"node-0": True, "node-1": True})
    rows: dict[str, JSON] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    kube: Kube = Kube.WELL
    litellm: Rows = Rows.WELL
    empty_since: float | None = None
    lease: JSON = field(default_factory=lambda: {"metadata": {"resourceVersion": "1"}, "spec": {}})
    written: list[tuple[float, str]] = field(default_factory=list)
    leaves: list[tuple[float, int]] = field(default_factory=list)
    breaches: list[Breach] = field(default_factory=list)
    removed: int = 0

    def start(self, name: str, uid: str, node: str = "node-0", models: int = 1) -> None:
        """Have a pod begin, with rows."""
        self.pods[name] = Pod(name, uid, node)
        for number in range(models):
            key = row_id(CLUSTER, NAMESPACE, uid, f"model-{number}")
            block = {"cluster": CLUSTER, "namespace": NAMESPACE, "pod": name, "pod_uid": uid}
            info = {"id": key, OWNER_KEY: block}
            self.rows[key] = {"model_name": f"model-{number}", "litellm_params": {}, "model_info": info}
            self.owners[key] = uid

    def foreign(self, key: str, block: JSON) -> None:
        """Have a row that is not this cluster's, whatever it says."""
        info = {"id": key, OWNER_KEY: block}
        self.rows[key] = {"model_name": key, "litellm_params": {}, "model_info": info}

    def alive(self, uid: str) -> bool:
        """Tell whether a pod truly lives."""
        return any(pod.uid == uid and pod.alive for pod in self.pods.values())

    def tell(self, kube: Kube) -> None:
        """Have the API server answer so from now on."""
        self.kube = kube
        self.pass_time(0)

    def pass_time(self, seconds: float) -> None:
        """Let the time go on, and note since when lists of pods are empty, for good reason or not."""
        self.time += seconds
        if self.kube is Kube.FAILED or (self.pods and self.kube not in EMPTY):
            self.empty_since = None
        elif self.empty_since is None:
            self.empty_since = self.time

    @property
    def shows_nothing(self) -> bool:
        """Whether a list is empty and has not been for long."""
        since = self.empty_since
        return self.kube in EMPTY and since is not None and self.time - since < BELIEVED

    def judge(self, key: str, *, unread: bool) -> None:
        """Hold a removal against what is true; `unread`: by a reading that failed, was empty or not whole."""
        self.removed += 1
        uid = self.owners.get(key)
        if uid is None:
            self.breaches.append(Breach("foreign", key, "not of this cluster"))
            return
        if self.alive(uid) and self.kube is not Kube.LOST:
            self.breaches.append(Breach("alive", key, f"its pod lives, the API server is {self.kube}"))
        if self.kube in (Kube.FAILED, Kube.OTHER, Kube.PROXY) or self.shows_nothing:
            self.breaches.append(Breach("kubernetes", key, f"the API server's answers were {self.kube}"))
        if unread:
            self.breaches.append(Breach("litellm", key, f"the reading was {self.litellm}"))
        self.counted(key)

    def counted(self, key: str) -> None:
        """Hold what was removed and blocked within ten minutes against the share."""
        lately = {each for at, each in self.written if self.time - at < WINDOW} | {key}
        own = {each for each in self.rows if each in self.owners} | lately
        limit = max(BOUNDS.at_least, floor(BOUNDS.share * len(own)))
        leave = sum(count for at, count in self.leaves if self.time - at < WINDOW)
        if len(lately) > limit + leave:
            self.breaches.append(Breach("share", key, f"{len(lately)} of {len(own)}"))
        self.written.append((self.time, key))
