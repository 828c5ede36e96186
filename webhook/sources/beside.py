"""The commands that the kubelet runs beside a container's own: those of lifecycle hooks and of probes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from webhook.sources.argv import strings
from webhook.sources.container import Reading, hook, within

# By the field that holds them.
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "lifecycle": ("lifecycle.postStart.exec", "lifecycle.preStop.exec"),
    **{probe: (f"{probe}.exec",) for probe in ("startupProbe", "readinessProbe", "livenessProbe")},
}


def readings(main: Reading) -> Iterator[Reading]:
    """Read the commands beside a container's own."""
    for place in _commands(main.container):
        if found := hook(main, place):
            yield found


def words(raw: Mapping[str, Any]) -> list[str]:
    """Give all words that the kubelet may start in a container."""
    found = [*strings(raw.get("command")), *strings(raw.get("args"))]
    for place in _commands(raw):
        found += strings(within(raw, place).get("command"))
    return found


def _commands(raw: Mapping[str, Any]) -> Sequence[str]:
    """Give where commands stand beside a container's own; most containers have none."""
    found: Sequence[str] = ()
    for key, places in _PLACES.items():
        if key in raw:
            found = [*found, *(place for place in places if within(raw, place))]
    return found
