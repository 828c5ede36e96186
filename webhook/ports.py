"""What a container's declared ports and probes say of where its server listens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard

from webhook.pods import mapping, objects

MAX_PORT: Final = 65535
# Names of ports that serve an API; `http-...` and `https-...` count as well.
_API_NAMES: Final = frozenset(
    {
        "http",
        "https",
        "http1",
        "h2c",
        "api",
        "openai",
        "server",
        "serve",
        "serving",
        "web",
        "main",
        "user-port",
    }
)
_OTHER_NAMES: Final = (
    "metrics",
    "prom",
    "grpc",
    "health",
    "admin",
    "debug",
    "ssh",
    "ray",
    "zmq",
    "kv",
    "nixl",
)
_PROBES: Final = ("readinessProbe", "startupProbe", "livenessProbe")
_ACTIONS: Final = ("httpGet", "tcpSocket")


def declared_port(container: Mapping[str, Any], default: int | None, *, certain: bool) -> int | None:
    """Choose among the declared ports; None if they do not settle it.

    `default` is where the program listens unless told otherwise; `certain` tells that it was not told.
    Best is the only port that is not named after something else; then the default, if certain and nothing
    else is declared in its place; then the one an API's name stands on; then the one the probes ask; then
    the default.
    """
    ports = [(name, number) for name, number in _declared(container) if not _is_other(name)]
    numbers = {number for _, number in ports}
    if len(numbers) == 1:
        return numbers.pop()
    if certain and default is not None and (not numbers or default in numbers):
        return default
    for choice in (
        {number for name, number in ports if name in _API_NAMES or name.startswith(("http-", "https-"))},
        {port for port, _ in _probed(container)},
    ):
        if len(choice) == 1:
            return choice.pop()
    return default if default in numbers else None


def declares(container: Mapping[str, Any], port: int) -> bool:
    """Tell whether the container declares this port, or its probes ask it."""
    return any(number == port for _, number in _declared(container)) or any(
        number == port for number, _ in _probed(container)
    )


def has_api_port(container: Mapping[str, Any]) -> bool:
    """Tell whether a declared port has the name of an API."""
    return any(name in _API_NAMES for name, _ in _declared(container))


def probe_is_https(container: Mapping[str, Any], port: int) -> bool:
    """Tell whether a probe asks this port by HTTPS."""
    for kind in _PROBES:
        if mapping(mapping(container.get(kind)).get("httpGet")).get("scheme") == "HTTPS":
            # Which port that is, is worth the longer look: hardly any server has TLS.
            return (port, "https") in _probed(container)
    return False


def _declared(container: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Give name and number of each declared TCP port."""
    for _, port in objects(container.get("ports")):
        name, number, protocol = port.get("name"), port.get("containerPort"), port.get("protocol")
        if _is_port(number) and (protocol is None or protocol == "TCP"):
            yield name if isinstance(name, str) else "", number


def _probed(container: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Give number and scheme of each port that a probe asks on the pod's own address."""
    for kind in _PROBES:
        probe = mapping(container.get(kind))
        for action in _ACTIONS if probe else ():
            handler = mapping(probe.get(action))
            port = handler.get("port")
            if isinstance(port, str):
                port = next((number for name, number in _declared(container) if name == port), None)
            if _is_port(port) and not handler.get("host"):
                yield port, "https" if handler.get("scheme") == "HTTPS" else "http"


def _is_port(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_PORT


def _is_other(name: str) -> bool:
    return name.startswith(_OTHER_NAMES) or name.endswith("metrics")
