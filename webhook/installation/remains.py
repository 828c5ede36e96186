"""What of an installation lives on in a cluster. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from webhook.container import registrar_of
from webhook.pods import ENDED, mapping

_NAMESPACES_SHOWN: Final = 10


def injected(pods: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Count the pods that live with a registrar, by namespace."""
    return Counter(
        str(mapping(pod.get("metadata")).get("namespace"))
        for pod in pods
        if registrar_of(pod) is not None and mapping(pod.get("status")).get("phase") not in ENDED
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
