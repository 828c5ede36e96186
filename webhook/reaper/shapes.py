"""What the reaper's parts give each other, as plain data, and its named reasons. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from webhook.broker.own_rows import OwnRow, Reading
from webhook.reaper.registrars import Told


class Reason(StrEnum):
    """Why a row is removed: in the log line, the Event and the metric alike."""

    POD_GONE = "pod_gone"
    POD_REPLACED = "pod_replaced"
    POD_ENDED = "pod_ended"


class Act(StrEnum):
    """What is done to a row."""

    REMOVE = "remove"
    BLOCK = "block"
    UNBLOCK = "unblock"


class Brake(StrEnum):
    """Why nothing is removed now."""

    NOT_SYNCED = "not_synced"
    LITELLM_UNREAD = "litellm_unread"
    KUBERNETES_UNREAD = "kubernetes_unread"
    OTHER_CLUSTER = "other_cluster"
    SHARE = "share"


class Failure(StrEnum):
    """Why something that is due could not be done; it is tried again."""

    KUBERNETES = "kubernetes_refused"
    LITELLM = "litellm_refused"
    LEASE = "lease_refused"
    WITHOUT_BLOCK = "litellm_without_block"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The reaper's settings: seconds that a pod is gone, and a node NotReady, before something is done.

    Of the rows up to the `share` may be removed or blocked within ten minutes, and always `at_least` some.
    """

    grace: float = 20.0
    node_grace: float = 60.0
    share: float = 0.2
    at_least: int = 5


class SeenPod(NamedTuple):
    """What is kept of a pod with a label of ours; `registrar`: it has one, `ended`: nothing of it runs.

    `told` is what its registrar has told the broker last, None if it does not tell it anything.
    """

    namespace: str
    name: str
    uid: str
    node: str
    deleting: bool
    ended: bool
    registrar: bool
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen at the moment `now`, seconds of the clock that `reading` goes by too.

    `reading` is None if LiteLLM could not be read. `nodes` are whether they are Ready, by name. `met` are
    uids of pods with a registrar that were seen since the last look, however short they lived. `synced`: all
    of Kubernetes' collections were listed once; `good`: all of them are listed and watched now.
    """

    now: float
    reading: Reading | None
    pods: Mapping[tuple[str, str], SeenPod]
    nodes: Mapping[str, bool]
    met: frozenset[str]
    synced: bool
    good: bool


class Due(NamedTuple):
    """A row that is to be removed, as the watch tells it."""

    row: OwnRow
    reason: Reason


class RowState(StrEnum):
    """What becomes of requests to a row of ours: who has blocked it, if it has a pod at all."""

    REGISTERED = "registered"
    BLOCKED = "blocked"
    BLOCKED_BY_REAPER = "blocked_by_reaper"
    BLOCKED_BY_OTHERS = "blocked_by_others"
    WITHOUT_POD = "without_pod"


def row_state(row: OwnRow, living: Collection[str]) -> RowState:
    """Tell a row's state; `living` are the uids of the pods that are there."""
    if row.pod_uid not in living:
        return RowState.WITHOUT_POD
    if not row.blocked:
        return RowState.REGISTERED
    if row.by_reaper:
        return RowState.BLOCKED_BY_REAPER
    return RowState.BLOCKED if row.by_registrar else RowState.BLOCKED_BY_OTHERS
