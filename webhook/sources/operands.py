"""Options and operands of commands whose parsers let them stand in any order.

Those of Go's pflag (Ollama, rclone, oras), of getopt_long (curl, wget, git) and of click and argparse (hf,
aws, gcloud): `--name value`, `--name=value`, `-nvalue`, `-abn value`, `--` before operands only. What is not
in a table counts as an option without a value. A long name may be cut short where that leaves one of the
table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_NO: Final = frozenset({"false", "f", "0"})


class Word(NamedTuple):
    """A text and the word of the command it stands in."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Given:
    """What a command is given: its operands, and each option by the name the table has for it."""

    operands: list[Word] = field(default_factory=list)
    options: dict[str, list[Word]] = field(default_factory=dict)

    def add(self, name: str, word: Word) -> None:
        """Add a value of an option."""
        self.options.setdefault(name, []).append(word)

    def last(self, *names: str) -> Word | None:
        """Give the last value of the first of these options that is there."""
        for name in names:
            if values := self.options.get(name):
                return values[-1]
        return None

    def all(self, name: str) -> Sequence[Word]:
        """Give every value of an option, in order; of one without a value, the option itself."""
        return self.options.get(name, ())


class Table(NamedTuple):
    """The options of a command: the name of each spelling (`-o`, `--output`), with a value and without."""

    valued: Mapping[str, str]
    flags: Mapping[str, str]


def table(valued: str, flags: str = "") -> Table:
    """Make a table of spellings between blanks; `-o|--output` are one option, named `output`."""
    return Table(_names(valued), _names(flags))


def given(words: Sequence[str], start: int, options: Table) -> Given:
    """Read words from `start` on."""
    found = Given()
    index = start
    while index < len(words):
        word = words[index]
        if word == "--":
            found.operands.extend(Word(text, at) for at, text in enumerate(words[index + 1 :], index + 1))
            break
        if word[:1] != "-" or word == "-":
            found.operands.append(Word(word, index))
        elif (name := options.valued.get(word)) is not None:
            index += 1
            if index < len(words):
                found.add(name, Word(words[index], index))
        elif word in options.flags:
            found.add(options.flags[word], Word(word, index))
        else:
            index += (_long if word[:2] == "--" else _cluster)(found, words, index, options)
        index += 1
    return found


def _names(text: str) -> Mapping[str, str]:
    return {
        spelling: spellings.rpartition("|")[2].lstrip("-").replace("_", "-")
        for spellings in text.split()
        for spelling in spellings.split("|")
    }


def _long(found: Given, words: Sequence[str], index: int, table: Table) -> int:
    """Take `--name=value`, or a name cut short; give how many words more than this one are taken."""
    spelled, equals, value = words[index].partition("=")
    if spelled not in table.valued and spelled not in table.flags:
        longer = {s for s in (*table.valued, *table.flags) if s.startswith(spelled)}
        spelled = longer.pop() if len(longer) == 1 else spelled
    if (name := table.valued.get(spelled)) is not None:
        if equals:
            found.add(name, Word(value, index))
        elif index + 1 < len(words):
            found.add(name, Word(words[index + 1], index + 1))
        return 0 if equals else 1
    if spelled in table.flags and value.lower() not in _NO:
        found.add(table.flags[spelled], Word(spelled, index))
    return 0


def _cluster(found: Given, words: Sequence[str], index: int, table: Table) -> int:
    """Take `-abn value`, `-abnvalue`; give how many words more than this one are taken."""
    word = words[index]
    for position in range(1, len(word)):
        letter = f"-{word[position]}"
        if (name := table.valued.get(letter)) is not None:
            rest = word[position + 1 :].removeprefix("=")
            if rest:
                found.add(name, Word(rest, index))
            elif index + 1 < len(words):
                found.add(name, Word(words[index + 1], index + 1))
            return 0 if rest else 1
        if letter in table.flags:
            found.add(table.flags[letter], Word(letter, index))
    return 0
