"""Manifests as people keep them: files of YAML or JSON, several to a file, lists of them. Pure.

YAML is read as kubectl reads it (sigs.k8s.io/yaml over go-yaml v2: YAML 1.1 with anchors and merge keys, but
dates and `1:30` stay text), by PyYAML's safe constructor and bounded in size, depth and what aliases make of
it.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from webhook.pods import mapping

MAX_BYTES: Final = 32 * 1024 * 1024
# Of one document, with every alias written out.
MAX_VALUES: Final = 1_000_000
MAX_DEPTH: Final = 100

# libyaml's parser is ten times faster; a PyYAML built without it has only its own.
_Parser: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STEP: Final = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_TEMPLATE: Final = re.compile(r"\{\{")
_TAG: Final = "tag:yaml.org,2002:"
_STR: Final = f"{_TAG}str"
_TEXTS: Final = frozenset({f"{_TAG}timestamp", f"{_TAG}value"})
_NUMBERS: Final = frozenset({f"{_TAG}int", f"{_TAG}float"})


class ManifestError(ValueError):
    """A file cannot be used; `line` is where (from 1), if that is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Manifest:
    """One object of a file. `path` is where it stands in its document (`items[3]`), empty for all of it."""

    obj: Mapping[str, Any] = field(repr=False)
    line: int
    path: str = ""
    _node: Any = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """Its kind with its group, as reviews have it: `Pod`, `apps/Deployment`."""
        group, _, version = str(self.obj["apiVersion"]).rpartition("/")
        return f"{group}/{self.obj['kind']}" if version and group else str(self.obj["kind"])

    @property
    def namespace(self) -> str:
        """The namespace it names, if any."""
        return _text(mapping(self.obj.get("metadata")).get("namespace"))

    @property
    def name(self) -> str:
        """Its name, or what its name begins with."""
        metadata = mapping(self.obj.get("metadata"))
        return _text(metadata.get("name")) or _text(metadata.get("generateName"))

    def line_of(self, path: str) -> int:
        """Give the line of a JSON path within the object, or of the nearest place that is in the file."""
        node, line = self._node, self.line
        for step in _STEP.findall(path):
            found = _below(node, step[1:-1] if step[0] == "[" else step)
            if found is None:
                break
            line, node = found
        return line


def read(content: bytes) -> list[Manifest]:
    """Read all manifests of a file. Raises ManifestError for what is none, or if there are none."""
    if len(content) > MAX_BYTES:
        raise ManifestError(f"found {len(content)} bytes, allowed are up to {MAX_BYTES}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"not UTF-8, at byte {error.start}") from None
    found = [manifest for document in _documents(text) for manifest in _manifests(*document)]
    if not found:
        raise ManifestError("holds no manifests")
    return found


def _documents(text: str) -> Iterator[tuple[Any, int, Any]]:
    """Give the value, the line and the YAML node, if there is one, of each document."""
    if text.lstrip()[:1] in ("{", "["):
        # YAML takes most of JSON, but not tabs and not pairs of surrogates.
        with contextlib.suppress(ValueError, RecursionError):
            yield _plain(_JSON.decode(text), 0), 1, None
            return
    reader = _Reader(text)
    try:
        while (node := reader.next_document()) is not None:
            yield _plain(reader.construct_document(node), 0), _line(node), node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        hint = "; a chart's template is rendered first: helm template" if _TEMPLATE.search(text) else ""
        message = f"not YAML: {error.problem or error.context}{hint}"
        raise ManifestError(message, None if mark is None else mark.line + 1) from None
    except yaml.YAMLError as error:
        raise ManifestError(f"not YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:  # of a number or a text that YAML takes for one and Python does not
        raise ManifestError(f"not YAML: {error}") from None


def _manifests(value: Any, line: int, node: Any, path: str = "") -> Iterator[Manifest]:
    if value is None:
        return
    if not isinstance(value, dict) or not _text(value.get("kind")) or not _text(value.get("apiVersion")):
        raise ManifestError(f"{path or 'the document'} is no manifest: apiVersion and kind are needed", line)
    items = value.get("items")
    if not value["kind"].endswith("List") or not isinstance(items, list):
        yield Manifest(value, line, path, node)
        return
    prefix = f"{path}." if path else ""
    listed = _below(node, "items")
    # Items of a `PodList` do not say what they are.
    own = {"apiVersion": value["apiVersion"], "kind": value["kind"].removesuffix("List")}
    for index, item in enumerate(items):
        below = _below(listed[1], str(index)) if listed else None
        item_line, item_node = below or (line, None)
        whole = {**own, **item} if isinstance(item, dict) and own["kind"] else item
        yield from _manifests(whole, item_line, item_node, f"{prefix}items[{index}]")


def _below(node: Any, key: str) -> tuple[int, Any] | None:
    """Give line and node of what stands under a key or an index."""
    if isinstance(node, yaml.MappingNode):
        # a key that is there twice: the last one counts, and own keys stand behind merged ones
        for name, value in reversed(node.value):
            if name.value == key:
                return _line(name), value
    elif isinstance(node, yaml.SequenceNode) and key.isdecimal() and int(key) < len(node.value):
        item = node.value[int(key)]
        return _line(item), item
    return None


def _line(node: Any) -> int:
    line: int = node.start_mark.line
    return line + 1


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _plain(value: Any, depth: int) -> Any:
    """Give the value as JSON has it: without dates and bytes, numbers are finite."""
    if depth > MAX_DEPTH:  # merged: each part was shallow enough
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError(f"a value of type {type(value).__name__}, which JSON does not have")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that is not finite")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


_JSON: Final = json.JSONDecoder(parse_constant=_constant)


class _Reader(Composer, SafeConstructor, Resolver):
    """PyYAML's own composer and constructor over libyaml's events, which are counted as they come."""

    def __init__(self, text: str) -> None:
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._events: Iterator[Any] = yaml.parse(text, Loader=_Parser)
        self._next: Any = None
        self._count = 0
        # anchors that stand open, and how many values each holds that has ended
        self._open: list[tuple[str | None, int]] = []
        self._sizes: dict[str | None, int] = {}

    def next_document(self) -> Any:
        """Give the node of the next document; None behind the last."""
        self._count = 0
        self._sizes.clear()
        if self.check_event(yaml.StreamStartEvent):
            self.get_event()
        return None if self.check_event(yaml.StreamEndEvent) else self.compose_document()

    def resolve(self, kind: type, value: Any, implicit: Any) -> Any:
        """Tell what a plain text is; dates, numbers to base 60 and `=` are text, as in go-yaml."""
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if kind is yaml.ScalarNode and implicit[0] and (tag in _TEXTS or (tag in _NUMBERS and ":" in value)):
            return _STR
        return tag

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        """Make an object. Its keys are text from the start: to Python 1 and true are the same key."""
        self.flatten_mapping(node)
        found: dict[Hashable, Any] = {}
        for name, value in node.value:
            key = self.construct_object(name, deep=True)
            if isinstance(key, dict | list):
                self._fail(name, "a key that is no text")
            text = key if isinstance(key, str) else json.dumps(key, default=str)
            found[text] = self.construct_object(value, deep=deep)
        return found

    def check_event(self, *kinds: type) -> bool:
        """Tell whether the next event is of one of these kinds."""
        return isinstance(self.peek_event(), kinds)

    def peek_event(self) -> Any:
        """Give the next event and leave it there."""
        if self._next is None:
            self._next = next(self._events)
        return self._next

    def get_event(self) -> Any:
        """Take the next event."""
        event, self._next = self.peek_event(), None
        self._weigh(event)
        return event

    def _weigh(self, event: Any) -> None:
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self._open.pop()
            if anchor is not None:
                self._sizes[anchor] = self._count - before
            return
        if not isinstance(event, yaml.NodeEvent):
            return
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append((event.anchor, self._count))
            if len(self._open) > MAX_DEPTH:
                self._fail(event, f"nested deeper than {MAX_DEPTH}")
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in self._open):
                self._fail(event, f"the alias *{event.anchor} stands within its own anchor")
            self._count += self._sizes.get(event.anchor, 0)
        self._count += 1
        if self._count > MAX_VALUES:
            self._fail(event, f"more than {MAX_VALUES} values")

    def _fail(self, event: Any, message: str) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=message, problem_mark=event.start_mark)
