"""The kinds of values that fields of the policy file take: reading them, and which of two is tighter. Pure.

Tighter is always said of what a field allows, not of how long its text is: `new` is tighter than `old`
when `new` allows nothing that `old` forbids. An absent value (None) allows everything; a field that counts
without being written says so by its rule's `default`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from webhook import quantity
from webhook.documents import DocumentError, Fault
from webhook.near import AMONG_FEW, Names
from webhook.policy.verdict import Mode
from webhook.reasons import shown
from webhook.sources.globs import GlobError, Globs

_MAX_TEXT: Final = 1024
_MAX_COUNT: Final = 1_000_000
# The parts of `podSecurity.deny` are the longest list that a message names.
_MAX_NAMED: Final = 24
_PORTS: Final = {"http": 80, "https": 443}
_CHOICES: Final = {"deny": Mode.ENFORCE, "warn": Mode.WARN, "audit": Mode.AUDIT, "allow": Mode.OFF}


def refused(value: Any, allowed: str) -> DocumentError:
    """Give the error that says what was found and what is allowed."""
    return DocumentError([Fault((), f"found {shown(value)}, allowed is {allowed}")])


def word_of(value: Any, words: Sequence[str], allowed: str) -> str:
    """Give a word back if it is one of these. Raises DocumentError, which names the nearest."""
    if isinstance(value, str) and value in words:
        return value
    near = _nearest(value, tuple(words)) if isinstance(value, str) else None
    raise refused(value, f"{allowed}; did you mean {near}?" if near else allowed)


def _nearest(value: str, words: tuple[str, ...]) -> str | None:
    """Give the word that was probably meant; `hostPath` also for `podSecurity.hostPath`."""
    return _names(words).nearest(value) or next((word for word in words if word.endswith(f".{value}")), None)


@functools.lru_cache(maxsize=64)  # a long list of wrong words asks for the nearest one each time
def _names(words: tuple[str, ...]) -> Names:
    return Names(words, shortest=AMONG_FEW)


def named(words: Iterable[str], last: str = "or") -> str:
    """Write words into a message."""
    *front, end = (f"`{word}`" for word in words)
    return f"{', '.join(front)} {last} {end}" if front else end


def texts(value: Any, allowed: str) -> tuple[str, ...]:
    """Read a list of texts that are not empty and have no blanks around them, each given once.

    Raises DocumentError with all that is wrong.
    """
    if not isinstance(value, list):
        raise refused(value, allowed)
    found = [Fault((index,), _text_fault(item)) for index, item in enumerate(value) if _text_fault(item)]
    if found:
        raise DocumentError(found)
    return tuple(dict.fromkeys(value))


def _text_fault(value: Any) -> str:
    fine = (
        isinstance(value, str)
        and 0 < len(value) <= _MAX_TEXT
        and value.isprintable()
        and value == value.strip()
    )
    return (
        "" if fine else f"found {shown(value)}, allowed is 1 to {_MAX_TEXT} characters, no blanks around them"
    )


def each(items: Iterable[tuple[str | int, Any]], parse: Callable[[Any], Any]) -> list[Any]:
    """Parse each of several values. Raises DocumentError with the faults of all of them, each at its key."""
    parsed, faults = [], []
    for key, item in items:
        try:
            parsed.append(parse(item))
        except DocumentError as error:
            faults += [Fault((key, *fault.path), fault.message) for fault in error.found]
    if faults:
        raise DocumentError(faults)
    return parsed


@dataclass(frozen=True)
class Choice:
    """What becomes of a violation; parsed to a Mode: `deny`, the group's mode, to ENFORCE, `allow` to OFF."""

    words: tuple[str, ...] = tuple(_CHOICES)

    @property
    def allowed(self) -> str:
        """The words."""
        return named(self.words)

    def parse(self, value: Any) -> Mode:
        """Read one of the words."""
        return _CHOICES[word_of(value, self.words, self.allowed)]

    def is_tighter(self, new: Mode | None, old: Mode | None) -> bool:
        """Tell whether `new` is as strict; absent is `allow`."""
        return (new or Mode.OFF).strictness >= (old or Mode.OFF).strictness


@dataclass(frozen=True)
class ModeWord:
    """A Mode, by its own word."""

    allowed: str = named(Mode)

    def parse(self, value: Any) -> Mode:
        """Read one of the words."""
        return Mode(word_of(value, tuple(Mode), self.allowed))


@dataclass(frozen=True)
class Flag:
    """`true` or `false`; true is the tighter one."""

    allowed: str = "`true` or `false`"

    def parse(self, value: Any) -> bool:
        """Read a JSON boolean."""
        if not isinstance(value, bool):
            raise refused(value, self.allowed)
        return value

    def is_tighter(self, new: bool | None, old: bool | None) -> bool:  # noqa: FBT001 - what the file says
        """Tell whether `new` demands what `old` demands; absent is false."""
        return bool(new) >= bool(old)


@dataclass(frozen=True)
class Scale:
    """One of some words, the mildest first; absent is the mildest."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """The words."""
        return named(self.words)

    def parse(self, value: Any) -> str:
        """Read one of the words."""
        return word_of(value, self.words, self.allowed)

    def is_tighter(self, new: str | None, old: str | None) -> bool:
        """Tell whether `new` stands as far behind."""
        return self._rank(new) >= self._rank(old)

    def _rank(self, word: str | None) -> int:
        return self.words.index(word) if word else 0


class Revision(Scale):
    """How a source must be pinned: parsed to `none`, `any` (some revision) or `commit` (40 hex digits)."""

    def __init__(self) -> None:
        super().__init__(("none", "any", "commit"))


@dataclass(frozen=True)
class Ceiling:
    """The largest number allowed, parsed to int."""

    allowed: str = f"a whole number from 0 to {_MAX_COUNT}"

    def parse(self, value: Any) -> int:
        """Read a whole number."""
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
            raise refused(value, self.allowed)
        return value

    def is_tighter(self, new: int | None, old: int | None) -> bool:
        """Tell whether `new` is not larger; absent is no ceiling."""
        return old is None or (new is not None and new <= old)


@dataclass(frozen=True)
class Quantity:
    """The largest amount allowed of a resource, parsed to Decimal."""

    allowed: str = "a quantity like `64`, `500m` or `512Gi`"

    def parse(self, value: Any) -> Decimal:
        """Read a quantity as Kubernetes writes it; a number is one too."""
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            try:
                amount = quantity.parse(value)
            except ValueError:
                pass
            else:
                if amount >= 0:
                    return amount
        raise refused(value, self.allowed)

    def is_tighter(self, new: Decimal | None, old: Decimal | None) -> bool:
        """Tell whether `new` is not larger; absent is no ceiling."""
        return old is None or (new is not None and new <= old)


@dataclass(frozen=True)
class Words:
    """A list of texts, of `words` where there are any; parsed to a tuple, each once, as in the file."""

    words: tuple[str, ...] = ()
    what: str = "texts"

    @property
    def allowed(self) -> str:
        """What may be listed."""
        return f"a list of {self._all('and')}" if self.words else f"a list of {self.what}"

    def parse(self, value: Any) -> tuple[str, ...]:
        """Read the list."""
        found = texts(value, self.allowed)
        if self.words:
            each(enumerate(found), lambda item: word_of(item, self.words, self._all("or")))
        return found

    def _all(self, last: str) -> str:
        """Name the words; of more than anyone reads, what they are."""
        if len(self.words) <= _MAX_NAMED:
            return named(self.words, last)
        return self.what if last == "and" else f"one of the {self.what}"


@dataclass(frozen=True)
class Required(Words):
    """What is demanded, or what is forbidden: the more is listed, the tighter."""

    def is_tighter(self, new: tuple[str, ...] | None, old: tuple[str, ...] | None) -> bool:
        """Tell whether all of `old` is in `new`; absent is an empty list."""
        return set(new or ()) >= set(old or ())


@dataclass(frozen=True)
class Allowed(Words):
    """What is allowed: the less is listed, the tighter; absent is everything."""

    def is_tighter(self, new: tuple[str, ...] | None, old: tuple[str, ...] | None) -> bool:
        """Tell whether all of `new` is in `old`."""
        return old is None or (new is not None and set(new) <= set(old))


@dataclass(frozen=True)
class Name:
    """A name that must be exactly this, like a label's key; of two different ones none is tighter."""

    allowed: str = f"1 to {_MAX_TEXT} characters"

    def parse(self, value: Any) -> str:
        """Read the name."""
        if fault := _text_fault(value):
            raise DocumentError([Fault((), fault)])
        return str(value)

    def is_tighter(self, new: str | None, old: str | None) -> bool:
        """Tell whether it is the same, or `old` demands none."""
        return old is None or new == old


def origin(text: str) -> str:
    """Write an http(s) URL so that equal ones are equal texts (RFC 3986, section 6.2).

    Scheme and host in lower case, no default port, no `/` at the end, no user, query or fragment.
    Raises ValueError for what is no such URL.
    """
    parts = urlsplit(text.strip())
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    if scheme not in _PORTS or not host:
        raise ValueError(f"{text!r} is no http or https URL")
    name = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _PORTS[scheme]) else f":{parts.port}"
    return f"{scheme}://{name}{port}{parts.path.rstrip('/')}"


@dataclass(frozen=True)
class UrlList:
    """The URLs that may be used, and no others; parsed to a frozenset of `origin` texts."""

    allowed: str = "a list of URLs, like `https://huggingface.co`"

    def parse(self, value: Any) -> frozenset[str]:
        """Read the URLs; one with a user, a query or a fragment is none."""
        found = texts(value, self.allowed)
        return frozenset(each(enumerate(found), self._url))

    def _url(self, text: str) -> str:
        try:
            url = "" if set("@?#").intersection(text) else origin(text)
        except ValueError:
            url = ""
        if not url:
            raise refused(text, "a URL like `https://huggingface.co`")
        return url

    def is_tighter(self, new: frozenset[str] | None, old: frozenset[str] | None) -> bool:
        """Tell whether all of `new` is in `old`; absent is every URL."""
        return old is None or (new is not None and new <= old)


def resources(texts: Iterable[str]) -> Globs:
    """Read patterns of resources' names, like `nvidia.com/mig-*`; they match names behind a `/`."""
    return Globs.paths(f"/{text}" for text in texts)


@dataclass(frozen=True)
class GlobList:
    """Patterns of what is allowed, and of nothing else; parsed to Globs.

    `read` makes them of texts and raises GlobError. With `fixed` no list is tighter than a different one:
    for what the patterns are of, neither more nor fewer of them is.
    """

    read: Callable[[Iterable[str]], Globs]
    what: str
    fixed: bool = False

    @property
    def allowed(self) -> str:
        """What may be listed."""
        return f"a list of patterns of {self.what}"

    def parse(self, value: Any) -> Globs:
        """Read the patterns."""
        found = texts(value, self.allowed)
        each(enumerate(found), self._one)
        return self.read(found)

    def _one(self, text: str) -> Globs:
        try:
            return self.read((text,))
        except GlobError as error:
            raise DocumentError([Fault((), str(error))]) from None

    def is_tighter(self, new: Globs | None, old: Globs | None) -> bool:
        """Tell whether `new` surely matches only what `old` matches; absent is everything."""
        if old is None or new is None:
            return old is None
        return new == old if self.fixed else old.covers(new)
