"""JSON and YAML that people write: plain values, bounded, every fault with its place.

Pure. YAML is read by PyYAML's safe loader and only as far as JSON goes: no tags, no anchors and aliases (a
few lines of them make millions of values), no key twice. What YAML 1.1 reads as something that one would not
think (`no`, `2026-01-01`, `010`, `1:30`) is refused instead of guessed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn

import yaml

# Of one annotation, in bytes. Four layers of one setting, at most twice as long when written as JSON, fit
# into an environment variable (128 KiB on Linux, MAX_ARG_STRLEN).
MAX_TEXT: Final = 8192
MAX_VALUES: Final = 1000
MAX_DEPTH: Final = 10
# JSON has one kind of number: beyond this, whole ones are no longer exact (RFC 8259, section 6).
MAX_WHOLE: Final = 2**53

# libyaml's parser is ten times faster; a PyYAML built without it has only its own.
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_FLAGS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_TYPES: Final = {
    "bool": "true or false, or text",
    "int": "a number or text",
    "float": "a number or text",
    "timestamp": "a date or text",
    "merge": "a merge or text",
    "value": "a default value or text",
}
# No number and no date is longer.
_MAX_ODD: Final = 40

Path = tuple[str | int, ...]


class Fault(NamedTuple):
    """One mistake and where it is."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{place('', self.path)}: {self.message}" if self.path else self.message


class DocumentError(ValueError):
    """A document that cannot be taken, with everything that is wrong."""

    def __init__(self, found: list[Fault]) -> None:
        super().__init__("; ".join(map(str, found)))
        self.found = found


class Document(NamedTuple):
    """A value, and the line (from 1) of every key and item in it."""

    value: Any
    lines: Mapping[Path, int]


def place(name: str, path: Path) -> str:
    """Write a path down: `overrides[1].match`."""
    for step in path:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else step
    return name


def check_size(text: str) -> None:
    """Raise DocumentError for a value that is too long."""
    size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    if size > MAX_TEXT:
        raise DocumentError([Fault((), f"found {size} bytes, allowed are up to {MAX_TEXT}")])


def read(text: str) -> Any:
    """Read the JSON or YAML of an annotation whose size was checked. Raises DocumentError."""
    if text.lstrip()[:1] in ("{", "["):
        # YAML takes most of JSON, but not tabs and not pairs of surrogates; it tells faults with their line.
        try:
            value = _JSON.decode(text)
            _check(value)
        except (ValueError, RecursionError):
            pass
        else:
            return value
    return compose(text, MAX_VALUES).value


def never(_path: Path, _text: str) -> bool:
    """Take nothing that YAML 1.1 would read as something else for a text."""
    return False


def compose(text: str, max_values: int, is_text: Callable[[Path, str], bool] = never) -> Document:
    """Read YAML of up to so many values, with the lines they stand on. Raises DocumentError.

    `is_text` says of a text that YAML 1.1 reads as something else (a date, `off`) whether it is meant as
    the text it is at that place.
    """
    composer = _Composer(text, max_values, is_text)
    try:
        return Document(composer.document(), composer.lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "somewhere" if mark is None else _at(mark)
        raise DocumentError([Fault((), f"{where}: {error.problem or error.context}")]) from None
    except yaml.YAMLError as error:
        raise DocumentError([Fault((), " ".join(str(error).split()))]) from None


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


def _at(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


class _Composer:
    """Makes values of PyYAML's events, one after the other, and stops at the first that is not taken."""

    def __init__(self, text: str, max_values: int, is_text: Callable[[Path, str], bool]) -> None:
        self.lines: dict[Path, int] = {}
        self._is_text = is_text
        self._events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
        self._left = max_values

    def document(self) -> Any:
        """Give the one document there is; None for an empty text."""
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), ())
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._fail(event, "a second document, allowed is one")
        return value

    def _fail(self, event: Any, message: str) -> NoReturn:
        raise DocumentError([Fault((), f"{_at(event.start_mark)}: {message}")])

    def _value(self, event: Any, path: Path) -> Any:
        self._left -= 1
        if self._left < 0:
            self._fail(event, "too many values")
        if isinstance(event, yaml.AliasEvent):
            self._fail(event, f"an alias, *{event.anchor}, is not taken: write the value out")
        if event.anchor is not None:
            self._fail(event, f"an anchor, &{event.anchor}, is not taken")
        if event.tag is not None:
            self._fail(event, f"a tag, {event.tag}, is not taken")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            self._fail(event, f"nested deeper than {MAX_DEPTH}")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return self._object(path)

    def _list(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*path, len(items))
            self.lines[here] = _line(event)
            items.append(self._value(event, here))
        return items

    def _object(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._fail(event, "a key that is no text")
            self._value(event, path)
            key = event.value
            if key in found:
                self._fail(event, f"the key {key[:_MAX_ODD]!r} is there twice")
            self.lines[*path, key] = _line(event)
            found[key] = self._value(next(self._events), (*path, key))
        return found

    def _scalar(self, event: Any, path: Path) -> Any:
        text = event.value
        if not event.implicit[0]:  # quoted, or a block
            value: Any = text
        elif text in _NULLS:
            return None
        elif text in _FLAGS:
            return _FLAGS[text]
        else:
            value = _number(text)
            if value is None:
                self._refuse_odd(event, path)
                value = text
        try:
            _check_scalar(value)
        except ValueError as error:
            self._fail(event, str(error))
        return value

    def _refuse_odd(self, event: Any, path: Path) -> None:
        text = event.value
        if len(text) > _MAX_ODD:
            return
        for tag, pattern in yaml.SafeLoader.yaml_implicit_resolvers.get(text[0], ()):
            if pattern.match(text) and not self._is_text(path, text):
                kind = _TYPES.get(tag.rpartition(":")[2], "something else")
                self._fail(event, f"{text!r} could be {kind}: put it in quotes, or write it as JSON does")


def _number(text: str) -> int | float | None:
    if len(text) > _MAX_ODD:
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else None


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value or not _encodes(value):
            raise ValueError("a text that holds NUL or half a character")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that is too large")
    elif isinstance(value, int) and abs(value) > MAX_WHOLE:
        raise ValueError(f"a whole number beyond {MAX_WHOLE}, which JSON does not hold exactly")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check(value: Any) -> None:
    """Hold a JSON value to the same bounds. Raises ValueError."""
    left, level = MAX_VALUES, [value]
    for depth in range(MAX_DEPTH + 1):
        left -= len(level)
        if left < 0 or (depth == MAX_DEPTH and any(isinstance(item, dict | list) for item in level)):
            break
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                left -= len(item)
                below += item.values()
                for key in item:
                    _check_scalar(key)
            elif isinstance(item, list):
                below += item
            else:
                _check_scalar(item)
        if not below:
            return
        level = below
    raise ValueError


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


_JSON: Final = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)
