"""Rules over what was extracted: the check of a switch, and of what cannot be known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from webhook.policy.rule import Check
from webhook.policy.subject import Subject
from webhook.policy.verdict import Finding
from webhook.sources.found import Role, Switch, SwitchName, Unknown, Unresolvable

_MAX_SHOWN: Final = 100
_MAX_LISTED: Final = 3
# What would settle it, by why it cannot be known.
_WANTED: Final[Mapping[Unknown, str]] = {
    Unknown.VARIABLE: "a literal value in the pod",
    Unknown.CONFIG_FILE: "options on the command line",
    Unknown.SCRIPT: "a plain command, without what only a running shell knows",
    Unknown.ENTRYPOINT: "a command in the pod, or an image whose entrypoint is known",
    Unknown.AMBIGUOUS: "what every version of the program reads alike",
    Unknown.BAD_VALUE: "a model's id, path or URL",
    Unknown.VOLUME: "a volume of which the pod says what is in it",
    Unknown.RUNTIME: "a model named in the pod",
}


def short(text: str) -> str:
    """Cut a text that somebody else wrote, so that what is wanted instead still fits into the message."""
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def one_of(patterns: Sequence[str], first: str = "") -> str:
    """Write down what is allowed: some that begin like `first`, else some of all, and how many more."""
    if not patterns:
        return "none"
    listed = [pattern for pattern in patterns if pattern.startswith(first)] or patterns
    told = " or ".join(map(short, listed[:_MAX_LISTED]))
    more = len(patterns) - min(len(listed), _MAX_LISTED)
    return f"{told} or {more} more" if more else told


def found(switch: Switch) -> str:
    """Write a switch down: its name, and its value where that says more."""
    return f"{switch.name} {short(switch.value)}" if switch.value else str(switch.name)


def off(name: SwitchName, wanted: str) -> Check:
    """Make the check that finds each switch of this name."""

    def check(subject: Subject, _value: Any, _group: Mapping[str, Any]) -> Iterable[Finding]:
        switches = subject.extract.switches
        if not switches:
            return ()
        return [Finding(s.path, found(s), wanted, s.container) for s in switches if s.name is name]

    return check


def known(about: frozenset[Role | SwitchName | None]) -> Check:
    """Make the check that finds whatever of these the spec leaves open.

    What is settled only while the server runs is the rule `modelSources.runtimeLoading`.
    """

    def check(subject: Subject, _value: Any, _group: Mapping[str, Any]) -> Iterable[Finding]:
        unresolved = subject.extract.unresolved
        if not unresolved:
            return ()
        return [
            unknown(item) for item in unresolved if item.about in about and item.reason is not Unknown.RUNTIME
        ]

    return check


def unknown(item: Unresolvable) -> Finding:
    """Write down what cannot be known, and what would settle it."""
    what = f"{item.about} unknown" if item.about else "options unknown"
    return Finding(item.path, f"{what}: {short(item.detail)}", _WANTED[item.reason], item.container)
