"""What is known of one annotation: how its value is read, what people are told of it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Key:
    """One annotation.

    `parse` gives the typed value of a text or raises ValueError, with a sentence where `allowed` does not say
    it all; DocumentError says it all by itself. `natural` does the same for a list or an object in a file of
    defaults. `fills` is the field of `Wishes`, if it is called otherwise; with `keys`, these keys of the
    object in that field. `not_default` says why there can be no default of it.
    """

    name: str
    parse: Callable[[str], Any]
    allowed: str
    default: str
    meaning: str
    natural: Callable[[Any], Any] | None = None
    fills: str = ""
    keys: tuple[str, ...] = ()
    not_default: str = ""

    @property
    def field(self) -> str:
        """The field of `Wishes` it fills."""
        return self.fills or self.name.replace("-", "_")
