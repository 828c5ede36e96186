"""A command line as argparse takes it apart, with all of a program's options known.

After `ArgumentParser._parse_known_args` of Python 3.11 for a parser with one positional argument that may be
missing (`nargs="?"`). Where argparse gives up, reading goes on: another version may take it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from webhook.sources.options import Option
from webhook.sources.spellings import Kind, Spelled, Spellings
from webhook.sources.text import is_loose

# What a word that is certainly a value does not begin with: an option, or a mark.
_TELLING: Final = ("-", "\0")
_UNSET: Final = frozenset({"", "None"})
_OPTION: Final = Spelled(Kind.OPTION)
_VALUE: Final = Spelled(Kind.VALUE)
# Behind these stands no word that may belong to an option nobody knows.
_CLEAR: Final = (None, _OPTION)


class Word(NamedTuple):
    """A text and which word of the command it stands in; one put together from several, in the last of them.

    `keys` gives the word of each key of such an object.
    """

    text: str
    at: int
    keys: Mapping[str, int] | None = None


class Given(NamedTuple):
    """One option with its values, as far as it has any; `at` is the word of the option itself."""

    option: Option
    at: int
    values: Sequence[Word] = ()


class Doubt(NamedTuple):
    """An option that is none known here, or of which versions of the program know several `candidates`."""

    word: Word
    candidates: tuple[str, ...] = ()


class Words(NamedTuple):
    """The words of a command line as the parser gets them, and which word of the command each comes from.

    `keys` gives, for an object put together from several words, the word of each of its keys.
    """

    texts: Sequence[str]
    ats: Sequence[int]
    keys: Mapping[int, Mapping[str, int]] = MappingProxyType({})

    def word(self, index: int) -> Word:
        """Give one of them."""
        return Word(self.texts[index], self.ats[index], self.keys.get(index) if self.keys else None)


@dataclass(slots=True)
class Line:
    """What a command line says.

    `found` holds the last occurrence of each option, of those that add up all values; where nothing had to be
    weighed, only where it stands among `words`. `hidden` are words that may hold any further options; `open`
    when some of them stand where no value is expected. `sure` is false if versions of the program would not
    agree on what the positional argument is; `moved` if it was an option as written.
    """

    words: Words
    spellings: Spellings
    found: dict[str, int | Given] = field(default_factory=dict)
    positional: Word | None = None
    sure: bool = True
    moved: bool = False
    extras: list[Word] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    hidden: list[Word] = field(default_factory=list)
    open: bool = False

    def given(self, name: str) -> Given | None:
        """Give an option as it was given; None if it was not."""
        found = self.found.get(name)
        if not isinstance(found, int):
            return found
        option = self.spellings.options[self.words.texts[found]]
        values = () if option.flag else (self.words.word(found + 1),)
        return Given(option, self.words.ats[found], values)

    def values(self, name: str) -> Sequence[Word]:
        """Give every value of an option, save those that mean that it is not given."""
        given = self.given(name)
        if given is None:
            return ()
        if given.option.unset:
            return [word for word in given.values if word.text not in _UNSET]
        return given.values

    def value(self, name: str) -> Word | None:
        """Give the first value of an option; None where it is not given."""
        values = self.values(name) if name in self.found else ()
        return values[0] if values else None

    def text(self, name: str) -> str | None:
        """Give the text of `value`."""
        found = self.found.get(name)
        if isinstance(found, int):
            text = self.words.texts[found + 1]
            if text not in _UNSET:
                return text
        word = self.value(name)
        return None if word is None else word.text

    def flag(self, name: str) -> Given | None:
        """Give a flag if it is on: its last occurrence counts."""
        given = self.given(name)
        return None if given is None or given.option.off else given


def parse(words: Words, spellings: Spellings) -> Line:
    """Take the words of a command line apart."""
    reader = _Reader(words, spellings)
    reader.read()
    return reader.line


class _Reader:
    """The state while one command line is read."""

    def __init__(self, words: Words, spellings: Spellings) -> None:
        self.words = words
        self.texts = words.texts
        self.look = spellings.look
        self.line = Line(words, spellings)
        self.index = 0

    def read(self) -> None:
        """Read all words."""
        line, texts, found, spellings = self.line, self.texts, self.line.found, self.line.spellings
        options, count = spellings.options, len(texts)
        behind: Spelled | None = None
        index = 0
        while index < count:
            text = texts[index]
            # The most frequent cases first, without a detour: no value, one value, the positional argument.
            option = options.get(text)
            if option is not None:
                if option.flag:
                    found[option.name] = index
                    index += 1
                    behind = _OPTION
                    continue
                if self.has_one(index + 1) and (option.single or (option.many and self.ends(index + 2))):
                    found[option.name] = index
                    index += 2
                    behind = _OPTION
                    continue
            elif (
                line.positional is None and behind in _CLEAR and self.has_one(index) and self.ends(index + 1)
            ):
                line.positional, line.sure = self.words.word(index), True
                index += 1
                continue
            self.index = index
            if text == "--":
                self.rest()
                return
            spelled = self.look(text) if text[:1] in _TELLING else _VALUE
            if spelled.kind is Kind.VALUE:
                self.values(behind)
            else:
                self.index += 1
                behind = spelled
                self.option(self.words.word(index), spelled)
            index = self.index

    def has_one(self, index: int) -> bool:
        """Tell whether the word at this place is there, and certainly a value."""
        text = self.texts[index] if index < len(self.texts) else "-"
        return text[:1] != "-" and "\0" not in text

    def ends(self, index: int) -> bool:
        """Tell whether what stands at this place certainly begins something else: an option, or the end."""
        return index >= len(self.texts) or self.texts[index] in self.line.spellings.options

    def option(self, word: Word, found: Spelled) -> None:
        """Take one word that is no value, and the values that belong to it."""
        if found.candidates or found.kind is Kind.UNKNOWN:
            self.line.doubts.append(Doubt(word, found.candidates))
        if found.option is not None:
            self.known(word, found.option, found.value)
        elif found.kind is Kind.HIDDEN:
            self.line.open = True
            self.line.hidden.append(word)

    def known(self, word: Word, option: Option, value: str | None) -> None:
        """Take a known option and its values."""
        values: list[Word] = []
        if value is not None:
            if option.off:
                return  # no version takes a value here, and none is switched off by one
            values = [Word(value, word.at)]
            self.note(values[0])
        elif not option.flag:
            values = self.following(option)
        before = self.line.found.get(option.name) if option.append else None
        if isinstance(before, Given) and isinstance(before.values, list):
            # In place: there may be thousands.
            before.values.extend(values)
            return
        self.line.found[option.name] = Given(option, word.at, values)

    def following(self, option: Option) -> list[Word]:
        """Take the words that stand behind an option as its values.

        A mark in place of the one value an option needs can be nothing else, if it is one word.
        """
        first = self.index
        end = len(self.texts) if option.many else min(first + 1, len(self.texts))
        values = []
        for index in range(first, end):
            text = self.texts[index]
            if text[:1] == "-" and (text == "--" or self.look(text).kind is not Kind.VALUE):
                break
            values.append(word := self.words.word(index))
            if text[:1] == "\0" and (index > first or option.optional):
                self.line.hidden.append(word)
            elif "\0" in text:
                self.note(word)
        self.index = first + len(values)
        return values

    def values(self, behind: Spelled | None) -> None:
        """Take values that belong to no known option: one of them can be the positional argument."""
        line, run = self.line, []
        while self.index < len(self.texts):
            text = self.texts[self.index]
            if text[:1] in _TELLING and (text == "--" or self.look(text).kind is not Kind.VALUE):
                break
            run.append(word := self.words.word(self.index))
            if "\0" in text:
                self.note(word)
                line.open |= is_loose(text)
            self.index += 1
        if behind is not None and behind.kind is not Kind.OPTION:
            # They, or some of them, may be the values of an option that nobody knows here.
            line.sure &= line.positional is not None
            return
        if line.positional is None:
            # Behind a flag that took a value once, the first may be that value.
            line.sure = len(run) == 1 or behind is None
            line.positional = run.pop(0)
        line.extras.extend(run)

    def rest(self) -> None:
        """Take what stands behind `--`: no options any more."""
        rest = [self.words.word(index) for index in range(self.index + 1, len(self.texts))]
        for word in rest:
            self.note(word)
            self.line.open |= is_loose(word.text)
        if self.line.positional is None and rest:
            self.line.positional = rest.pop(0)
        self.line.extras.extend(rest)

    def note(self, word: Word) -> None:
        """Note a value that may bring further words with it."""
        if is_loose(word.text):
            self.line.hidden.append(word)
