"""An image as the archive that `docker save` and buildah write: its configuration and its files.

The format: manifest.json names the configuration and the layers, each of them a tar archive
(github.com/moby/docker-image-spec, v1.2, "Combined Image JSON + Filesystem Changeset Format").
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one layer holds at one path, but for times."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    link: str
    size: int
    content: str

    @classmethod
    def read(cls, layer: tarfile.TarFile, member: tarfile.TarInfo) -> Self:
        """Read it, of a file also the hash of what is in it."""
        file = layer.extractfile(member) if member.isfile() else None
        content = hashlib.sha256(file.read()).hexdigest() if file else ""
        owner = (member.uid, member.gid)
        return cls(member.type, member.mode, owner, member.linkname, member.size, content)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: the hash of its archive, and its entries by path."""

    digest: str
    entries: dict[str, Entry]

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return sum(entry.size for entry in self.entries.values())


@dataclass(frozen=True, slots=True)
class Image:
    """One image: what it says of itself (OCI's image configuration), and its layers, the base's first."""

    about: JSON
    layers: tuple[Layer, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an archive with one image."""
        with tarfile.open(path) as archive:
            (manifest,) = json.load(_file(archive, "manifest.json"))
            about = json.load(_file(archive, manifest["Config"]))
            digests = about["rootfs"]["diff_ids"]
            pairs = zip(digests, manifest["Layers"], strict=True)
            return cls(about, tuple(_layer(archive, digest, name) for digest, name in pairs))

    @property
    def settings(self) -> JSON:
        """What a container of it is run with."""
        settings: JSON = self.about["config"]
        return settings

    def over(self, other: Image) -> tuple[Layer, ...]:
        """Give the layers above those that it begins with in common with another one: above their base."""
        theirs = {layer.digest for layer in other.layers}
        return tuple(layer for layer in self.layers if layer.digest not in theirs)


def _file(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    assert file is not None, f"{name} is no file"
    return file


def _layer(archive: tarfile.TarFile, digest: str, name: str) -> Layer:
    with tarfile.open(fileobj=_file(archive, name)) as layer:
        return Layer(digest, {member.name: Entry.read(layer, member) for member in layer})
