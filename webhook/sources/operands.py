"""Options and operands of commands whose parsers let them stand in any order.

Those of Go's pflag (Ollama, rclone, oras), of getopt_long (curl, wget, git) and of click and argparse (hf,
aws, gcloud): `--name value`, `--name=value`, `-nvalue`, `-abn value`, `--` before operands only. What is not
in a table counts as an option without a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Word(NamedTuple):
    """A text and the word of the command it stands in."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Given:
    """What a command is given: its operands, and each option by the name the table has for it."""

    operands: list[Word] = field(default_factory=list)
    options: dict[str, list[Word]] = field(default_factory=dict)

    def last(self, *names: str) -> Word | None:
        """Give the last value of the first of these options that is there."""
        for name in names:
            if values := self.options.get(name):
                return values[-1]
        return None

    def all(self, name: str) -> Sequence[Word]:
        """Give every value of an option, in order; of one without a value, the option itself."""
        return self.options.get(name, ())


def given(words: Sequence[str], start: int, valued: Mapping[str, str], flags: Mapping[str, str]) -> Given:
    """Read words from `start` on. `valued` and `flags` give the name of each spelling (`-o`, `--output`)."""
    found = Given()
    index = start
    while index < len(words):
        word = words[index]
        if word == "--":
            found.operands.extend(Word(text, at) for at, text in enumerate(words[index + 1 :], index + 1))
            break
        if word[:1] != "-" or word == "-":
            found.operands.append(Word(word, index))
        elif (name := valued.get(word)) is not None:
            index += 1
            if index < len(words):
                found.options.setdefault(name, []).append(Word(words[index], index))
        elif word in flags:
            found.options.setdefault(flags[word], []).append(Word(word, index))
        elif word[:2] == "--":
            _long(found, word, index, valued, flags)
        else:
            index += _cluster(found, words, index, valued, flags)
        index += 1
    return found


def _long(found: Given, word: str, index: int, valued: Mapping[str, str], flags: Mapping[str, str]) -> None:
    """Take `--name=value`; `--flag=false` is no flag."""
    spelled, equals, value = word.partition("=")
    if equals and spelled in valued:
        found.options.setdefault(valued[spelled], []).append(Word(value, index))
    elif spelled in flags and value.lower() not in {"false", "f", "0"}:
        found.options.setdefault(flags[spelled], []).append(Word(spelled, index))


def _cluster(
    found: Given, words: Sequence[str], index: int, valued: Mapping[str, str], flags: Mapping[str, str]
) -> int:
    """Take `-abn value`, `-abnvalue`; give how many words more than this one are taken."""
    word = words[index]
    for position in range(1, len(word)):
        letter = f"-{word[position]}"
        if (name := valued.get(letter)) is not None:
            rest = word[position + 1 :].removeprefix("=")
            if rest:
                found.options.setdefault(name, []).append(Word(rest, index))
                return 0
            if index + 1 < len(words):
                found.options.setdefault(name, []).append(Word(words[index + 1], index + 1))
            return 1
        if letter in flags:
            found.options.setdefault(flags[letter], []).append(Word(letter, index))
    return 0
