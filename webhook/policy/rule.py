"""What a rule is: a field of the policy file, the values it takes, and how a pod is held against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from webhook.policy.subject import Subject
from webhook.policy.verdict import Finding


class Kind(Protocol):
    """The values a field takes."""

    @property
    def allowed(self) -> str:
        """What is allowed, for messages and the README."""

    def parse(self, value: Any) -> Any:
        """Read a value of the policy file (JSON types) into what the rule's check takes.

        Raises `documents.DocumentError` whose faults name the place within the value.
        """

    def is_tighter(self, new: Any, old: Any) -> bool:
        """Tell whether `new` allows nothing that `old` forbids; both parsed, None where absent."""


# (the pod, this field's parsed value, all parsed values of the group by field) -> what is found
Check = Callable[[Subject, Any, Mapping[str, Any]], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One field of one group. Without a `check` it is a parameter of the group's other rules.

    `parts` are the names its findings carry in place of the field's, if it is several rules. `default` is the
    value (as in the file) that counts where the policy has the group and not the field.
    """

    group: str
    field: str
    kind: Kind
    meaning: str
    check: Check | None = None
    parts: tuple[str, ...] = ()
    default: Any = None

    @property
    def id(self) -> str:
        """The rule's id, `group.field`."""
        return f"{self.group}.{self.field}"

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id that violations of this rule carry."""
        return tuple(f"{self.group}.{part}" for part in self.parts) or (self.id,)
