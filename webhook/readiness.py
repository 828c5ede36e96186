"""The server container's own readinessProbe, in the form the registrar repeats it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.contract import ReadyCheck
from webhook.pods import mapping, objects
from webhook.ports import MAX_PORT


def ready_check(container: Mapping[str, Any]) -> ReadyCheck | None:
    """Copy an httpGet or tcpSocket probe of the container's own address; None for any other.

    A probe of another `host` says nothing of this server, exec needs the server's container, and gRPC is not
    spoken. Defaults are those of SetDefaults_Probe and SetDefaults_HTTPGetAction in pkg/apis/core/v1.
    """
    probe = mapping(container.get("readinessProbe"))
    http = mapping(probe.get("httpGet"))
    action = http or mapping(probe.get("tcpSocket"))
    port = _port(container, action.get("port"))
    if port is None or action.get("host"):
        return None
    seconds = probe.get("timeoutSeconds")
    timeout = float(seconds) if isinstance(seconds, int) and seconds > 0 else 1.0
    if not http:
        return ReadyCheck(port=port, timeout=timeout)
    return ReadyCheck(
        port=port,
        scheme="https" if http.get("scheme") == "HTTPS" else "http",
        path=str(http.get("path") or "/"),
        headers=tuple(
            (str(header.get("name")), str(header.get("value", "")))
            for _, header in objects(http.get("httpHeaders"))
        ),
        timeout=timeout,
    )


def _port(container: Mapping[str, Any], port: object) -> int | None:
    """Resolve a probe's port as the kubelet does: a number, a name of the container's ports, or digits."""
    if isinstance(port, str):
        named = (
            item.get("containerPort")
            for _, item in objects(container.get("ports"))
            if item.get("name") == port
        )
        digits = int(port) if port.isascii() and port.isdigit() else None
        port = next(named, digits)
    return port if isinstance(port, int) and 0 < port <= MAX_PORT else None
