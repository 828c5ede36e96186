"""Which rows the registrars of a cluster have made, and what the reaper asks of one. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.row_contract import MARK, MARKED_BY_US, OWNER_KEY, REAPER_KEY, pod_prefix
from webhook.pods import mapping

# As `sidecar.row_contract.row_id` makes them, always.
_ROW_ID: Final = re.compile(r"registrar-[0-9a-f]{24}-[0-9a-f]{24}", re.ASCII)

# Names of pods and namespaces (kubernetes.io, "Object Names and IDs": DNS subdomains): what has a path.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OwnRow:
    """A row of this cluster's registrars.

    `namespace` and `pod_uid` follow from the id too, `pod` (its name) is what the block says. `by_registrar`:
    it carries the mark of a block of its registrar's own; `by_reaper`: why the reaper has blocked it.
    """

    id: str
    name: str
    namespace: str
    pod: str
    pod_uid: str
    blocked: bool = False
    by_registrar: bool = False
    by_reaper: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows of this cluster's registrars by id, of one reading of the whole table, begun `at` a time."""

    at: float
    rows: Mapping[str, OwnRow]


def own_row(shown: Mapping[str, Any], cluster: str) -> str:
    """Give the id of a row, as LiteLLM shows it, that a registrar of this cluster made; else an empty text.

    The block of its owner has to say so and the id has to follow from that block, so that neither a copied
    block nor an id like ours makes a row ours.
    """
    info = mapping(shown.get("model_info"))
    block, key = mapping(info.get(OWNER_KEY)), info.get("id")
    namespace, uid = block.get("namespace"), block.get("pod_uid")
    if block.get("cluster") != cluster or not isinstance(namespace, str) or not isinstance(uid, str):
        return ""
    if not isinstance(key, str) or not _ROW_ID.fullmatch(key):
        return ""
    return key if key.startswith(pod_prefix(cluster, namespace, uid)) else ""


def read_own(shown: Mapping[str, Any], cluster: str) -> OwnRow | None:
    """Read a row, as LiteLLM shows it or answers a change of it with; None: it is of no pod of this cluster.

    `blocked` is in model_info where rows are listed, and beside it where one was changed (LiteLLM 1.106.2).
    """
    key = own_row(shown, cluster)
    if not key:
        return None
    info = mapping(shown["model_info"])
    block, name = mapping(info[OWNER_KEY]), shown.get("model_name")
    pod, by_reaper = block.get("pod"), info.get(REAPER_KEY)
    if not isinstance(pod, str) or not _NAME.fullmatch(pod) or not _NAME.fullmatch(block["namespace"]):
        return None
    return OwnRow(
        id=key,
        name=name if isinstance(name, str) else "",
        namespace=block["namespace"],
        pod=pod,
        pod_uid=block["pod_uid"],
        blocked=shown.get("blocked", info.get("blocked")) is True,
        by_registrar=block.get(MARK) == MARKED_BY_US,
        by_reaper=by_reaper if isinstance(by_reaper, str) else "",
    )
