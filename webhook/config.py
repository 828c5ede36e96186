"""The text of a file of configuration: bounded YAML, every problem with its path and line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, TypeVar

from webhook import documents
from webhook.documents import DocumentError, Path
from webhook.near import AMONG_FEW, Names
from webhook.reasons import shown
from webhook.review import clean

T = TypeVar("T")

_MAX_PROBLEM: Final = 1000

# What a ConfigMap may hold.
MAX_TEXT: Final = 1024 * 1024
_MAX_VALUES: Final = 50_000


class ConfigError(ValueError):
    """The file cannot be taken; each of `problems` says where and why."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class Sheet:
    """A file's value while it is read; what is wrong is gathered until `done`."""

    def __init__(self, text: str, is_text: Callable[[Path, str], bool] = documents.never) -> None:
        """Read the YAML; `is_text` is that of `documents.compose`. Raises ConfigError."""
        if len(text) > MAX_TEXT:
            raise ConfigError([f"found {len(text)} characters, allowed are up to {MAX_TEXT}"])
        try:
            document = documents.compose(text, _MAX_VALUES, is_text)
        except DocumentError as error:
            raise ConfigError([str(fault) for fault in error.found]) from None
        self.value = document.value
        self._lines = document.lines
        self._problems: list[str] = []

    def problem(self, path: Path, message: str, within: Path = ()) -> None:
        """Note what is wrong at a place. Behind `path` the line is told, of the nearest place in the file.

        `within` goes on from `path` to what the line is of, where the message itself names it.
        """
        # a key may hold anything, and be as long as the file
        text = f"{self.place(path, within)}: {message}" if path else message
        self._problems.append(clean(text, _MAX_PROBLEM))

    def place(self, path: Path, within: Path = ()) -> str:
        """Write down a path and its line."""
        known = (*path, *within)
        while known and known not in self._lines:
            known = known[:-1]
        line = f" (line {self._lines[known]})" if known else ""
        return f"{documents.place('', path)}{line}"

    def at(self, path: Path) -> Any:
        """Give the value at a place that is in the file."""
        value = self.value
        for step in path:
            value = value[step]
        return value

    def object(self, value: Any, path: Path, names: Collection[str] = ()) -> dict[str, Any]:
        """Give an object, empty for what is none; an absent one is empty.

        Other keys than `names`, if there are any, are problems with the nearest name, and left out.
        """
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.problem(path, f"found {shown(value)}, allowed is an object")
            return {}
        if not names or not (unknown := [key for key in value if key not in names]):
            return value
        known = Names(names, shortest=AMONG_FEW)
        for key in unknown:
            near = known.nearest(key)
            there = f"; there {'is only' if len(names) == 1 else 'are'} {listed(names)}"
            hint = f", did you mean {near}?" if near else there
            self.problem((*path, key), f"unknown{hint}")
        return {key: item for key, item in value.items() if key in names}

    def items(self, value: Any, path: Path) -> list[Any]:
        """Give a list, empty for what is none; an absent one is empty."""
        if isinstance(value, list):
            return value
        if value is not None:
            self.problem(path, f"found {shown(value)}, allowed is a list")
        return []

    def taken(self, parse: Callable[[Any], T], value: Any, path: Path) -> T | None:
        """Parse a value by what raises DocumentError; None where that is a problem."""
        try:
            return parse(value)
        except DocumentError as error:
            for fault in error.found:
                self.problem((*path, *fault.path), fault.message)
        return None

    def done(self) -> None:
        """Raise ConfigError if anything is wrong."""
        if self._problems:
            raise ConfigError(self._problems)


def listed(names: Iterable[str]) -> str:
    """Write some names into a message."""
    *front, last = names
    return f"{', '.join(front)} and {last}" if front else last
