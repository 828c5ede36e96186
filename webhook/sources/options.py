"""Reading options the way a program's own parser does, as far as detection asks for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from webhook.sources.text import is_known, is_loose

# How options that take no value are named.
_FLAGS: Final = ("--enable", "--disable", "--no-", "--trust", "--enforce")
_NEGATIVE: Final = re.compile(r"-\d+|-\d*\.\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Option:
    """One option, of one value if nothing else is said.

    `many` takes all words up to the next option, `optional` one or none, `flag` none; `off` is the spelling
    that switches a flag off. To those that are `unset` so, `None` and an empty text mean "not given". The
    values of `append` add up, of all others the last occurrence counts.
    """

    name: str
    many: bool = False
    flag: bool = False
    optional: bool = False
    off: bool = False
    unset: bool = False
    append: bool = False
    # Worked out: it takes exactly one value, of which the last one counts.
    single: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Work out `single`."""
        several = self.many or self.flag or self.optional or self.append
        object.__setattr__(self, "single", not several)


@dataclass(frozen=True, slots=True)
class Serving:
    """What a command line says of the server it starts, as written; None or empty where it says nothing.

    `open` when something that cannot be read at admission may say more: a config file, an unknown word.
    `served` is false when the process answers no HTTP API at all.
    """

    port: str | None = None
    host: str | None = None
    unix_socket: str | None = None
    tls: bool = False
    path: str = ""
    served_names: tuple[str, ...] = ()
    api_key: str | None = field(default=None, repr=False)
    open: bool = False
    served: bool = True


@dataclass(slots=True)
class Found:
    """Options by name with their values, the last occurrence of each; flags have no values.

    `places` holds in which word the first value stands, or the flag; values in words of their own follow
    one another.
    """

    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    open: bool = False

    def last(self, name: str) -> str | None:
        """Give the value of an option, the first one of many; None if it has none."""
        values = self.values.get(name)
        return values[0] if values else None

    def all(self, name: str) -> tuple[str, ...]:
        """Give every value of an option that takes many."""
        return self.values.get(name, ())


def read_options(words: Sequence[str], options: Mapping[str, Option]) -> Found:
    """Find the options among words; `options` holds them by every spelling, and not all the program has.

    `--a-b=c` and `--a_b c` are the same; a repeated option counts by its last occurrence, if it does not add
    up: then its place is that of the last one.
    """
    found = Found()
    added: dict[str, list[str]] = {}
    index, valued = 0, False
    while index < len(words):
        word = words[index]
        index += 1
        if not _is_option(word):
            # An unknown word, or words, may be options, unless they stand for the value of one.
            found.open |= not valued and (is_loose(word) or not is_known(word[:1]))
            valued = False
            continue
        if word == "--":
            break
        spelled, equals, value = word.partition("=")
        option = options.get(spelled.replace("_", "-") if spelled[:2] == "--" else spelled)
        valued = option is None and not equals and not spelled.startswith(_FLAGS)
        if option is None:
            continue
        end = index
        while not (option.flag or equals) and end < len(words) and not _is_option(words[end]):
            end += 1
            if not option.many:
                break
        values = (value,) if equals else tuple(words[index:end])
        if option.append:
            added.setdefault(option.name, []).extend(values)
        else:
            found.values[option.name] = values
        found.places[option.name] = index if end > index else index - 1
        index = end
    found.values.update((name, tuple(values)) for name, values in added.items())
    return found


def _is_option(word: str) -> bool:
    """Tell options from values as argparse does: a negative number is a value, so is `-a b` in one word."""
    return (
        word[:1] == "-"
        and word != "-"
        and " " not in word.partition("=")[0]
        and not _NEGATIVE.fullmatch(word)
    )
