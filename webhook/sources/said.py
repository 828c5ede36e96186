"""What a server is told by its options and, where it takes them, by variables: each with its JSON path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from webhook.sources import locations
from webhook.sources.found import Item, Role, Switch, SwitchName, Unknown, Unresolvable
from webhook.sources.options import Found, Option, read_options
from webhook.sources.spot import Spot
from webhook.sources.text import is_known, is_loose, readable

# What variables that stand for flags hold where they are off.
_NO: Final = frozenset({"", "n", "no", "f", "false", "off", "0"})

_MAX_WORDS: Final = 5000
_MAX_PARTS: Final = 200


class Told(NamedTuple):
    """What is told for one option, and the JSON path of it."""

    text: str
    path: str


class Said:
    """What a server is told: by its options, else by its variables."""

    def __init__(
        self,
        spot: Spot,
        start: int,
        options: Mapping[str, Option],
        variables: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.spot = spot
        self.start = start
        words = spot.call.words[start:]
        self.long = len(words) > _MAX_WORDS
        self.found: Found = Found() if self.long else read_options(words, options)
        self.variables = variables or {}
        self.name = spot.reading.name

    def all(self, name: str) -> list[Told]:
        """Give every value of an option, each with its path."""
        if name in self.found.values:
            at = self.start + self.found.places[name]
            last = len(self.spot.call.words) - 1
            return [
                Told(text, self.spot.reading.place(self.spot.call, min(at + index, last)))
                for index, text in enumerate(self.found.values[name])
            ]
        return [Told(value, path) for value, path in self.from_variables(name) if value]

    def from_variables(self, name: str) -> Iterator[tuple[str, str]]:
        """Give the first variable that stands for an option, if one is set."""
        for variable in self.variables.get(name, ()):
            if (value := self.spot.call.env.get(variable)) is not None:
                yield value, self.spot.set_at(variable)
                return

    def last(self, name: str) -> Told | None:
        """Give the value of an option."""
        values = self.all(name)
        return values[0] if values else None

    def text(self, name: str) -> str:
        """Give the text of an option's value, empty if it has none."""
        value = self.last(name)
        return value.text if value else ""

    def flag(self, name: str) -> Told | None:
        """Give a flag that is on, as its option or variable is written."""
        if name in self.found.values:
            at = self.start + self.found.places[name]
            return Told(self.spot.call.words[at], self.spot.reading.place(self.spot.call, at))
        for value, path in self.from_variables(name):
            if value.strip().lower() not in _NO:
                return Told(self.variables[name][0], path)
        return None

    def source(
        self, role: Role, name: str, revision: str = "", scheme: str = locations.HUB
    ) -> Iterator[Item]:
        """Give the source that an option names."""
        for value in self.all(name):
            yield from self.model(role, value, revision, scheme)

    def model(
        self, role: Role, value: Told, revision: str = "", scheme: str = locations.HUB
    ) -> Iterator[Item]:
        """Give the source that a text means."""
        yield from locations.items(role, value.text, value.path, self.name, revision=revision, scheme=scheme)

    def parts(self, role: Role, value: Told) -> Iterator[Told | Unresolvable]:
        """Give what stands between commas; if that is too much, the rest as what nobody reads."""
        *parts, last = value.text.split(",", _MAX_PARTS)
        for part in parts:
            yield Told(part, value.path)
        if "," in last:
            yield self.unresolvable(role, Unknown.AMBIGUOUS, f"more than {_MAX_PARTS} values", value.path)
        else:
            yield Told(last, value.path)

    def switch(self, switch: SwitchName, name: str) -> Iterator[Item]:
        """Give the values of an option as switches."""
        for value in self.all(name):
            if is_known(value.text):
                yield Switch(switch, value.text, value.path, self.name)
            else:
                detail = f"it is {readable(value.text)}"
                yield Unresolvable(switch, Unknown.VARIABLE, detail, value.path, self.name)

    def on(self, switch: SwitchName, name: str) -> Iterator[Item]:
        """Give a flag that is on as a switch; its value is how it is written."""
        if flag := self.flag(name):
            yield Switch(switch, flag.text, flag.path, self.name)

    def parallel(self) -> Iterator[Item]:
        """Give over how many accelerators the model is spread."""
        yield from self.switch(SwitchName.TENSOR_PARALLEL, "tensor-parallel")
        yield from self.switch(SwitchName.PIPELINE_PARALLEL, "pipeline-parallel")
        yield from self.switch(SwitchName.DATA_PARALLEL, "data-parallel")

    def common(self) -> Iterator[Item]:
        """Give what all of them share: secrets, files of options, words nobody can read."""
        if self.long:
            detail = f"more than {_MAX_WORDS} words"
            yield self.spot.unresolvable(None, Unknown.AMBIGUOUS, detail, self.start)
        for name in ("api-key", "admin-key", "token"):
            if name in self.found.values and (value := self.last(name)) and is_known(value.text):
                yield Switch(SwitchName.SECRET, f"--{name}", value.path, self.name)
        for value in self.all("config"):
            detail = "options stand in a file"
            yield Unresolvable(None, Unknown.CONFIG_FILE, detail, value.path, self.name)
        if self.found.open:
            words = self.spot.call.words
            at = next(
                (at for at in range(self.start, len(words)) if is_loose(words[at]) or words[at][:1] == "\0"),
                self.start - 1,
            )
            detail = f"options may hide in {readable(words[at])}"
            yield self.spot.unresolvable(None, Unknown.VARIABLE, detail, at)

    def unresolvable(self, about: Role, reason: Unknown, detail: str, path: str = "") -> Unresolvable:
        """Say that what a server loads cannot be known; without a path, of its command."""
        return Unresolvable(
            about, reason, detail, path or self.spot.reading.place(self.spot.call, 0), self.name
        )

    def file(self, role: Role, value: Told) -> Iterator[Item]:
        """Give a file: what looks like an id of a hub is one to none of these options."""
        text = value.text
        plain = is_known(text) and text[:1] not in {"/", ".", "~"} and "://" not in text
        yield from self.model(role, Told(f"./{text}" if plain and text else text, value.path))
