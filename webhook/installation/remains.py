"""What of an installation lives on in a cluster and in LiteLLM, and which of it is its own. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sidecar.row_contract import OWNER_KEY, pod_prefix
from webhook.living.pods import ENDED, has_registrar
from webhook.pods import mapping

# As `sidecar.row_contract.row_id` makes them, always.
_ROW_ID: Final = re.compile(r"registrar-[0-9a-f]{24}-[0-9a-f]{24}", re.ASCII)
_NAMESPACES_SHOWN: Final = 10


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


def injected(pods: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Count the pods that live with a registrar, by namespace."""
    return Counter(
        str(mapping(pod.get("metadata")).get("namespace"))
        for pod in pods
        if has_registrar(pod) and mapping(pod.get("status")).get("phase") not in ENDED
    )


def told(living: Counter[str]) -> str:
    """Say how many pods live on, and where the most of them."""
    if not living:
        return "No injected pod lives on."
    most = [f"{namespace}: {count}" for namespace, count in living.most_common(_NAMESPACES_SHOWN)]
    more = [f"{len(living) - len(most)} more"] if len(living) > len(most) else []
    pods, spaces = living.total(), len(living)
    return (
        f"{pods} injected pod{'s live' if pods > 1 else ' lives'} on in {spaces} "
        f"namespace{'s' if spaces > 1 else ''} ({', '.join(most + more)})."
    )
