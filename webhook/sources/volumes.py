"""The volumes of a pod, and where a path of one of its containers really lies.

A mount hides what the image has at its path, and the longest mountPath counts, as in the kernel. Links
cannot be seen: a volume counts as a whole as what is in it, so whatever can write to it matters (see
`webhook.sources.fillers`). Fields after the Kubernetes API reference, "Volume" and "VolumeMount"; gcsfuse's
`bucketName` and `only-dir` after the documentation of GKE's Cloud Storage FUSE CSI driver.
"""

from __future__ import annotations

import bisect
import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

from webhook.pods import mapping, objects
from webhook.sources.argv import DIRECTORY, Call
from webhook.sources.container import Reading
from webhook.sources.found import Backing, Location
from webhook.sources.images import ImageError, image
from webhook.sources.programs import VLLM
from webhook.sources.text import expand, is_known

_GCSFUSE: Final = "gcsfuse.csi.storage.gke.io"
_ONLY_DIR: Final = re.compile(r"(?:^|,)only-dir[=:]([^,]*)")
# Deeper paths are found nowhere.
_MAX_DEPTH: Final = 64
# Where vLLM's own images start (`WORKDIR` of its `docker/Dockerfile`).
_VLLMS: Final = "/vllm-workspace"
# Where the kernel shows other processes' files.
_PROCESSES: Final = ("proc", "dev", "sys")


class Volume(NamedTuple):
    """A volume: `key` is the same for two that are one, `location` is its root's.

    `fresh` is one that starts empty; `unknown` says why nobody can know what is in it; `place` is the field
    of the spec that an image volume is.
    """

    key: str
    backing: Backing
    location: Location | None = None
    read_only: bool = False
    fresh: bool = False
    unknown: str = ""
    place: str = ""


class Place(NamedTuple):
    """Where a path lies: in a volume, or, without one, in the container's own image.

    `inside` is the path from the volume's, or the image's, root; `unknown` says why that cannot be told.
    """

    path: str
    volume: Volume | None
    inside: str
    read_only: bool = False
    unknown: str = ""

    @property
    def backing(self) -> Backing:
        """What holds the path."""
        return self.volume.backing if self.volume else Backing.CONTAINER

    @property
    def location(self) -> Location | None:
        """The canonical form of what holds the path; None if that is empty at first, or unknown."""
        if self.volume is None or self.volume.location is None:
            return None
        base = self.volume.location
        inside = "" if base.scheme == "oci" else self.inside
        return base._replace(name=f"{base.name}/{inside}") if inside else base


class _Mount(NamedTuple):
    volume: Volume
    sub_path: str
    read_only: bool
    unknown: str


class Volumes:
    """The volumes of a pod's spec."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        """Take the spec; it is read as far as paths are traced in it."""
        self.spec = spec
        self._mounts: dict[str, dict[tuple[str, ...], _Mount]] = {}
        self._known_paths: dict[str, list[str]] = {}
        self._known_ends: dict[str, Mapping[tuple[str, ...], tuple[str, ...]]] = {}
        self._has_images = any("image" in raw for _, raw in objects(spec.get("volumes")))

    def place(self, reading: Reading, path: str, directory: str = "") -> Place:
        """Trace a path in a container; a relative one counts from `directory`, where that is known."""
        if path[:1] != "/":
            if directory[:1] != "/" or path[:1] == "~":
                return Place(path, None, path, unknown=self._relative(reading, path))
            path = f"{directory.rstrip('/')}/{path}"
        parts = _parts(path)
        path = "/" + "/".join(parts)
        if len(parts) > _MAX_DEPTH or ".." in parts:
            return Place(path, None, path, unknown="it goes through '..', or too deep")
        mounts = self.mounts(reading)
        for depth in range(len(parts), -1, -1) if mounts else ():
            if mount := mounts.get(tuple(parts[:depth])):
                inside = "/".join(filter(None, (mount.sub_path, *parts[depth:])))
                return Place(path, mount.volume, inside, mount.read_only, mount.unknown)
        unknown = f"/{parts[0]} is the node's kernel's" if parts and parts[0] in _PROCESSES else ""
        security = mapping(reading.container.get("securityContext"))
        return Place(path, None, path[1:], security.get("readOnlyRootFilesystem") is True, unknown)

    def images(self, reading: Reading) -> Iterator[Volume]:
        """Give the image volumes that a container mounts."""
        if self._has_images and "volumeMounts" in reading.container:
            for mount in self.mounts(reading).values():
                if mount.volume.backing is Backing.IMAGE:
                    yield mount.volume

    def mounts(self, reading: Reading) -> Mapping[tuple[str, ...], _Mount]:
        """Give the mounts of a container by the components of their paths."""
        known = self._mounts.get(reading.path)
        if known is None:
            known = self._mounts[reading.path] = {}
            if "volumeMounts" not in reading.container:
                return known
            for _, raw in objects(reading.container["volumeMounts"]):
                path, mount = raw.get("mountPath"), self._mount(raw, reading.env)
                if isinstance(path, str) and mount:
                    # The runtime takes a `..` off before it looks (runc, `securejoin`).
                    known[tuple(_parts(posixpath.normpath(f"/{path}")))] = mount
        return known

    def below(self, reading: Reading, path: str) -> Iterator[Place]:
        """Give the volumes mounted below an absolute path: they hold a part of what is loaded from it."""
        paths, prefix = self._sorted(reading), f"{path.rstrip('/')}/"
        for index in range(bisect.bisect_left(paths, prefix), len(paths)):
            if not paths[index].startswith(prefix):
                return
            yield self.place(reading, paths[index])

    def shadows(self, reading: Reading, name: str, directory: str) -> Place | None:
        """Give where a hub's id would be found as a path, if a mount lies there; None if none does.

        Where the pod does not say the directory, every mount counts that ends like the id.
        """
        if not self.mounts(reading):
            return None
        if directory:
            place = self.place(reading, name, directory)
            if place.volume or _working(reading):
                return place if place.volume else None
        ends = self._ends(reading)
        parts = tuple(name.split("/"))
        for depth in range(len(parts), 0, -1):
            if path := ends.get(parts[:depth]):
                return self.place(reading, "/" + "/".join((*path, *parts[depth:])))
        return None

    def _relative(self, reading: Reading, path: str) -> str:
        """Say why a relative path cannot be traced; empty if no mount can lie there."""
        if path[:1] == "~":
            return "the image says where ~ is"
        near = (path.partition("/")[0],) in self._ends(reading)
        return "the image says what it is relative to" if near else ""

    def _ends(self, reading: Reading) -> Mapping[tuple[str, ...], tuple[str, ...]]:
        """Give the paths of a container's mounts by their last component and by their last two."""
        known = self._known_ends.get(reading.path)
        if known is None:
            paths = self.mounts(reading)
            known = {path[-length:]: path for path in paths for length in (1, 2)}
            self._known_ends[reading.path] = known
        return known

    def _sorted(self, reading: Reading) -> list[str]:
        known = self._known_paths.get(reading.path)
        if known is None:
            known = sorted("/" + "/".join(path) for path in self.mounts(reading))
            self._known_paths[reading.path] = known
        return known

    @cached_property
    def _volumes(self) -> Mapping[str, Volume]:
        found = {}
        for index, raw in objects(self.spec.get("volumes")):
            name = raw.get("name")
            if isinstance(name, str):
                found[name] = _volume(name, index, raw)
        return found

    def _mount(self, raw: Mapping[str, Any], env: Mapping[str, str]) -> _Mount | None:
        name, unknown = raw.get("name"), ""
        if not isinstance(name, str):
            return None
        # A StatefulSet's claim template becomes a volume of its name only in its pods.
        volume = self._volumes.get(name) or _kept(name, "persistentVolumeClaim", {"claimName": name})
        read_only = volume.read_only or raw.get("readOnly") is True
        if "subPath" not in raw and "subPathExpr" not in raw:
            return _Mount(volume, "", read_only, "")
        sub_path = raw.get("subPathExpr") or raw.get("subPath") or ""
        if not isinstance(sub_path, str):
            sub_path = ""
        if "subPathExpr" in raw:
            sub_path = expand(sub_path, env)
        if not is_known(sub_path):
            sub_path, unknown = "", "its subPathExpr holds a variable"
        return _Mount(volume, "/".join(_parts(sub_path)), read_only, unknown)


def directories(reading: Reading) -> Iterator[tuple[Call, str]]:
    """Give each command of a container with the directory it starts in; empty where the image says that."""
    directory = _working(reading) or (_VLLMS if reading.image and reading.image.program is VLLM else "")
    for call in reading.calls:
        if call.words[0] in {"cd", "pushd"}:
            target = call.words[1] if len(call.words) > 1 else ""
            if not target or not is_known(target) or not (directory or target[:1] == "/"):
                directory = ""
            else:
                directory = posixpath.normpath(posixpath.join(directory, target))
        started = call.env.get(DIRECTORY)
        yield call, directory if started is None else posixpath.join(directory, started)


def _working(reading: Reading) -> str:
    folder = reading.container.get("workingDir")
    return folder if isinstance(folder, str) and folder[:1] == "/" else ""


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _volume(name: str, index: int, raw: Mapping[str, Any]) -> Volume:
    """Read one volume; without a source it is an emptyDir, as the API server completes it."""
    kind, body = "emptyDir", {}
    for key, value in raw.items():
        if key != "name" and isinstance(value, dict):
            kind, body = key, value
            break
    if kind == "emptyDir":
        return Volume(f"dir {index}", Backing.EMPTY_DIR, fresh=True)
    if kind == "ephemeral":
        return _ephemeral(name, body)
    if kind == "image":
        return _image(index, body)
    if kind == "csi":
        return _csi(index, body)
    return _kept(name, kind, body)


def _kept(name: str, kind: str, body: Mapping[str, Any]) -> Volume:
    """Read a volume that was there before the pod."""
    read_only, backing = body.get("readOnly") is True, Backing.OTHER
    path = "/".join(_parts(_text(body, "path")))
    match kind:
        case "persistentVolumeClaim":
            location, backing = Location("pvc", _text(body, "claimName")), Backing.PVC
        case "hostPath":
            location, backing = Location("hostpath", f"/{path}"), Backing.HOST_PATH
        case "nfs":
            location = Location("nfs", f"{_text(body, 'server')}/{path}")
        case "configMap" | "secret":
            held = _text(body, "name" if kind == "configMap" else "secretName")
            location, read_only = Location(kind.lower(), held), True
        case _:
            location = Location("volume", f"{kind}/{name}")
    return Volume(str(location), backing, location, read_only)


def _ephemeral(name: str, body: Mapping[str, Any]) -> Volume:
    """Read a claim that is made with the pod: empty, unless it is made from something."""
    spec = mapping(mapping(body.get("volumeClaimTemplate")).get("spec"))
    source = mapping(spec.get("dataSourceRef") or spec.get("dataSource"))
    if not source:
        return Volume(f"ephemeral {name}", Backing.EMPTY_DIR, fresh=True)
    if source.get("kind") == "PersistentVolumeClaim" and "namespace" not in source:
        return Volume(f"ephemeral {name}", Backing.PVC, Location("pvc", _text(source, "name")))
    detail = f"it is made from a {_text(source, 'kind')[:60]}"
    return Volume(f"ephemeral {name}", Backing.PVC, unknown=detail)


def _image(index: int, body: Mapping[str, Any]) -> Volume:
    place = f"volumes[{index}]"
    try:
        location = image(body.get("reference")).location
    except ImageError as error:
        unknown = f"no image: {error}"
        return Volume(f"image {index}", Backing.IMAGE, read_only=True, unknown=unknown, place=place)
    return Volume(f"image {location}", Backing.IMAGE, location, read_only=True, place=place)


def _csi(index: int, body: Mapping[str, Any]) -> Volume:
    driver, attributes = _text(body, "driver"), mapping(body.get("volumeAttributes"))
    read_only = body.get("readOnly") is True
    if driver == _GCSFUSE and (bucket := _text(attributes, "bucketName")):
        only = _ONLY_DIR.search(_text(attributes, "mountOptions"))
        parts = [*([] if bucket == "_" else [bucket]), *_parts(only[1] if only else "")]
        if parts:
            return Volume(f"csi {index}", Backing.CSI, Location("gs", "/".join(parts)), read_only=read_only)
    return Volume(f"csi {index}", Backing.CSI, Location("csi", driver), read_only=read_only)


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""
