"""How argparse tells options from values, and which option a spelling is.

As `_parse_optional` and `_get_option_tuples` of Python's argparse (3.11 to 3.13) do it, with all options of a
program known, those of its older versions too.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from webhook.sources.options import Option
from webhook.sources.text import is_known

_NEGATIVE: Final = re.compile(r"-\d+|-\d*\.\d+", re.ASCII)
# Behind every text that begins with a prefix.
_LAST: Final = "\U0010ffff"


class Kind(Enum):
    """What a word is to the parser."""

    VALUE = auto()
    OPTION = auto()
    UNKNOWN = auto()  # an option no version known here has
    AMBIGUOUS = auto()  # an abbreviation of several
    HIDDEN = auto()  # nothing says whether it is an option


class Spelled(NamedTuple):
    """A word as the parser takes it. `value` is what stands in the word itself, behind `=`.

    An option with `candidates` is read as the current version reads it; others may read it otherwise.
    """

    kind: Kind
    option: Option | None = None
    value: str | None = None
    candidates: tuple[str, ...] = ()


_VALUE: Final = Spelled(Kind.VALUE)
_UNKNOWN: Final = Spelled(Kind.UNKNOWN)
_HIDDEN: Final = Spelled(Kind.HIDDEN)
_MAX_CANDIDATES: Final = 4


class Spellings:
    """The options of a program by every spelling: those of the version read by, and of older ones."""

    def __init__(self, current: Mapping[str, Option], old: Mapping[str, Option]) -> None:
        self.options = {**old, **current}
        self._current = sorted(current)
        self._old = sorted(old)

    def look(self, word: str) -> Spelled:
        """Tell what a word is."""
        if word[:1] != "-":
            return _HIDDEN if word[:1] == "\0" else _VALUE
        if option := self.options.get(word):
            return Spelled(Kind.OPTION, option)
        name, equals, value = word.partition("=")
        if not is_known(name):
            return _HIDDEN
        if equals and (option := self.options.get(name)):
            return Spelled(Kind.OPTION, option, value)
        if name[:2] == "--":
            return self._abbreviated(word, name, value if equals else None)
        return self._short(word, name) if len(word) > 1 else _VALUE

    def _abbreviated(self, word: str, name: str, value: str | None) -> Spelled:
        found, old = _beginning(self._current, name), _beginning(self._old, name)
        names = found or old
        if len(names) == 1:
            candidates = (*found, *old)[:_MAX_CANDIDATES] if found and old else ()
            return Spelled(Kind.OPTION, self.options[names[0]], value, candidates)
        return _ambiguous(names) if names else _no_option(word)

    def _short(self, word: str, name: str) -> Spelled:
        """Look at a word with one dash: `-q` with its value in the same word, or an abbreviation."""
        found = [*_beginning(self._current, word), *_beginning(self._old, word)]
        if short := self.options.get(word[:2]):
            return _ambiguous([word[:2], *found]) if found else Spelled(Kind.OPTION, short, word[2:])
        if len(found) == 1:
            return Spelled(Kind.OPTION, self.options[found[0]])
        if not found and name != word:
            # Python 3.11 takes no value behind the `=` of an abbreviated short option, later ones do.
            found = [*_beginning(self._current, name), *_beginning(self._old, name)]
        return _ambiguous(found) if found else _no_option(word)


def _ambiguous(names: Sequence[str]) -> Spelled:
    return Spelled(Kind.AMBIGUOUS, candidates=tuple(names[:_MAX_CANDIDATES]))


def _no_option(word: str) -> Spelled:
    return _VALUE if _NEGATIVE.fullmatch(word) or " " in word else _UNKNOWN


def _beginning(names: Sequence[str], prefix: str) -> Sequence[str]:
    """Give the first few of the sorted names that begin with a prefix."""
    first = bisect_left(names, prefix)
    last = bisect_left(names, prefix + _LAST, first)
    return names[first : min(last, first + _MAX_CANDIDATES)]
