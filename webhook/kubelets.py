"""Whether nodes run native sidecars, told by their kubelets' versions. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from webhook.wishes import InjectMode

# `v1.33.4-gke.1036000`, `v1.30.2+k3s1`, `v1.31.0-eks-5c1bff3`: Semantic Versioning 2.0.0 behind a `v`, as
# kubelets write it into `status.nodeInfo.kubeletVersion`; what a vendor appends says nothing of the release.
_VERSION: Final = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.\d+)?(?:[-+][0-9A-Za-z.+-]*)?", re.ASCII).fullmatch


@dataclass(frozen=True, order=True, slots=True)
class Release:
    """A release of Kubernetes, like 1.33."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


# The first with the feature gate SidecarContainers on by default; it is stable, without a gate, from 1.33 on
# (kubernetes.io, "Sidecar Containers", and the list of feature gates).
OLDEST: Final = Release(1, 29)
STABLE: Final = Release(1, 33)


class Decided(NamedTuple):
    """What the kubelets make of pods: the mode of those for any node, and of those bound to one already.

    `mode` is None if there is no node to tell it by. `old` and `unreadable` count the nodes that do not run
    native sidecars, and those whose version cannot be read, which are not trusted to.
    """

    mode: InjectMode | None
    nodes: Mapping[str, InjectMode]
    old: int
    unreadable: int


def release(version: str) -> Release | None:
    """Read the release out of a kubelet's version; None if it is not one."""
    found = _VERSION(version)
    return Release(int(found[1]), int(found[2])) if found else None


def version(node: Mapping[str, Any]) -> str | None:
    """Give the kubelet's version of a Node, empty if it has none yet; None if no registrar can run there."""
    status = node.get("status")
    info = status.get("nodeInfo") if isinstance(status, dict) else None
    info = info if isinstance(info, dict) else {}
    if info.get("operatingSystem") == "windows":
        return None
    return str(info.get("kubeletVersion") or "")


def decide(versions: Mapping[str, str], native_from: Release) -> Decided:
    """Decide by the kubelets' versions, by node: native for any node only if all of them are new enough."""
    releases = {node: release(found) for node, found in versions.items()}
    nodes = {
        node: InjectMode.NATIVE if found and found >= native_from else InjectMode.CONTAINER
        for node, found in releases.items()
    }
    unreadable = sum(found is None for found in releases.values())
    old = sum(mode is InjectMode.CONTAINER for mode in nodes.values()) - unreadable
    mode = InjectMode.CONTAINER if old or unreadable else InjectMode.NATIVE
    return Decided(mode if nodes else None, nodes, old, unreadable)
