"""What an admission has left of a pod: its registrar, or none."""

from __future__ import annotations

import json

from sidecar.contract import CONTAINER_NAME
from tests.peers.cluster import JSON, Cluster


def registrars(pod: JSON) -> list[JSON]:
    """Give the registrars of a pod, native sidecars and ordinary containers: one of them, or none."""
    spec = pod["spec"]
    every = (*spec.get("initContainers", ()), *spec["containers"])
    return [one for one in every if one["name"] == CONTAINER_NAME]


def has_registrar(pod: JSON) -> bool:
    """Tell whether a pod has its registrar, as a native sidecar or an ordinary container."""
    return bool(registrars(pod))


def injects(cluster: Cluster, pod: JSON, namespace: str) -> bool:
    """Tell whether this pod would have its registrar if it were made now; nothing is made."""
    asked = ("--dry-run=server", "-n", namespace, "-o", "json")
    answer = cluster.create(pod, *asked, check=False)
    return not answer.code and has_registrar(json.loads(answer.out))
