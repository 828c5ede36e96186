"""Keeping the registrar's port out of service meshes, by their own annotations. Pure.

The kubelet's probes and hooks come from outside the mesh: a sidecar proxy that demands mutual TLS would
refuse them. Istio's injector also leaves probes and hooks on such a port as they are
(`shouldPatchLifecycleHandler` in pkg/kube/inject/app_probe.go) instead of sending them through its own agent,
which may end before a drain does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

# Ports, with commas between; Linkerd's also ranges of them (istio.io, "Resource Annotations"; linkerd.io,
# "Proxy Configuration"). They count instead of the mesh's own default, and Linkerd's of the namespace's.
LISTS: Final = ("traffic.sidecar.istio.io/excludeInboundPorts", "config.linkerd.io/skip-inbound-ports")
_PORTS: Final = re.compile(r"\s*(\d{1,5})(?:\s*-\s*(\d{1,5}))?\s*", re.ASCII).fullmatch


def missing(annotations: Mapping[str, Any], port: int) -> dict[str, str]:
    """Give the lists that lack this port, with it; what they have stays in them."""
    found = {key: str(annotations.get(key) or "").rstrip(", ") for key in LISTS}
    return {
        key: f"{text},{port}" if text else str(port) for key, text in found.items() if not _holds(text, port)
    }


def _holds(text: str, port: int) -> bool:
    ranges = (_PORTS(one) for one in text.split(","))
    return any(one and int(one[1]) <= port <= int(one[2] or one[1]) for one in ranges)
