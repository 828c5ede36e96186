"""Rules over images: of every container, and of volumes made of one. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from webhook.pods import mapping, objects
from webhook.policy.extracted import one_of, short
from webhook.policy.kinds import Flag, GlobList, Required
from webhook.policy.rule import Rule
from webhook.policy.subject import Subject
from webhook.policy.verdict import Finding
from webhook.policy.wild import matches
from webhook.reasons import shown
from webhook.sources.globs import Globs
from webhook.sources.images import ImageError, ImageRef, image

_GROUP: Final = "images"
# What the runtime takes where nothing is said.
_LATEST: Final = "latest"
# No reference is longer (`webhook.sources.images`).
_MAX_REMEMBERED: Final = 600


class _Used(NamedTuple):
    """An image, and where it is named; `ref` is None where the text is no reference."""

    path: str
    text: str
    ref: ImageRef | None
    container: str


def _used(subject: Subject) -> Iterator[_Used]:
    for container in subject.containers:
        if not subject.is_registrar(container):
            yield _read(f"{container.path}.image", container.raw.get("image"), container.name)
    for index, volume in objects(subject.spec.get("volumes")):
        if "image" in volume:
            reference = mapping(volume["image"]).get("reference")
            yield _read(f"{subject.path}.volumes[{index}].image.reference", reference, "")


def _read(path: str, text: Any, container: str) -> _Used:
    if isinstance(text, str):
        # what is longer than a reference can be is not worth remembering
        ref = _ref(text) if len(text) <= _MAX_REMEMBERED else None
        return _Used(path, short(text) if text else "no image", ref, container)
    return _Used(path, "no image" if text is None else shown(text), None, container)


@functools.lru_cache(maxsize=1024)  # a cluster has few images, a big pod the same ones again and again
def _ref(text: str) -> ImageRef | None:
    try:
        return image(text)
    except ImageError:
        return None


@functools.lru_cache(maxsize=1024)
def _matches(patterns: Globs, ref: ImageRef) -> bool:
    return patterns.matches(ref)


def _allowed(subject: Subject, value: Globs, _group: Mapping[str, Any]) -> Iterator[Finding]:
    for used in _used(subject):
        if used.ref is None or not _matches(value, used.ref):
            yield Finding(used.path, used.text, one_of(value.patterns), used.container)


def _forbidden_tags(subject: Subject, value: tuple[str, ...], _group: Mapping[str, Any]) -> Iterator[Finding]:
    for used in _used(subject):
        # the runtime takes the digest, if there is one, and does not look at the tag
        if used.ref is None or used.ref.digest:
            continue
        tag = used.ref.tag or _LATEST
        if any(matches(pattern.lower(), tag.lower()) for pattern in value):
            seen = used.text if used.ref.tag else f"{used.text} without a tag, which is {_LATEST}"
            yield Finding(used.path, seen, f"a tag other than {', '.join(map(short, value))}", used.container)


def _digest(subject: Subject, value: bool, _group: Mapping[str, Any]) -> Iterator[Finding]:  # noqa: FBT001 - the Flag's value
    for used in _used(subject) if value else ():
        if used.ref is None or not used.ref.digest:
            yield Finding(used.path, used.text, "an image with its digest, @sha256:…", used.container)


RULES: Final = (
    Rule(
        _GROUP,
        "allow",
        GlobList(Globs.images, "images"),
        "the images that containers and volumes may be made of",
        _allowed,
    ),
    Rule(
        _GROUP,
        "forbidTags",
        Required(what="tags, `*` stands for any characters"),
        "tags that no image may have unless its digest is given; no tag is `latest`",
        _forbidden_tags,
    ),
    Rule(_GROUP, "requireDigest", Flag(), "every image must be given with its digest", _digest),
)
