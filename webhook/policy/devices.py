"""Which accelerators the containers of a pod ask for. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from webhook import quantity
from webhook.pods import mapping
from webhook.policy.extracted import short
from webhook.policy.subject import Container
from webhook.policy.verdict import Finding
from webhook.reasons import shown
from webhook.sources.globs import Globs

# The names that the vendors' device plugins give.
NAMES: Final = (
    *("nvidia.com/gpu", "nvidia.com/mig-*", "nvidia.com/gpu.shared", "amd.com/gpu", "gpu.intel.com/*"),
    *("habana.ai/gaudi", "google.com/tpu", "aws.amazon.com/neuron*"),
)
# Beside its devices Intel's plugin counts shares of one, and a right to watch (intel-device-plugins-for-
# kubernetes, cmd/gpu_plugin/README.md).
_NO_DEVICES: Final = frozenset(
    f"gpu.intel.com/{name}"
    for name in ("millicores", "memory.max", "tiles", "i915_monitoring", "xe_monitoring", "monitoring")
)
# Of a resource's name: a domain, `/` and a label (IsQualifiedName in apimachinery's pkg/util/validation).
_LONGEST: Final = 253 + 1 + 63
_MAX_NAMES: Final = 1000
_MAX_LISTED: Final = 3


class Asked(NamedTuple):
    """The devices a container asks for, by name, and the first field that does."""

    container: Container
    counts: Mapping[str, int]
    path: str


@functools.lru_cache(maxsize=1024)  # a cluster has few kinds of devices
def _matches(patterns: Globs, name: str) -> bool:
    return patterns.matches(f"/{name}")


def _is_device(patterns: Globs, name: str) -> bool:
    return len(name) <= _LONGEST and name not in _NO_DEVICES and _matches(patterns, name)


def devices(containers: Iterable[Container], patterns: Globs) -> Iterator[Asked | Finding]:
    """Give what each container asks for, and a finding for each amount that is no number of devices.

    A pod that names more than 1000 resources is not looked through: that alone is a finding.
    """
    names: set[str] = set()
    for container in containers:
        counts: dict[str, int] = {}
        first = ""
        for field, name, amount in _resources(container):
            names.add(name)
            if len(names) > _MAX_NAMES:
                path = f"{container.path}.resources.{field}"
                yield Finding(path, "too many resources", f"at most {_MAX_NAMES} in a pod", container.name)
                return
            if not _is_device(patterns, name):
                continue
            try:
                count = quantity.whole(amount)
            except ValueError:
                path = f"{container.path}.resources.{field}[{name}]"
                seen = f"{short(shown(amount))} of {short(name)}"
                yield Finding(path, seen, "a whole number from 0", container.name)
                continue
            if count:
                counts[name] = max(counts.get(name, 0), count)
                first = first or f"{container.path}.resources.{field}[{name}]"
        if counts:
            yield Asked(container, counts, first)


def _resources(container: Container) -> Sequence[tuple[str, str, Any]]:
    """Give the field, name and amount of what may be a device: those names have their maker's domain."""
    own = container.raw.get("resources")
    if not own or not isinstance(own, dict):
        return ()
    return [
        (field, name, amount)
        for field in ("limits", "requests")
        if field in own
        for name, amount in mapping(own[field]).items()
        if "/" in name
    ]


def listed(counts: Mapping[str, int]) -> str:
    """Write down how many of which: `4 nvidia.com/gpu`."""
    texts = [f"{count} {short(name)}" for name, count in counts.items()]
    more = f" and {len(texts) - _MAX_LISTED} kinds more" if len(texts) > _MAX_LISTED else ""
    return " and ".join(texts[:_MAX_LISTED]) + more
