"""References of container images as the container runtime reads them, in one form.

Source of the grammar and of the defaults: github.com/distribution/reference (`reference.go`,
`normalize.go`), which containerd, CRI-O and Docker share: the first component is a registry only if it has
a dot or a colon or is `localhost`; all else lies in `docker.io`, single names in its `library`.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from webhook.sources.found import Location

DEFAULT_REGISTRY: Final = "docker.io"
# Other names of the same registry (`normalize.go`, and what Docker's own client asks).
_HUB: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_REPOSITORY: Final = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*", re.ASCII)
_REGISTRY: Final = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(?::\d{1,5})?",
    re.ASCII,
)
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)
# `reference.NameTotalLengthMax`, with tag and digest.
_MAX: Final = 255 + 1 + 128 + 1 + 135


class ImageError(ValueError):
    """What is no reference of an image; the message says why."""


class ImageRef(NamedTuple):
    """An image: `docker.io`, `library/ubuntu`; tag and digest are empty where the reference has none."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return str(self.location).removeprefix("oci://")

    @property
    def location(self) -> Location:
        """The image as a source, `oci://docker.io/library/ubuntu:24.04@sha256:...`."""
        return Location("oci", f"{self.registry}/{self.repository}", self.tag, self.digest)


def image(text: Any) -> ImageRef:
    """Read a reference; without tag and digest it has neither (the runtime takes `latest` then).

    Raises ImageError.
    """
    if not isinstance(text, str) or not text:
        raise ImageError("no image is named")
    if len(text) > _MAX:
        raise ImageError(f"it has {len(text)} characters, at most {_MAX} are allowed")
    name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ImageError("what stands behind @ is no digest like sha256:<64 hex digits>")
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise ImageError("the tag may hold letters, digits, '_', '.' and '-', 128 of them")
    registry, repository = split(f"{head}{slash}{last}")
    if not _REGISTRY.fullmatch(registry):
        raise ImageError("the registry is no host name with an optional port")
    # One component at a time: the whole as one expression could be made slow.
    if not all(_REPOSITORY.fullmatch(part) for part in repository.split("/")):
        raise ImageError("a repository has lower-case letters, digits and single '.', '_', '-' between them")
    return ImageRef(registry, repository, tag, digest)


def split(name: str) -> tuple[str, str]:
    """Give registry and repository of a name without tag and digest, both as the runtime completes them."""
    first, slash, rest = name.partition("/")
    # an upper-case first component can be no repository, so it is a host (`normalize.go`)
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        registry, repository = DEFAULT_REGISTRY, name
    else:
        registry, repository = first.lower(), rest
    if registry in _HUB:
        registry = DEFAULT_REGISTRY
        if "/" not in repository:
            repository = f"library/{repository}"
    return registry, repository
