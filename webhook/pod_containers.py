"""The containers of a pod, read within bounds, and which of them look like the server. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.contract import CONTAINER_NAME, Engine
from webhook.candidates import Likeness, likeness
from webhook.layer import PREFIX
from webhook.pods import ContainerKind, annotations_of, mapping, objects
from webhook.sources import beside, kserve, loaders
from webhook.sources import container as one_container
from webhook.sources.argv import MAX_VARIABLES
from webhook.sources.container import Reading
from webhook.sources.found import Item

# As many containers as are looked at for a server (`webhook.candidates`); of all their commands and hooks as
# many words and characters as can be read while an admission request waits; more items than anybody reads.
_MAX_CONTAINERS: Final = 500
_MAX_WORDS: Final = 8000
_MAX_TEXT: Final = 131072
MAX_ITEMS: Final = 1000
_AT_MOST: Final = {"env": MAX_VARIABLES, "volumeMounts": 1000}
# In the names that vendors' device plugins give (`webhook.policy.devices`), and in no other resource's.
_DEVICES: Final = ("gpu", "/mig-", "gaudi", "/tpu", "/neuron")


@dataclass(slots=True)
class PodContainer:
    """One container: its own command first, then those of its hooks and probes, each with what it loads."""

    kind: ContainerKind
    readings: list[Reading]
    loaded: list[Sequence[Item]]
    is_server: bool = False

    @property
    def main(self) -> Reading:
        """What it starts with."""
        return self.readings[0]

    @property
    def is_idle(self) -> bool:
        """Tell whether it neither serves nor loads anything, in no hook either."""
        main = self.readings[0]
        busy = self.is_server or main.runs or main.client or len(self.readings) > 1 or self.loaded[0]
        return not busy


def read(pod: Mapping[str, Any], engine: Engine, path: str) -> tuple[list[PodContainer], int]:
    """Read the containers of a pod whose spec stands at `path`, and say how many are left out as too many."""
    spec = mapping(pod.get("spec"))
    containers: list[PodContainer] = []
    left_out = 0
    words, text = _MAX_WORDS, _MAX_TEXT
    for kind in ContainerKind:
        for index, raw in objects(spec[kind]) if kind in spec else ():
            told = () if left_out else beside.words(raw)
            words -= len(told)
            text -= sum(map(len, told))
            many = len(containers) == _MAX_CONTAINERS or _is_crowded(raw)
            if left_out or words < 0 or text < 0 or many:
                left_out += 1
            else:
                containers.append(_container(kind, f"{path}.{kind}[{index}]", index, raw))
    _mark_servers(containers, engine, annotations_of(pod).get(f"{PREFIX}container"))
    return containers, left_out


def _mark_servers(containers: Sequence[PodContainer], engine: Engine, named: Any) -> None:
    """Mark the containers that look like the server: the likeliest, as when one is chosen for injection.

    The annotation's name, `named`, adds one, and so does an accelerator that one which stays asks for: only
    what runs a model needs it. Others do not look less like a server by that.
    """
    running = [c for c in containers if c.main.runs]
    running = [c for c in running if likeness(c.main, engine) is Likeness.RUNS]
    for container in running:
        container.is_server = True
    mains = [c for c in containers if c.kind is ContainerKind.MAIN and c.main.name != CONTAINER_NAME]
    if not any(c.kind is ContainerKind.MAIN for c in running):
        # Only then it matters how much the others look like one.
        ranked = [(likeness(c.main, engine), c) for c in mains]
        best = max((rank for rank, _ in ranked), default=Likeness.OTHER)
        for rank, container in ranked:
            container.is_server |= rank is best is not Likeness.OTHER
    for container in mains:
        container.is_server |= container.main.name == named
    for container in containers:
        container.is_server |= _stays_with_device(container)


def _is_crowded(container: Mapping[str, Any]) -> bool:
    """Tell whether a container has more variables, or more mounts, than are read of one."""
    for field, most in _AT_MOST.items():
        entries = container.get(field)
        if isinstance(entries, list) and len(entries) > most:
            return True
    return False


def _container(kind: ContainerKind, path: str, index: int, raw: Mapping[str, Any]) -> PodContainer:
    main = one_container.read(index, path, raw)
    readings = [main, *beside.readings(main)]
    return PodContainer(kind, readings, [_loaded(reading) for reading in readings])


def _loaded(reading: Reading) -> Sequence[Item]:
    """Give what the commands of a container load, servers' own models aside."""
    if kserve.is_initializer(reading):
        return list(itertools.islice(kserve.items(reading), MAX_ITEMS + 1))
    for call in reading.calls:
        if loaders.loads(call.words):
            return list(itertools.islice(loaders.items(reading), MAX_ITEMS + 1))
    return ()


def _stays_with_device(container: PodContainer) -> bool:
    """Tell whether a container that runs as long as the pod asks for an accelerator.

    Of an extended resource the limit is what counts.
    """
    raw = container.main.container
    limits = mapping(mapping(raw.get("resources")).get("limits"))
    if container.kind is not ContainerKind.MAIN and raw.get("restartPolicy") != "Always":
        return False
    return any("/" in name and any(word in name for word in _DEVICES) for name in limits)
