"""One command of a container, for saying what stands where in it."""

from __future__ import annotations

from typing import Final, NamedTuple

from webhook.sources import locations
from webhook.sources.argv import Call
from webhook.sources.container import Reading
from webhook.sources.found import Location, Role, Source, Switch, SwitchName, Unknown, Unresolvable
from webhook.sources.locations import BadValueError, LocalPath
from webhook.sources.operands import Word
from webhook.sources.text import readable

# Where a wrapper's own words are looked at.
_MAX_OPTIONS: Final = 30


class Spot(NamedTuple):
    """A command and the container it runs in; makes items with the JSON path of one of its words."""

    reading: Reading
    call: Call

    def source(self, role: Role, found: Location | LocalPath, word: int, into: str = "") -> Source:
        """Give a source named in a word; `into` is where it is copied to, as written."""
        place = self.reading.place(self.call, word)
        made = locations.source(role, found, place, self.reading.name)
        return Source(role, made.location, place, made.container, made.local, into)

    def url(self, role: Role, word: Word, into: str = "") -> Source | Unresolvable:
        """Give the source that a URL means."""
        if "\0" in word.text:
            return self.variable(role, word)
        try:
            return self.source(role, locations.url(word.text), word.at, into)
        except BadValueError as error:
            return self.unresolvable(role, Unknown.BAD_VALUE, str(error), word.at)

    def switch(self, name: SwitchName, value: str, word: int) -> Switch:
        """Give a switch that is set by a word."""
        return Switch(name, value, self.reading.place(self.call, word), self.reading.name)

    def unresolvable(
        self, about: Role | SwitchName | None, reason: Unknown, detail: str, word: int
    ) -> Unresolvable:
        """Say that what a word stands for cannot be known."""
        return Unresolvable(about, reason, detail, self.reading.place(self.call, word), self.reading.name)

    def variable(self, about: Role | SwitchName | None, word: Word) -> Unresolvable:
        """Say that a word has a variable in it which is not known."""
        return self.unresolvable(about, Unknown.VARIABLE, f"it is {readable(word.text)}", word.at)

    def set_at(self, name: str) -> str:
        """Give the JSON path of where a variable of the command is set: the container's env, or a word."""
        reading, call = self.reading, self.call
        if call.env.get(name) == reading.env.get(name):
            return reading.variable(name)
        prefix = f"{name}="
        # Behind `env`, which may be left in place or dropped from the words.
        for at, word in enumerate(call.words[:_MAX_OPTIONS]):
            if word.startswith(prefix):
                return reading.place(call, at)
        for at in range(0 if call.scripted else call.first):
            if reading.words[at].startswith(prefix):
                return reading.place(call, at - call.first)
        return reading.place(call, 0)
