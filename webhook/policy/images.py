"""Rules over images: of every container, and of volumes made of one. Pure."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
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


def _used(subject: Subject, passes: Callable[[ImageRef], bool]) -> Iterator[_Used]:
    """Give the images that do not pass."""
    for container in subject.containers:
        text = container.raw.get("image")
        ref = _read(text)
        if (ref is None or not passes(ref)) and not subject.is_registrar(container):
            yield _Used(f"{container.path}.image", _shown(text), ref, container.name)
    for index, volume in objects(subject.spec.get("volumes")):
        if "image" in volume:
            text = mapping(volume["image"]).get("reference")
            ref = _read(text)
            if ref is None or not passes(ref):
                yield _Used(f"{subject.path}.volumes[{index}].image.reference", _shown(text), ref, "")


def _read(text: Any) -> ImageRef | None:
    # what is longer than a reference can be is not worth remembering
    return _ref(text) if isinstance(text, str) and len(text) <= _MAX_REMEMBERED else None


def _shown(text: Any) -> str:
    if not text and (text is None or isinstance(text, str)):
        return "no image"
    return short(text) if isinstance(text, str) else shown(text)


@functools.lru_cache(maxsize=1024)  # a cluster has few images, a big pod the same ones again and again
def _ref(text: str) -> ImageRef | None:
    try:
        return image(text)
    except ImageError:
        return None


@functools.lru_cache(maxsize=1024)
def _matches(patterns: Globs, ref: ImageRef) -> bool:
    return patterns.matches(ref)


@functools.lru_cache(maxsize=1024)
def _has_other_tag(ref: ImageRef, forbidden: tuple[str, ...]) -> bool:
    """Tell whether an image has none of these tags; the runtime looks at no tag beside a digest."""
    tag = (ref.tag or _LATEST).lower()
    return bool(ref.digest) or not any(matches(pattern.lower(), tag) for pattern in forbidden)


def _allowed(subject: Subject, value: Globs, _group: Mapping[str, Any]) -> Iterator[Finding]:
    for used in _used(subject, functools.partial(_matches, value)):
        yield Finding(used.path, used.text, one_of(value.patterns), used.container)


def _forbidden_tags(subject: Subject, value: tuple[str, ...], _group: Mapping[str, Any]) -> Iterator[Finding]:
    for used in _used(subject, lambda ref: _has_other_tag(ref, value)):
        # what is no reference has no tag: whoever allows images by name refuses it
        if used.ref is not None:
            seen = used.text if used.ref.tag else f"{used.text} without a tag, which is {_LATEST}"
            yield Finding(used.path, seen, f"a tag other than {', '.join(map(short, value))}", used.container)


def _digest(subject: Subject, value: bool, _group: Mapping[str, Any]) -> Iterator[Finding]:  # noqa: FBT001 - the Flag's value
    for used in _used(subject, lambda ref: bool(ref.digest)) if value else ():
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
