"""What KServe loads into a pod: its storage initializer, and the annotations that ask for one.

From kserve/kserve: `pkg/webhook/admission/pod/storage_initializer_injector.go` and `pkg/constants` (names,
annotations, `/mnt/models`), `python/storage-initializer/scripts/initializer-entrypoint` (arguments: URI and
directory, in pairs), `kserve_storage` (`hf://org/name:revision`). A modelcar needs nothing of its own: it is
a container whose image is linked into a shared volume (`webhook.sources.fillers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from webhook.sources import locations
from webhook.sources.argv import ENTRYPOINT
from webhook.sources.container import Reading
from webhook.sources.found import Item, Location, Role, Unknown, Unresolvable
from webhook.sources.locations import BadValueError, LocalPath
from webhook.sources.programs import image_name
from webhook.sources.text import is_known, readable

_INITIALIZER: Final = "storage-initializer"
_PREFIX: Final = "internal.serving.kserve.io/"
_URI: Final = f"{_PREFIX}storage-initializer-sourceuri"
_SPEC: Final = f"{_PREFIX}storage-spec"
_MOUNT: Final = "/mnt/models"
# KServe fills it in from a Secret (`credentials.UriSchemePlaceholder`).
_PLACEHOLDER: Final = "<scheme-placeholder>"


def is_initializer(reading: Reading) -> bool:
    """Tell whether a container is a storage initializer: by its name, as KServe does, or by its image."""
    if reading.words[0] != ENTRYPOINT:
        return False
    image = reading.container.get("image")
    # most images need not be taken apart
    by_image = isinstance(image, str) and _INITIALIZER in image.lower()
    return reading.name == _INITIALIZER or (by_image and image_name(image)[0] == _INITIALIZER)


def items(reading: Reading) -> Iterator[Item]:
    """Give what a storage initializer loads, and where to."""
    words = reading.words[1:]
    call = reading.calls[0] if reading.calls else None
    for index in range(0, len(words), 2):
        place = reading.place(call, index + 1) if call else reading.path
        into = words[index + 1] if index + 1 < len(words) else ""
        yield _loaded(Role.WEIGHTS, words[index], into if is_known(into) else "", place, reading.name)


def asked(found: Mapping[str, Any], place: str) -> Iterator[Item]:
    """Give what the annotations of a pod, which stand at `place`, ask KServe to load."""
    uri = found.get(_URI)
    if isinstance(uri, str):
        yield _loaded(Role.MODEL, uri, _MOUNT, f"{place}[{_URI}]", "")
    elif found.get(_SPEC) == "true":
        detail = "what is loaded stands in a Secret of KServe's"
        yield Unresolvable(Role.MODEL, Unknown.VARIABLE, detail, f"{place}[{_SPEC}]")


def _loaded(role: Role, text: str, into: str, place: str, container: str) -> Item:
    if not is_known(text):
        return Unresolvable(role, Unknown.VARIABLE, f"it is {readable(text)}", place, container)
    if text.startswith(_PLACEHOLDER):
        return Unresolvable(role, Unknown.VARIABLE, "a Secret says which store it is", place, container)
    try:
        found = _url(text)
    except BadValueError as error:
        return Unresolvable(role, Unknown.BAD_VALUE, str(error), place, container)
    return replace(locations.source(role, found, place, container), into=into)


def _url(text: str) -> Location | LocalPath:
    """Read a storage URI: like others, but a colon of a hub's id stands before a revision."""
    if "://" not in text:
        # an older initializer takes a path as it stands
        return locations.path(text)
    found = locations.url(text)
    if isinstance(found, Location) and found.scheme == locations.HUB and found.tag and not found.revision:
        return found._replace(tag="", revision=found.tag)
    return found
