"""What of pods and nodes the reaper goes by, and what proves that a pod is gone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from webhook.broker.own_rows import OwnRow
from webhook.container import registrar_of
from webhook.pods import ENDED, mapping, objects
from webhook.reaper.registrars import told
from webhook.reaper.shapes import Reason, SeenPod

_NOT_FOUND: Final = 404


def seen_pod(pod: Mapping[str, Any]) -> SeenPod:
    """Take of a pod what is kept."""
    metadata, spec = mapping(pod.get("metadata")), mapping(pod.get("spec"))
    return SeenPod(
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata.get("name") or ""),
        uid=str(metadata.get("uid") or ""),
        node=str(spec.get("nodeName") or ""),
        deleting=metadata.get("deletionTimestamp") is not None,
        ended=mapping(pod.get("status")).get("phase") in ENDED,
        registrar=registrar_of(pod) is not None,
        told=told(pod),
    )


def node_ready(node: Mapping[str, Any]) -> bool:
    """Tell whether a node's condition `Ready` (core/v1 NodeCondition) is True; a lost one's is Unknown."""
    conditions = (item for _, item in objects(mapping(node.get("status")).get("conditions")))
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


def fate(row: OwnRow, pod: Mapping[str, Any]) -> Reason | None:
    """Tell why a row has no pod any more, from what a direct GET of its pod's name gave; None: it has one."""
    metadata = mapping(pod.get("metadata"))
    uid = metadata.get("uid")
    if (metadata.get("namespace"), metadata.get("name")) != (row.namespace, row.pod) or not uid:
        return None
    if uid != row.pod_uid:
        return Reason.POD_REPLACED
    return Reason.POD_ENDED if mapping(pod.get("status")).get("phase") in ENDED else None


def says_gone(row: OwnRow, status: int, reason: str, about: str) -> bool:
    """Tell whether an error of a direct GET says that there is no such pod.

    A proxy before an API server answers 404 too, and so does an API server for a path that it does not know:
    only a meta/v1 Status `NotFound` about this very pod counts.
    """
    return status == _NOT_FOUND and reason == "NotFound" and bool(row.pod) and about == f"pods/{row.pod}"
