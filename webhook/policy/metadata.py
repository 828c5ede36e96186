"""Rules over labels and annotations that a pod must have. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from webhook.policy.composed import Table
from webhook.policy.extracted import one_of, short
from webhook.policy.kinds import Allowed, Required
from webhook.policy.rule import Check, Rule
from webhook.policy.subject import Subject
from webhook.policy.verdict import Finding
from webhook.policy.wild import matches
from webhook.reasons import shown

_GROUP: Final = "metadata"
_NAMES: Final = Required(what="names")
_PATTERNS: Final = Table(Allowed(what="values, `*` stands for any characters"))


@dataclass(frozen=True)
class Demands:
    """Names that must be there, and patterns of their values; parsed to patterns by name, none for any."""

    allowed: str = "a list of names, or an object with a list of values for each name, `*` for any characters"

    def parse(self, value: Any) -> dict[str, tuple[str, ...]]:
        """Read the list or the object."""
        if isinstance(value, list):
            return dict.fromkeys(_NAMES.parse(value), ())
        return _PATTERNS.parse(value)

    def is_tighter(
        self, new: Mapping[str, tuple[str, ...]] | None, old: Mapping[str, tuple[str, ...]] | None
    ) -> bool:
        """Tell whether `new` demands each name of `old`, and only values that `old` takes."""
        return all(
            name in (new or {}) and _within((new or {})[name], patterns)
            for name, patterns in (old or {}).items()
        )


def _within(new: tuple[str, ...], old: tuple[str, ...]) -> bool:
    # a `*` of a new pattern can only be taken up by one of an old pattern
    return not old or (bool(new) and all(any(matches(wide, text) for wide in old) for text in new))


def _required(where: str, read: Callable[[Subject], Mapping[str, Any]]) -> Check:
    def check(
        subject: Subject, value: Mapping[str, tuple[str, ...]], _group: Mapping[str, Any]
    ) -> Iterator[Finding]:
        have = read(subject)
        for name, patterns in value.items():
            there = have.get(name)
            path = f"{subject.metadata_path}.{where}[{name}]"
            if not isinstance(there, str) or not there:
                yield Finding(path, "nothing", one_of(patterns) if patterns else "a value")
            elif patterns and not any(matches(pattern, there) for pattern in patterns):
                yield Finding(path, short(shown(there)), one_of(patterns))

    return check


RULES: Final = (
    Rule(
        _GROUP,
        "requireLabels",
        Demands(),
        "labels the pod must have, and their values",
        _required("labels", lambda subject: subject.labels),
    ),
    Rule(
        _GROUP,
        "requireAnnotations",
        Demands(),
        "annotations the pod must have, and their values",
        _required("annotations", lambda subject: subject.annotations),
    ),
)
