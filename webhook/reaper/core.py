"""From rows, pods, nodes and what was seen before to what is due now, and what holds it back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sidecar.row_contract import NODE_NOT_READY
from webhook.broker.own_rows import OwnRow
from webhook.broker.row_index import LAG
from webhook.reaper.shapes import Act, Bounds, Brake, Due, Reason, SeenPod, Sight

# Seconds after which an empty list of pods, or of nodes, is believed while there are rows: an API server that
# has just lost something lists nothing either.
BELIEVED: Final = 20.0
# Seconds until a pod that a direct GET has shown is asked for again: the watch lacks it as its label was
# taken off.
_ASK_AGAIN: Final = 300.0
# The same for one that could not be asked for, and until a write that failed is tried again.
_TRY_AGAIN: Final = 30.0
_WRITE_AGAIN: Final = 10.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier looks have found.

    `living` are uids of pods with a registrar, `gone` since when a uid is missed, `unready` since when a node
    is, `empty` since when a list is. `acted` is until when what was tried on a row is not
    tried again, `shown` until when a pod is not asked for that the watch has not: a direct GET gave it, or
    failed.
    """

    living: frozenset[str] = frozenset()
    gone: Mapping[str, float] = field(default_factory=dict)
    unready: Mapping[str, float] = field(default_factory=dict)
    empty: float | None = None
    acted: Mapping[tuple[Act, str], float] = field(default_factory=dict)
    shown: Mapping[str, float] = field(default_factory=dict)

    def wrote(self, act: Act, row: OwnRow, now: float) -> Memory:
        """Take note of what was tried on a row: replicas of LiteLLM show it for a while as it was."""
        return replace(self, acted={**self.acted, (act, row.id): now + LAG})

    def could_not_write(self, act: Act, row: OwnRow, now: float) -> Memory:
        """Take note that this has failed: it is tried again soon, but others are not to wait for it."""
        return replace(self, acted={**self.acted, (act, row.id): now + _WRITE_AGAIN})

    def saw(self, uid: str, now: float) -> Memory:
        """Take note that a direct GET has given this pod."""
        return replace(self, shown={**self.shown, uid: now + _ASK_AGAIN})

    def could_not_see(self, uid: str, now: float) -> Memory:
        """Take note that a direct GET for this pod has failed: others are not to wait for it."""
        return replace(self, shown={**self.shown, uid: now + _TRY_AGAIN})


@dataclass(frozen=True, slots=True)
class Plan:
    """What is due unless something is `held`; `read_again`: only a newer reading of LiteLLM tells."""

    held: frozenset[Brake]
    removals: tuple[Due, ...] = ()
    blocks: tuple[OwnRow, ...] = ()
    unblocks: tuple[OwnRow, ...] = ()
    read_again: bool = False


def look(sight: Sight, before: Memory, bounds: Bounds) -> tuple[Memory, Plan]:
    """Tell what is due, and what to remember for the next look.

    A row is due once its pod has been missed for the grace, and a reading of LiteLLM begun after that still
    shows it: what a registrar has deleted itself by then is not the reaper's.
    """
    unread = frozenset({Brake.LITELLM_UNREAD} if sight.reading is None else ())
    if not (sight.synced and sight.good):
        brake = Brake.KUBERNETES_UNREAD if sight.synced else Brake.NOT_SYNCED
        return replace(before, empty=None), Plan(unread | {brake})
    now = sight.now
    rows = {} if sight.reading is None else sight.reading.rows
    alive = {pod.uid: pod for pod in sight.pods.values() if not pod.ended}
    memory = Memory(
        living=frozenset(uid for uid, pod in alive.items() if pod.registrar),
        gone=_gone(sight, before, alive, bounds),
        unready=_unready(sight, before, alive),
        empty=_empty(sight, before),
        acted={key: until for key, until in before.acted.items() if now < until},
        shown={uid: until for uid, until in before.shown.items() if now < until},
    )
    empty = memory.empty is not None and now - memory.empty < BELIEVED
    held = unread | ({Brake.KUBERNETES_UNREAD} if empty else set())

    def untried(act: Act) -> list[OwnRow]:
        return [row for row in rows.values() if (act, row.id) not in memory.acted]

    lost = {node for node, since in memory.unready.items() if now - since >= bounds.node_grace}
    return memory, Plan(
        held=held,
        removals=tuple(
            Due(row, _reason(row, sight.pods))
            for row in untried(Act.REMOVE)
            if row.pod_uid not in memory.shown and _is_due(row.pod_uid, sight, memory, bounds)
        ),
        blocks=tuple(
            row
            for row in untried(Act.BLOCK)
            if not row.blocked and not row.by_reaper and _node(alive.get(row.pod_uid)) in lost
        ),
        unblocks=tuple(
            row for row in untried(Act.UNBLOCK) if _is_back(row, alive.get(row.pod_uid), sight.nodes)
        ),
        read_again=any(
            now - since >= bounds.grace and not _read_since(sight, since + bounds.grace)
            for since in memory.gone.values()
        ),
    )


def _gone(sight: Sight, before: Memory, alive: Mapping[str, SeenPod], bounds: Bounds) -> dict[str, float]:
    """Give since when each pod is missed: one with rows, or one that had a registrar and may have some.

    The latter until a reading begun after the grace has shown none.
    """
    rows = {} if sight.reading is None else sight.reading.rows
    wanted = {row.pod_uid for row in rows.values()}
    missed = (wanted | before.living | sight.met | before.gone.keys()) - alive.keys()
    since = {uid: before.gone.get(uid, sight.now) for uid in missed}
    return {
        uid: at for uid, at in since.items() if uid in wanted or not _read_since(sight, at + bounds.grace)
    }


def _unready(sight: Sight, before: Memory, alive: Mapping[str, SeenPod]) -> dict[str, float]:
    """Give since when each node of a living pod is not Ready, or missing; of none where no node is known."""
    nodes = {pod.node for pod in alive.values() if pod.node} if sight.nodes else set()
    return {node: before.unready.get(node, sight.now) for node in nodes if not sight.nodes.get(node)}


def _empty(sight: Sight, before: Memory) -> float | None:
    if sight.reading is None or not sight.reading.rows or (sight.pods and sight.nodes):
        return None
    return sight.now if before.empty is None else before.empty


def _read_since(sight: Sight, moment: float) -> bool:
    return sight.reading is not None and sight.reading.at >= moment


def _is_due(uid: str, sight: Sight, memory: Memory, bounds: Bounds) -> bool:
    since = memory.gone.get(uid)
    return (
        since is not None and sight.now - since >= bounds.grace and _read_since(sight, since + bounds.grace)
    )


def _is_back(row: OwnRow, pod: SeenPod | None, nodes: Mapping[str, bool]) -> bool:
    """Tell whether the reaper's own block, or what it has written of it, is to be taken back."""
    if row.by_reaper != NODE_NOT_READY or pod is None or pod.deleting:
        return False
    return nodes.get(pod.node, False)


def _node(pod: SeenPod | None) -> str:
    return pod.node if pod is not None else ""


def _reason(row: OwnRow, pods: Mapping[tuple[str, str], SeenPod]) -> Reason:
    pod = pods.get((row.namespace, row.pod))
    if pod is None:
        return Reason.POD_GONE
    return Reason.POD_ENDED if pod.uid == row.pod_uid else Reason.POD_REPLACED
