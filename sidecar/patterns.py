"""Regular expressions of owners, held to a form that cannot take long to match. Pure, no imports of ours.

Python's `re` backtracks: `(a+)+$` takes longer than the universe on a name of a hundred letters. So a pattern
is read here first, and how many steps it can take on the longest name is reckoned from its form alone:

- Every way of matching is settled by what is chosen at each alternation and at each counted repeat, and by
  where each open repeat (`*`, `+`) ends. The ends come in order, so `d` of them, the start of the search
  among them, can fall in C(n + d, d) ways on a text of `n` characters. A number of ways, and of steps, is
  therefore a polynomial: its coefficient of `d` counts choices, and C(n + d, d) the ends.
- A sequence multiplies the ways of its parts; the steps of a part are made once for each way of what is
  before it. An alternation adds. Branches that begin with different characters exclude each other: of those
  only the largest counts.
- A repeat of something that can itself match in several ways grows exponentially, and is refused.

Backreferences and lookaround escape such a reckoning and are refused by name.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import comb
from typing import Final, NoReturn

# Longer ids are never matched; LiteLLM's own names are far shorter.
MAX_TEXT: Final = 256
MAX_PATTERN: Final = 512
# The slowest of 40,000 patterns within this took a quarter of a second, 8 ns a step (2-core x86-64).
MAX_STEPS: Final = 30_000_000
# Beyond these a pattern is refused whatever else it holds, so that the reckoning itself is quick.
_MAX_FACTOR: Final = MAX_STEPS + 1
_MAX_DEGREE: Final = 5
_MAX_DEPTH: Final = 20
# A step of `re` copies what every group has caught so far: with 200 of them a step took 40 ns.
_MAX_GROUPS: Final = 20
_MAX_COUNT: Final = 1000
# A counted repeat of several ways is multiplied out up to this count.
_MAX_POWER: Final = 8

# Coefficients by how many ends of open repeats are free.
_Polynomial = Mapping[int, int]
_ONE: Final[_Polynomial] = {0: 1}
_ANY_END: Final[_Polynomial] = {1: 1}

_CLASSES: Final = frozenset("dDwWsS")
_PLACES: Final = frozenset("bBAZ")
_CONTROL: Final = frozenset("nrtfv")
_COUNT: Final = re.compile(r"\{(?!\})(\d*)(,?)(\d*)\}", re.ASCII)
_SIGNS: Final[Mapping[str, tuple[int, int | None]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_FOLDING: Final = "(?i)"  # upper and lower case are the same
_REFUSED_GROUPS: Final = {
    "?=": "a lookahead",
    "?!": "a lookahead",
    "?<=": "a lookbehind",
    "?<!": "a lookbehind",
    "?(": "a conditional",
    "?P=": "a backreference",
    "?#": "a comment",
    "?>": "an atomic group",
}


def checked(text: str) -> str:
    """Give the pattern back if it is a good one. Raises ValueError saying what is wrong and where."""
    _compiled(text)
    return text


def found(pattern: str, text: str) -> bool:
    """Tell whether the pattern is found anywhere in the text (`^` and `$` anchor it)."""
    return len(text) <= MAX_TEXT and _is_found(pattern, text)


def steps(text: str) -> int:
    """Reckon how many steps a search takes at most on MAX_TEXT characters. Raises ValueError as `checked`."""
    return _Reader(text).steps()


@functools.lru_cache(maxsize=8192)
def _is_found(pattern: str, text: str) -> bool:
    """Search once: the same patterns meet the same ids at every poll of the server."""
    return _compiled(pattern).search(text) is not None


def _compiled(text: str) -> re.Pattern[str]:
    judged = _judged(text)
    if isinstance(judged, str):
        raise ValueError(judged)
    return judged


@functools.lru_cache(maxsize=256)
def _judged(text: str) -> re.Pattern[str] | str:
    """Give the compiled pattern, or what is wrong with it; both are asked for again and again."""
    try:
        return _read(text)
    except ValueError as error:
        return str(error)


def _read(text: str) -> re.Pattern[str]:
    if len(text) > MAX_PATTERN:
        raise ValueError(f"longer than {MAX_PATTERN} characters")
    reader = _Reader(text)
    if reader.steps() > MAX_STEPS:
        raise ValueError(
            f"too slow: begin it with ^, or leave out a repeat, such as the one at position "
            f"{reader.last_repeat} (it can take over {MAX_STEPS} steps on a name of {MAX_TEXT} characters)"
        )
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Part:
    """What is known of a part of a pattern.

    `ways` and `steps` count from one start in the text. `first` are the characters it can begin with, None if
    it may be any, empty if it only looks at its place; `width` is the least number of characters it matches.
    """

    ways: _Polynomial = field(default_factory=lambda: _ONE)
    steps: _Polynomial = field(default_factory=lambda: _ONE)
    first: frozenset[str] | None = None
    width: int = 0
    anchored: bool = False


_EMPTY: Final = _Part(first=frozenset())


def _plus(*terms: _Polynomial) -> _Polynomial:
    degrees = {degree for term in terms for degree in term}
    return {degree: min(_MAX_FACTOR, sum(term.get(degree, 0) for term in terms)) for degree in degrees}


def _times(a: _Polynomial, b: _Polynomial) -> _Polynomial:
    result: dict[int, int] = {}
    for i, x in a.items():
        for j, y in b.items():
            degree = min(i + j, _MAX_DEGREE)
            result[degree] = min(_MAX_FACTOR, result.get(degree, 0) + x * y)
    return result


def _largest(terms: list[_Polynomial]) -> _Polynomial:
    degrees = {degree for term in terms for degree in term}
    return {degree: max(term.get(degree, 0) for term in terms) for degree in degrees}


def _worth(polynomial: _Polynomial) -> int:
    return sum(factor * comb(MAX_TEXT + degree, degree) for degree, factor in polynomial.items())


class _Reader:
    """Reads a pattern from left to right; what it does not know is refused."""

    def __init__(self, text: str) -> None:
        self.last_repeat = 0
        self._text = text
        self._folds = text.startswith(_FOLDING)
        self._at = len(_FOLDING) if self._folds else 0
        self._depth = 0
        self._groups = 0
        self._names: set[str] = set()

    def steps(self) -> int:
        """Read all of it."""
        whole = self._alternation()
        if self._at < len(self._text):
            self._fail("a bracket ) that closes nothing", self._at)
        if whole.anchored:  # from elsewhere than the beginning every branch fails at its ^
            return _worth(whole.steps) + MAX_TEXT * (1 + len(self._text))
        return _worth(_times(_ANY_END, whole.steps)) + MAX_TEXT

    def _fail(self, what: str, position: int) -> NoReturn:
        raise ValueError(f"{what} at position {position}")

    def _next(self, length: int = 1) -> str:
        return self._text[self._at : self._at + length]

    def _alternation(self) -> _Part:
        branches = [self._sequence()]
        while self._next() == "|":
            self._at += 1
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        known = [part.first for part in branches if part.first is not None and part.width]
        exclusive = len(known) == len(branches) and sum(map(len, known)) == len(frozenset().union(*known))
        ways = [part.ways for part in branches]
        return _Part(
            _largest(ways) if exclusive else _plus(*ways),
            _plus(_ONE, *(part.steps for part in branches)),
            frozenset().union(*known) if len(known) == len(branches) else None,
            min(part.width for part in branches),
            all(part.anchored for part in branches),
        )

    def _sequence(self) -> _Part:
        whole, begun = _EMPTY, False
        while self._next() not in ("", "|", ")"):
            part = self._repeated()
            whole = _Part(
                _times(whole.ways, part.ways),
                _plus(whole.steps, _times(whole.ways, part.steps)),
                whole.first or (part.first if whole.first is not None else None),
                whole.width + part.width,
                part.anchored if not begun else whole.anchored,
            )
            begun = True
        return whole

    def _repeated(self) -> _Part:
        start = self._at
        part = self._atom()
        place = self._at
        counts = self._counts()
        if counts is None:
            return part
        if start == place:
            self._fail("nothing to repeat", place)
        if self._next() in ("?", "+"):
            if self._next() == "+":
                self._fail("a possessive repeat", self._at)
            self._at += 1
        if self._counts() is not None:
            self._fail("a repeat of a repeat", place)
        return self._times_over(part, *counts, place)

    def _counts(self) -> tuple[int, int | None] | None:
        """Read how often; None if nothing is repeated. A brace that is no count stands for itself."""
        sign = self._next()
        if sign in _SIGNS:
            self._at += 1
            return _SIGNS[sign]
        match = _COUNT.match(self._text, self._at)
        if match is None:
            return None
        low = int(match[1] or 0)
        high = low if not match[2] else int(match[3]) if match[3] else None
        if max(low, high or 0) > _MAX_COUNT or (high is not None and high < low):
            self._fail(f"{match[0]}, allowed are counts up to {_MAX_COUNT}, the lower one first,", self._at)
        self._at = match.end()
        return low, high

    def _times_over(self, part: _Part, low: int, high: int | None, place: int) -> _Part:
        if high is not None and high <= 1:
            optional = _ONE if low == 0 and high else {}
            ways = _plus(optional, part.ways) if high else _ONE
            first = part.first if low else None
            return _Part(ways, _plus(_ONE, part.steps), first, low * part.width, bool(low) and part.anchored)
        if part.width == 0:
            self._fail("a repeat of what may be empty", place)
        if high is None or high * part.width > MAX_TEXT:
            self.last_repeat = place
            if part.ways != _ONE:
                self._fail("a repeat of what can match in several ways", place)
            ways, took = _ANY_END, _plus(_ONE, _times(_ANY_END, part.steps))
        elif part.ways == _ONE:
            ways, took = {0: high - low + 1}, _plus(_ONE, _times({0: high}, part.steps))
        else:
            if high > _MAX_POWER:
                self._fail("a repeat of what can match in several ways", place)
            powers = list(_powers(part.ways, high))
            ways, took = _plus(*powers[low:]), _plus(_ONE, _times(_plus(*powers[:-1]), part.steps))
        return _Part(ways, took, part.first if low else None, low * part.width, bool(low) and part.anchored)

    def _atom(self) -> _Part:
        character, position = self._next(), self._at
        if character in _SIGNS or _COUNT.match(self._text, self._at):
            return _EMPTY  # which cannot be repeated
        self._at += 1
        match character:
            case "(":
                part = self._group(position)
            case "[":
                part = self._set(position)
            case "\\":
                part = self._escape(position, within_set=False)
            case "^":
                part = _Part(first=frozenset(), anchored=True)
            case "$":
                part = _EMPTY
            case ".":
                part = _Part(width=1)
            case _:
                part = self._literal(character)
        return part

    def _literal(self, character: str) -> _Part:
        # Without case, a letter that is not ASCII may equal one that is (the Kelvin sign and k).
        first = frozenset({character.lower() if self._folds else character})
        return _Part(first=None if self._folds and not character.isascii() else first, width=1)

    def _group(self, position: int) -> _Part:
        rest = self._text[self._at : self._at + 3]
        for sign, name in _REFUSED_GROUPS.items():
            if rest.startswith(sign):
                self._fail(f"{name}, which is not taken,", position)
        if rest.startswith("?P<"):
            self._at += 3
            name, closed, _ = self._text[self._at :].partition(">")
            if not closed or not name.isidentifier() or not name.isascii() or name in self._names:
                self._fail("a group's name that is none, or is there twice,", position)
            self._names.add(name)
            self._at += len(name) + 1
        elif rest.startswith("?:"):
            self._at += 2
            self._groups -= 1
        elif rest.startswith("?"):
            self._fail("a flag; allowed is (?i) at the very beginning; found", position)
        self._groups += 1
        if self._groups > _MAX_GROUPS:
            self._fail(f"more than {_MAX_GROUPS} groups (those of (?:...) do not count)", position)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._fail(f"more than {_MAX_DEPTH} brackets within one another", position)
        part = self._alternation()
        self._depth -= 1
        if self._next() != ")":
            self._fail("a bracket ( that is not closed", position)
        self._at += 1
        return part

    def _escape(self, position: int, *, within_set: bool) -> _Part:
        character = self._next()
        self._at += 1
        if character.isdigit():
            self._fail("a backreference or an octal escape, which are not taken,", position)
        if character in _CLASSES or character in _CONTROL:
            return _Part(width=1)
        if character in _PLACES and not within_set:
            return _Part(first=frozenset(), anchored=character == "A")
        if not character or (character.isascii() and character.isalpha()):
            self._fail(f"an escape \\{character} that is not taken", position)
        return self._literal(character)

    def _set(self, position: int) -> _Part:
        """Read a set of characters, like `[a-z0-9._-]`."""
        negated = self._next() == "^"
        self._at += negated
        members: set[str] = set()
        known, empty = not negated and not self._folds, True
        while self._next() != "]" or empty:
            low, single = self._member(position)
            empty = False
            if self._next() == "-" and self._next(2) not in ("-", "-]"):
                self._at += 1
                if self._next() == "-":
                    self._fail("a - in a set, to be written \\-,", self._at)
                high, also = self._member(position)
                if not (single and also) or not low <= high or not high.isascii():
                    self._fail("a range that is not one of ASCII characters, the lower one first,", position)
                members.update(map(chr, range(ord(low), ord(high) + 1)))
            elif single:
                members.add(low)
            else:
                known = False
        self._at += 1
        return _Part(first=frozenset(members) if known else None, width=1)

    def _member(self, position: int) -> tuple[str, bool]:
        """Read one member of a set: the character, and whether it is one and not a class of them."""
        character, place = self._next(), self._at
        if not character:
            self._fail("a set [ that is not closed", position)
        self._at += 1
        if character == "\\":
            self._escape(place, within_set=True)
            character = self._text[place + 1]
            return character, not (character.isascii() and character.isalpha())
        # Python keeps these for sets of sets to come, and warns of them.
        if character == "[" or self._text[place : place + 2] in ("--", "&&", "||", "~~"):
            self._fail(f"a {character} in a set, to be written \\{character},", place)
        return character, True


def _powers(ways: _Polynomial, high: int) -> Iterator[_Polynomial]:
    power = _ONE
    for _ in range(high + 1):
        yield power
        power = _times(power, ways)
