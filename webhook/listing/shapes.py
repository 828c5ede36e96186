"""What the parts of a list give each other, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from webhook.broker.own_rows import OwnRow
from webhook.broker.shapes import Holder
from webhook.registered import Registered


class Difference(StrEnum):
    """In what cluster and LiteLLM differ, or what keeps a model away though they agree."""

    # of a row: no pod stands behind it
    POD_GONE = "pod_gone"
    POD_REPLACED = "pod_replaced"
    POD_ENDED = "pod_ended"
    # of a row: how it stands
    BLOCKED = "blocked"
    BLOCKED_BY_REAPER = "blocked_by_reaper"
    BLOCKED_BY_OTHERS = "blocked_by_others"
    ADDRESS_DIFFERS = "address_differs"
    NAME_ELSEWHERE = "name_elsewhere"
    # of a pod
    POD_WITHOUT_ROW = "pod_without_row"
    WITHOUT_REGISTRAR = "without_registrar"
    REGISTRAR_NOT_RUNNING = "registrar_not_running"
    NODE_NOT_READY = "node_not_ready"


@dataclass(frozen=True, slots=True)
class Pod:
    """What is kept of a pod that has a registrar or asks for one.

    `created` is a time as Kubernetes writes it. `server` is the value of its label. `addresses` are those at
    which its rows may stand. `trouble` is why its registrar does not run, in the kubelet's words.
    """

    namespace: str
    name: str
    uid: str
    created: str
    deleting: bool
    ended: bool
    node: str
    server: str
    injected: bool
    addresses: frozenset[str]
    trouble: str
    registered: Registered | None


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of a row of this cluster; `created` is empty where LiteLLM does not tell it."""

    own: OwnRow
    address: str
    created: str


@dataclass(frozen=True, slots=True)
class Found:
    """All that was read.

    `pods` and `rows` are by uid and id. `absent` tells of each uid that a row names and no pod of `pods` has
    what became of that pod. `nodes` tells of each node whether it is Ready; None: they may not be read.
    `names` tells of each name of a row who else has rows of it: holders that are empty are no registrar's.
    """

    pods: Mapping[str, Pod]
    rows: Mapping[str, Row]
    absent: Mapping[str, Difference]
    nodes: Mapping[str, bool] | None
    names: Mapping[str, frozenset[Holder]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list: a row and its pod, or one of both alone.

    `node_ready` is None where that is not known. `elsewhere` tells who else has rows of this name.
    """

    pod: Pod | None
    row: Row | None
    node_ready: bool | None
    elsewhere: tuple[Holder, ...]
    differs: tuple[Difference, ...]

    @property
    def pod_id(self) -> tuple[str, str, str]:
        """Namespace, name and uid of the pod: the row names it too, be it gone."""
        if self.pod:
            return self.pod.namespace, self.pod.name, self.pod.uid
        own = self.row and self.row.own
        return (own.namespace, own.pod, own.pod_uid) if own else ("", "", "")


@dataclass(frozen=True, slots=True)
class Listing:
    """The whole list: of one namespace, or (empty) of all. `notes` say what could not be told."""

    cluster: str
    namespace: str
    entries: Sequence[Entry]
    notes: Sequence[str]
