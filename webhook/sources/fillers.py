"""Who in a pod puts what where: a server's local path is what other commands put there.

A volume counts as a whole as what its writers put in it, since links within it cannot be seen: every
container that mounts it and may write counts, init containers, sidecars and debugging ones alike. Of each
command it runs is known what it loads (`Source.into`), what it copies from elsewhere (`cp`, `mv`, `ln`,
`rsync`, KServe's modelcar with its link into `/proc/$$/root`), or that it writes nothing of weight; all
others are unknown.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, NamedTuple

from webhook.sources import kserve, loaders
from webhook.sources.argv import ENTRYPOINT, Call, basename
from webhook.sources.container import Reading
from webhook.sources.found import Backing, Item, Local, Location, Role, Source, Unknown, Unresolvable
from webhook.sources.images import ImageError, image
from webhook.sources.locations import BadValueError, path
from webhook.sources.text import is_known, is_loose, readable
from webhook.sources.tools import is_harmless, unpacked
from webhook.sources.volumes import Place, Volumes, directories

_COPYING: Final = frozenset({"cp", "mv", "ln", "rsync", "install", "tar", "unzip"})
# `cp -t DIRECTORY FILE...`
_TARGET_FIRST: Final = re.compile(r"-[A-Za-z]*t|--target")
_PROCESS_ROOT: Final = re.compile(r"/proc/(?:self|\0\$\0)/root(?=/|$)")
# What a server takes for weights, whatever wrote it.
_WEIGHTS: Final = (".safetensors", ".gguf", ".bin", ".pt", ".pth")
_MAX_OPERANDS: Final = 50
_MAX_CHAIN: Final = 8
# Begins the key of a container's own file system.
_OWN: Final = "fs "
# Of the volumes mounted within one model.
_MAX_BELOW: Final = 20


class Actor(NamedTuple):
    """A container with what its commands load, servers' own models aside."""

    reading: Reading
    sources: Sequence[Source]


class _Copy(NamedTuple):
    """What one operand of a copying command brings: from where, and to which path in the volume, if known.

    Without a `call` it is told as a source already.
    """

    call: Call | None
    origin: Place | str
    inside: str | None


@dataclass(slots=True)
class _Deeds:
    """What one container does: what it loads and copies by the volume it goes to, `""` for any it can write.

    `strange` are the commands of which nobody knows what they write.
    """

    loads: dict[str, list[tuple[str | None, Location]]] = field(default_factory=dict)
    copies: dict[str, list[_Copy]] = field(default_factory=dict)
    strange: list[Unresolvable] = field(default_factory=list)


@dataclass(slots=True)
class _Filled:
    """What is put into one volume: by path in it, the path of anything above it, and anything at all.

    `items` are what copies bring, `strange` the containers of which nobody knows all that they write,
    `before` the volumes that something is copied from.
    """

    at: dict[str, Location] = field(default_factory=dict)
    above: dict[str, Location] = field(default_factory=dict)
    any: Location | None = None
    items: list[Item] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)

    def put(self, inside: str | None, location: Location) -> None:
        """Note a location at a path, or somewhere."""
        self.any = self.any or location
        if inside is not None:
            self.at.setdefault(inside, location)
            for above in _parents(inside):
                self.above.setdefault(above, location)

    def best(self, inside: str) -> Location | None:
        """Give what lies at a path, above it, below it, or else in the volume."""
        nearest = next((self.at[p] for p in (inside, *_parents(inside)) if p in self.at), None)
        return nearest or self.above.get(inside) or self.any


class Fillers:
    """Everything that is put somewhere in a pod."""

    def __init__(self, volumes: Volumes, actors: Sequence[Actor], everywhere: Sequence[Source] = ()) -> None:
        """Take all containers; `everywhere` is what is put into each of them from outside the pod."""
        self._volumes = volumes
        self._actors = actors
        self._everywhere = everywhere
        self._filled: dict[str, _Filled] = {}
        self._deeds: dict[int, _Deeds] = {}
        self._told: set[str] = set()
        # by container: the paths that its own commands put something at, in one text
        self._listed: dict[str, str] = {}

    def traced(self, source: Source, reading: Reading, directory: str) -> Iterator[Item]:
        """Say of a source with a local path what it is loaded from; what fills a volume is told once."""
        local = source.local
        if local is None:
            yield source
            return
        text = local.path
        if text[:1] == "~" and (home := reading.env.get("HOME", "")):
            text = home + text[1:]
        place = self._volumes.place(reading, text, directory)
        found = replace(source, local=Local(place.path, place.backing, place.read_only))
        unknown = place.unknown or (place.volume.unknown if place.volume else "")
        if unknown:
            yield found
            yield _hidden(source, unknown)
            return
        yield from self._told_of(place, found, reading)
        for part in itertools.islice(self._volumes.below(reading, place.path), _MAX_BELOW):
            within = replace(source, local=Local(part.path, part.backing, part.read_only))
            yield from self._told_of(part, within, reading)

    def shadowing(self, source: Source, reading: Reading, directory: str) -> Iterator[Item]:
        """Give what a server finds in place of a hub's id, where a volume lies at that path.

        A server takes a path that exists before it asks a hub; a volume that starts empty and that nothing
        fills has no such path.
        """
        name = source.location.name
        if inside := self._put(reading, name):
            # The container's own commands put something there.
            there = Place(f"/{inside}", None, inside)
            yield from self._told_of(there, replace(source, local=Local(there.path, there.backing)), reading)
            return
        place = self._volumes.shadows(reading, name, directory)
        if place is None or place.volume is None:
            return
        if place.volume.fresh:
            filled = self._of(place.volume.key, 0)
            if filled.any is None and not filled.strange:
                return
        yield from self._told_of(
            place, replace(source, local=Local(place.path, place.backing, place.read_only)), reading
        )

    def _put(self, reading: Reading, name: str) -> str:
        """Give where a container's own commands put something under a name, in its own file system."""
        key = f"fs {reading.path}"
        listed = self._listed.get(key)
        if listed is None:
            listed = self._listed[key] = "".join(f"\n/{path}/" for path in self._of(key, 0).at)
        at = listed.find(f"/{name}/")
        if at < 0:
            return ""
        begin = listed.rfind("\n", 0, at) + 2
        return listed[begin : at + len(name) + 1]

    def beside(self, reading: Reading, cache: Source, directory: str) -> Iterator[Item]:
        """Give what holds a cache, what other containers bring there, and who of them may write.

        A cache on a volume that is kept may hold anything under the name of any model: it is a source of its
        own. An image volume is one anyhow.
        """
        if cache.local is None:
            return
        place = self._volumes.place(reading, cache.local.path, directory)
        for one in (place, *itertools.islice(self._volumes.below(reading, place.path), _MAX_BELOW)):
            if one.volume is None:
                continue
            if one.location is not None and one.backing is not Backing.IMAGE:
                yield Source(Role.WEIGHTS, one.location, cache.path, reading.name)
            writers = self._writers.get(one.volume.key, ())
            if any(self._actors[index].reading.path != reading.path for index in writers):
                self._of(one.volume.key, 0)
                yield from self._untold(one.volume.key)

    def _told_of(self, place: Place, source: Source, reading: Reading) -> Iterator[Item]:
        key = _key(place, reading)
        filled = self._of(key, 0)
        others = list(self._untold(key))
        yield from others
        held, put = place.location, filled.best(place.inside)
        if held:
            yield replace(source, location=held)
        elif asked := self._asked(place.path):
            # mounted read-only, if nobody tells KServe otherwise (`GetStorageInitializerReadOnlyFlag`)
            local = Local(place.path, Backing.INIT_CONTAINER, read_only=True)
            yield replace(source, location=asked, local=local)
        elif put:
            backing = Backing.INIT_CONTAINER if place.volume else Backing.CONTAINER
            yield replace(source, location=put, local=Local(place.path, backing, place.read_only))
        else:
            name = place.path if place.path[:1] == "/" else f"/{place.path}"
            yield replace(source, location=Location("file", name))
            if place.volume and not filled.strange:
                yield _hidden(source, "an empty volume that no container of the pod fills")

    def _untold(self, key: str) -> Iterator[Item]:
        """Give what copies bring into a volume, and who else may write to it, and all that is before it."""
        keys = [key]
        for one in keys:  # it grows while it is walked
            if one in self._told:
                continue
            self._told.add(one)
            filled = self._filled[one]
            yield from filled.items
            for name in filled.strange:
                if name not in self._told:
                    self._told.add(name)
                    yield from self._deeds[int(name)].strange
            keys.extend(filled.before)

    def _of(self, key: str, depth: int) -> _Filled:
        """Give what is put into a volume, or, as `fs PATH`, into a container's own file system."""
        known = self._filled.get(key)
        if known is None:
            # Known before it is complete: volumes can be copied in a circle.
            known = self._filled[key] = _Filled()
            own = key.startswith(_OWN)
            for index in (self._owners if own else self._writers).get(key, ()):
                self._add(known, index, key, depth)
        return known

    def _asked(self, path: str) -> Location | None:
        """Give what is put at a path from outside the pod."""
        for source in self._everywhere:
            if f"{path}/".startswith(f"{source.into}/"):
                return source.location
        return None

    @cached_property
    def _writers(self) -> Mapping[str, list[int]]:
        """Give which containers can write to each volume."""
        writers: dict[str, list[int]] = {}
        for index, actor in enumerate(self._actors):
            mounts = self._volumes.mounts(actor.reading).values()
            keys = {mount.volume.key for mount in mounts if not mount.read_only}
            for key in keys:
                writers.setdefault(key, []).append(index)
        return writers

    @cached_property
    def _owners(self) -> Mapping[str, list[int]]:
        """Give which commands run in each container, by the key of its own file system."""
        owners: dict[str, list[int]] = {}
        for index, actor in enumerate(self._actors):
            owners.setdefault(f"{_OWN}{actor.reading.path}", []).append(index)
        return owners

    def _add(self, filled: _Filled, index: int, key: str, depth: int) -> None:
        """Add what one container puts there."""
        reading = self._actors[index].reading
        deeds = self._deeds.get(index)
        if deeds is None:
            deeds = self._deeds[index] = self._done(self._actors[index])
        own = key.startswith("fs ")
        for inside, location in (*deeds.loads.get(key, ()), *(() if own else deeds.loads.get("", ()))):
            filled.put(inside, location)
        for copy in (*deeds.copies.get(key, ()), *(() if own else deeds.copies.get("", ()))):
            self._copied(filled, reading, copy, depth)
        if deeds.strange and not own:
            filled.strange.append(str(index))

    def _done(self, actor: Actor) -> _Deeds:
        """Read once what a container does."""
        deeds, reading = _Deeds(), actor.reading
        for source in actor.sources:
            place = self._volumes.place(reading, source.into) if source.into else None
            if source.local:
                # a URL like file:///x: a copy within the container
                key, inside = (_key(place, reading), place.inside) if place else ("", None)
                origin = self._volumes.place(reading, source.local.path)
                deeds.copies.setdefault(key, []).append(_Copy(None, origin, inside))
            elif place:
                deeds.loads.setdefault(_key(place, reading), []).append((place.inside, source.location))
            else:
                # one is as good as all of them: each is told by itself
                deeds.loads.setdefault("", [(None, source.location)])
        if reading.unreadable and not reading.calls:
            deeds.strange.append(_stranger(reading, None, Unknown.SCRIPT, reading.unreadable))
        for call, directory in () if kserve.is_initializer(reading) else directories(reading):
            word = call.words[0]
            name = basename(word)
            if "/" in word and self._volumes.place(reading, word, directory).volume:
                # out of a volume it is whatever somebody put there
                deeds.strange.append(_unknown(reading, call))
            elif name in _COPYING:
                self._copies(deeds, reading, call, directory)
            elif not is_harmless(call) or (call.output.endswith(_WEIGHTS) and not loaders.loads(call.words)):
                deeds.strange.append(_unknown(reading, call))
        return deeds

    def _copies(self, deeds: _Deeds, reading: Reading, call: Call, directory: str) -> None:
        """Note what a command copies."""
        operands = unpacked(call.words)
        if operands is None:
            operands = [word for word in call.words[1:] if word[:1] != "-"]
        reverse = basename(call.words[0]) != "rsync" and any(map(_TARGET_FIRST.match, call.words[1:]))
        if reverse or not 1 < len(operands) <= _MAX_OPERANDS or any(map(is_loose, operands)):
            detail = "what is copied cannot be told"
            deeds.strange.append(_stranger(reading, call, Unknown.SCRIPT, detail))
            return
        *sources, target = operands
        place = self._operand(reading, target, directory)
        key, inside = ("", None) if isinstance(place, str) else (_key(place, reading), place.inside)
        for text in sources:
            origin = self._operand(reading, text, directory)
            if isinstance(origin, str) or _key(origin, reading) != key:
                deeds.copies.setdefault(key, []).append(_Copy(call, origin, inside))

    def _copied(self, filled: _Filled, reading: Reading, copy: _Copy, depth: int) -> None:
        """Add what lies at the origin of a copy."""
        call, origin = copy.call, copy.origin
        unknown = origin if isinstance(origin, str) else origin.unknown
        if unknown or isinstance(origin, str) or depth == _MAX_CHAIN:
            detail = unknown or "it was copied too often"
            filled.items.append(_stranger(reading, call, Unknown.VOLUME, detail))
            return
        location = origin.location
        if location is None:
            key = _key(origin, reading)
            filled.before.append(key)
            if put := self._of(key, depth + 1).best(origin.inside):
                # told where it is loaded
                filled.put(copy.inside, put)
                return
        if location is None and origin.volume is None:
            try:
                location = image(reading.container.get("image")).location
            except ImageError as error:
                filled.items.append(_stranger(reading, call, Unknown.BAD_VALUE, f"no image: {error}"))
                return
        if location is not None:
            filled.put(copy.inside, location)
            if call:
                filled.items.append(Source(Role.WEIGHTS, location, reading.place(call, 0), reading.name))

    def _operand(self, reading: Reading, text: str, directory: str) -> Place | str:
        """Trace a path that a command is told; else say why it cannot be."""
        text = _PROCESS_ROOT.sub("", text, count=1)
        if not is_known(text):
            return f"it copies {readable(text)[:60]}"
        try:
            found = path(text).path if text else "/"
        except BadValueError as error:
            return str(error)
        return self._volumes.place(reading, found, directory)


def _unknown(reading: Reading, call: Call) -> Unresolvable:
    if call.words[0] == ENTRYPOINT:
        return _stranger(reading, call, Unknown.ENTRYPOINT, "what its image runs")
    return _stranger(reading, call, Unknown.SCRIPT, readable(basename(call.words[0]))[:60])


def _stranger(reading: Reading, call: Call | None, reason: Unknown, detail: str) -> Unresolvable:
    place = reading.place(call, 0) if call else reading.path
    detail = f"it can write to the model's volume: {detail}"
    return Unresolvable(Role.WEIGHTS, reason, detail, place, reading.name)


def _hidden(source: Source, detail: str) -> Unresolvable:
    return Unresolvable(source.role, Unknown.VOLUME, detail, source.path, source.container)


def _key(place: Place, reading: Reading) -> str:
    return place.volume.key if place.volume else f"fs {reading.path}"


def _parents(inside: str) -> Iterator[str]:
    """Give the paths above one, the nearest first, the root last."""
    while inside:
        inside = inside.rpartition("/")[0]
        yield inside
