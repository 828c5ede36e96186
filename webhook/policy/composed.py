"""Kinds of values that are made of others: tables and objects. Pure. See `webhook.policy.kinds`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhook.documents import DocumentError, Fault
from webhook.policy.kinds import Name, Quantity, each, named, refused, word_of
from webhook.policy.rule import Kind


@dataclass(frozen=True)
class Table:
    """A value of one kind under each of some keys, of `keys` where there are any; parsed to a dict.

    The values demand something: a table with more keys is tighter.
    """

    kind: Kind
    keys: tuple[str, ...] = ()
    what: str = "name"

    @property
    def allowed(self) -> str:
        """What may stand there."""
        keys = f" for {named(self.keys)}" if self.keys else f" for each {self.what}"
        return f"an object with {self.kind.allowed}{keys}"

    def parse(self, value: Any) -> dict[str, Any]:
        """Read the object."""
        if not isinstance(value, dict):
            raise refused(value, self.allowed)
        each(((key, key) for key in value), self._key)
        return dict(zip(value, each(value.items(), self.kind.parse), strict=True))

    def _key(self, key: str) -> str:
        return word_of(key, self.keys, named(self.keys)) if self.keys else Name().parse(key)

    def is_tighter(self, new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> bool:
        """Tell whether each value of `old` has a tighter one in `new`."""
        return all(self.kind.is_tighter((new or {}).get(key), value) for key, value in (old or {}).items())


class Quantities(Table):
    """The largest amount of each resource, parsed to Decimals by name."""

    def __init__(self) -> None:
        super().__init__(Quantity(), what="resource")


@dataclass(frozen=True)
class Object:
    """Some named values, each of its own kind; parsed to a dict of those that are there.

    Without `additive` another rule judges the same things as long as this one is absent, so that adding it
    can allow what that one forbids.
    """

    fields: Mapping[str, Kind]
    required: tuple[str, ...] = ()
    additive: bool = True

    @property
    def allowed(self) -> str:
        """Its fields and what they take."""
        return "an object: " + "; ".join(f"`{name}` {kind.allowed}" for name, kind in self.fields.items())

    def parse(self, value: Any) -> dict[str, Any]:
        """Read the object; an unknown field is an error with the nearest name."""
        if not isinstance(value, dict):
            raise refused(value, self.allowed)
        names = tuple(self.fields)
        each(((name, name) for name in value), lambda name: word_of(name, names, named(names)))
        if missing := [name for name in self.required if name not in value]:
            raise DocumentError([Fault((), f"{named(missing, 'and')} must be there")])
        parsers = {name: self.fields[name].parse for name in value}
        parsed = each(
            ((name, (name, item)) for name, item in value.items()), lambda pair: parsers[pair[0]](pair[1])
        )
        return dict(zip(value, parsed, strict=True))

    def is_tighter(self, new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> bool:
        """Tell whether every field is tighter."""
        if old is None and new is not None:
            return self.additive
        new, old = new or {}, old or {}
        return all(kind.is_tighter(new.get(name), old.get(name)) for name, kind in self.fields.items())
