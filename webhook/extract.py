"""From a pod to where its models and its code come from.

Every container is read: init containers, main and ephemeral ones, the commands of their hooks and probes.
What commands load counts wherever they run. What *cannot* be told counts where it matters:

- in containers that look like the server (`webhook.candidates`): a script nobody can read, an image whose
  entrypoint names no model;
- in containers that can write to a volume a model is loaded from: whatever may write there;
- in pods with Ollama: scripts that speak of it, since any container can tell it to pull.

`envFrom` hides variables. Of a server, or of a container that loads something, it is told once per reader
of such variables (`webhook.sources.{hub,vllm_switches}`): `HF_TOKEN` by `envFrom` cannot be told
from `HF_ENDPOINT` by `envFrom`. One entry of `env` with `valueFrom`, or an `envFrom` with a prefix, can.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from sidecar.contract import Engine
from webhook import pod_containers
from webhook.pod_containers import MAX_ITEMS, PodContainer
from webhook.pods import annotations_of, mapping
from webhook.sources import (
    companions,
    foreign_code,
    hub,
    kserve,
    llama_sources,
    ollama_sources,
    programs,
    server_sources,
    untold,
    vllm_sources,
)
from webhook.sources.argv import ENTRYPOINT, Call, basename
from webhook.sources.container import Reading, shell_at
from webhook.sources.fillers import Actor, Fillers
from webhook.sources.found import (
    Extract,
    Item,
    Role,
    Source,
    Switch,
    SwitchName,
    Unknown,
    Unresolvable,
)
from webhook.sources.locations import HUB, MODELSCOPE
from webhook.sources.tools import is_harmless
from webhook.sources.volumes import Volumes, directories

_READERS: Final[Mapping[str, Callable[[Reading, Call, int], Iterator[Item]]]] = {
    programs.VLLM.name: vllm_sources.items,
    programs.SGLANG.name: server_sources.sglang,
    programs.TGI.name: server_sources.tgi,
    programs.HUGGINGFACESERVER.name: server_sources.huggingfaceserver,
    programs.LLAMA_CPP.name: llama_sources.llama_cpp,
    programs.LLAMA_CPP_PYTHON.name: llama_sources.llama_cpp_python,
}
_OLLAMAS: Final = ("ollama", ":11434")
_HUBS: Final = frozenset({HUB, MODELSCOPE})


def extract(pod: Mapping[str, Any], engine: Engine | None, path: str = "spec") -> Extract:
    """Find every source and switch of a pod whose spec stands at `path`; what cannot be known is named.

    `engine` is what the pod's label says, None if it says nothing of ours. Never raises.
    """
    sources: dict[Source, None] = {}
    switches: dict[Switch, None] = {}
    unresolved: dict[Unresolvable, None] = {}
    for count, item in enumerate(_Pod(pod, engine or Engine.AUTO, path).items()):
        if count == MAX_ITEMS:
            detail = f"more than {MAX_ITEMS} sources and switches; no more are read"
            unresolved[Unresolvable(None, Unknown.AMBIGUOUS, detail, path)] = None
            break
        if isinstance(item, Source):
            sources[item] = None
        elif isinstance(item, Switch):
            switches[item] = None
        else:
            unresolved[item] = None
    return Extract(tuple(sources), tuple(switches), tuple(unresolved))


class _Pod:
    """A pod while it is read."""

    def __init__(self, pod: Mapping[str, Any], engine: Engine, path: str) -> None:
        self.pod = pod
        self.spec = mapping(pod.get("spec"))
        self.engine = engine
        self.path = path
        self.volumes = Volumes(self.spec)
        self.containers, self.left_out = pod_containers.read(pod, engine, path)

    def items(self) -> Iterator[Item]:
        """Give everything."""
        asked = list(
            kserve.asked(annotations_of(self.pod), f"{self.path.removesuffix('spec')}metadata.annotations")
        )
        everywhere = [item for item in asked if isinstance(item, Source)]
        actors = [
            Actor(reading, [item for item in loaded if isinstance(item, Source)] if loaded else ())
            for container in self.containers
            for reading, loaded in zip(container.readings, container.loaded, strict=True)
        ]
        fillers = Fillers(self.volumes, actors, everywhere)
        loads = {source.location for actor in actors for source in actor.sources}
        # What the storage initializer says itself, its annotation need not say again.
        yield from (item for item in asked if not (isinstance(item, Source) and item.location in loads))
        for container in self.containers:
            yield from self._beside(container.main) if container.is_idle else self._of(container, fillers)
        yield from self._stores(fillers, names=any(location.scheme == "ollama" for location in loads))
        if self.left_out:
            detail = f"the commands of {self.left_out} containers are more than is read of one pod"
            yield Unresolvable(None, Unknown.AMBIGUOUS, detail, self.path)

    def _of(self, container: PodContainer, fillers: Fillers) -> Iterator[Item]:
        """Give what one container loads, serves and switches."""
        loaded = list(itertools.chain.from_iterable(container.loaded))
        found = (item for reading in container.readings for item in self._served(reading, fillers))
        served = list(itertools.islice(found, MAX_ITEMS + 1))
        if container.is_server:
            yield from self._of_server(container.main, served, fillers)
            yield from self._mounted(container.main, served, fillers)
            for reading in container.readings[1:]:
                if not reading.calls:
                    yield untold.unreadable(reading)
                yield from foreign_code.items(reading, self.volumes)
                yield from companions.items(reading, self.volumes)
        elif any(map(_is_script, loaded)) and not self._matters(container):
            loaded = [item for item in loaded if not _is_script(item)]
        if loaded and not container.is_server:
            # What is called like a known program may be another one.
            yield from foreign_code.items(container.main, self.volumes)
        if self._has_ollama and not container.is_server:
            yield from companions.scripts(container.main, self.volumes)
        for item in loaded:
            if isinstance(item, Source):
                yield from fillers.traced(item, container.main, "")
            else:
                yield item
        yield from served
        environment = hub.environment(container.main)
        if container.is_server or loaded or served:
            yield from environment
        else:
            # Endpoints are nothing to a container that loads nothing.
            yield from (item for item in environment if _is_secret(item))

    def _beside(self, reading: Reading) -> Iterator[Item]:
        """Give what is said of a container that neither serves nor loads anything: most of a big pod."""
        if self._has_ollama:
            yield from companions.scripts(reading, self.volumes)
        # Endpoints are nothing to a container that loads nothing.
        yield from filter(_is_secret, hub.environment(reading))

    def _served(self, reading: Reading, fillers: Fillers) -> Iterator[Item]:
        """Give what the servers load that a container starts."""
        if not reading.runs and not reading.client:
            return
        for call, directory in directories(reading):
            started = programs.start(call.words)
            if started is not None:
                reader = _READERS.get(started.program.name)
                start = len(call.words) - len(started.words)
            elif (options := programs.loads(call.words)) is not None:
                reader, start = vllm_sources.items, options
            else:
                continue
            if reader:
                yield from _found(reader(reading, call, start), reading, directory, fillers)

    def _of_server(self, reading: Reading, served: Sequence[Item], fillers: Fillers) -> Iterator[Item]:
        """Give what is said only of containers that look like the server."""
        shell = shell_at(reading)
        if shell is not None:
            place = reading.place(Call(reading.words, reading.env), shell)
            yield Switch(SwitchName.SHELL, basename(reading.words[shell]), place, reading.name)
        yield from foreign_code.items(reading, self.volumes)
        if reading.runs:
            yield from companions.items(reading, self.volumes)
            return
        if not reading.calls:
            yield untold.unreadable(reading)
            return
        # Python that loads something may well serve it.
        if all(is_harmless(c) and not basename(c.words[0]).startswith("python") for c in reading.calls):
            return
        # An image with an entrypoint of its own: it names its model by variable, or by options like vLLM's.
        found = list(_found(hub.models(reading), reading, "", fillers))
        if self.engine is not Engine.OLLAMA and any(word[:2] == "--" for word in reading.words[1:]):
            found += self._as_vllm(reading, fillers)
        yield from found
        if reading.calls[-1].words[0] != ENTRYPOINT:
            # The pod names a program of which nothing is known: whatever else it says may be for show.
            yield untold.unknown_program(reading)
        elif self.engine is Engine.OLLAMA and self._names_ollama():
            return
        elif not any(_is_model(item) for item in (*served, *found)):
            yield untold.nameless(reading)

    def _as_vllm(self, reading: Reading, fillers: Fillers) -> Iterator[Item]:
        """Read the options of a program nobody knows like vLLM's: what they say, not what they leave out."""
        call = reading.calls[-1]
        default = reading.place(call, 0)
        for item in _found(vllm_sources.items(reading, call, 1), reading, "", fillers):
            said = item.path != default or not isinstance(item, Source)
            if said and getattr(item, "name", None) is not SwitchName.UNKNOWN_OPTION:
                yield item

    def _mounted(self, reading: Reading, served: Sequence[Item], fillers: Fillers) -> Iterator[Item]:
        """Give the image volumes of a server that no path of its command line leads to, and its caches."""
        held = {item.location for item in served if isinstance(item, Source)}
        for volume in self.volumes.images(reading):
            if volume.location and volume.location not in held:
                yield Source(Role.WEIGHTS, volume.location, f"{self.path}.{volume.place}", reading.name)
        if "volumeMounts" in reading.container:
            for cache in hub.caches(reading):
                yield from fillers.beside(reading, cache, "")

    def _names_ollama(self) -> bool:
        return any(
            isinstance(item, Source) and item.location.scheme == "ollama"
            for container in self.containers
            for loaded in container.loaded
            for item in loaded
        )

    def _matters(self, container: PodContainer) -> bool:
        """Tell whether a script of this container may decide what is served.

        It may where it shares a volume with a server, or can tell an Ollama server to pull.
        """
        if any(word in text for text in container.main.words for word in _OLLAMAS):
            return True
        return not self._of_servers.isdisjoint(self._keys(container))

    @cached_property
    def _has_ollama(self) -> bool:
        return any(
            run.program is programs.OLLAMA
            for container in self.containers
            for reading in container.readings
            for run in reading.runs
        )

    @cached_property
    def _of_servers(self) -> set[str]:
        return {key for container in self.containers if container.is_server for key in self._keys(container)}

    def _keys(self, container: PodContainer) -> set[str]:
        """Give the volumes that a container mounts."""
        if "volumeMounts" not in container.main.container:
            return set()
        return {mount.volume.key for mount in self.volumes.mounts(container.main).values()}

    def _stores(self, fillers: Fillers, *, names: bool) -> Iterator[Item]:
        """Give what the stores of Ollama servers are mounted from, and say where nothing names a model."""
        for container in self.containers:
            for reading in container.readings:
                for call in reading.calls if reading.runs else ():
                    started = programs.start(call.words)
                    if started and started.program is programs.OLLAMA:
                        yield from self._store(reading, call, fillers, names=names)

    def _store(self, reading: Reading, call: Call, fillers: Fillers, *, names: bool) -> Iterator[Item]:
        store = ollama_sources.store(reading, call)
        if isinstance(store, Unresolvable) or store.local is None:
            yield store
            return
        place = self.volumes.place(reading, store.local.path)
        fresh = place.volume is None or place.volume.fresh
        traced = list(fillers.traced(store, reading, ""))
        # Of a store that is empty at first counts what others put there.
        told = [item for item in traced if item.path != store.path] if fresh else traced
        yield from told
        if fresh and not names and not any(isinstance(item, Source) for item in told):
            yield ollama_sources.at_run_time(reading, call)


def _found(items: Iterable[Item], reading: Reading, directory: str, fillers: Fillers) -> Iterator[Item]:
    """Trace what a server is told: paths to what holds them, ids of a hub to a path that may lie there."""
    for item in items:
        if not isinstance(item, Source):
            yield item
            continue
        if item.role is Role.CACHE:
            yield from fillers.beside(reading, item, directory)
            continue
        yield from fillers.traced(item, reading, directory)
        if item.local is None and item.location.scheme in _HUBS:
            yield from fillers.shadowing(item, reading, directory)


def _is_model(item: Item) -> bool:
    """Tell whether an item says, or says that it cannot be known, which model is loaded."""
    if isinstance(item, Source):
        return item.role is Role.MODEL
    return isinstance(item, Unresolvable) and item.about in {None, Role.MODEL}


def _is_script(item: Item) -> bool:
    return isinstance(item, Unresolvable) and item.reason is Unknown.SCRIPT


def _is_secret(item: Item) -> bool:
    return isinstance(item, Switch) and item.name is SwitchName.SECRET
