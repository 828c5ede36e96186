"""A policy as it is held in memory: what counts in a namespace, and who is excepted. Pure.

A namespace's rules are the base's with the matching entries of `namespaces` laid over them, field by field,
later ones over earlier ones. Each entry was held against the base when the policy was read
(`webhook.policy.tighter`), so no combination of them allows what the base denies, but for delegated rules.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from webhook.policy.kinds import Choice
from webhook.policy.rule import Check, Rule
from webhook.policy.verdict import Mode
from webhook.sources.globs import Globs

# The Choice that says what becomes of an Unresolvable; where a group does not say, `defaults` does.
UNRESOLVABLE: Final = "unresolvable"
# Of namespaces whose rules are remembered, and of different sets of entries that count somewhere.
_NAMESPACES: Final = 4096
_SETS: Final = 256


class Group(NamedTuple):
    """What one place of the policy says of one group; `mode` is None where it says none.

    `modes` are those of single fields or of parts of one, `values` the fields' parsed values.
    """

    mode: Mode | None = None
    modes: Mapping[str, Mode] = {}
    values: Mapping[str, Any] = {}

    def under(self, other: Group) -> Group:
        """Lay another over this one."""
        return Group(other.mode or self.mode, {**self.modes, **other.modes}, {**self.values, **other.values})


Groups = Mapping[str, Group]


class Override(NamedTuple):
    """The rules of the namespaces whose name matches."""

    match: Globs
    groups: Groups


class Match(NamedTuple):
    """Whom an exception is for; what is None or empty is not asked."""

    namespace: Globs | None = None
    pod_name: Globs | None = None
    labels: Mapping[str, Globs] = {}

    def in_namespace(self, namespace: str) -> bool:
        """Tell whether pods of a namespace may be meant."""
        return self.namespace is None or self.namespace.matches(namespace)

    def is_of(self, name: str, labels: Mapping[str, Any]) -> bool:
        """Tell whether a pod of such a namespace is meant."""
        return (self.pod_name is None or self.pod_name.matches(name)) and all(
            isinstance(value := labels.get(key), str) and glob.matches(value)
            for key, glob in self.labels.items()
        )


class Exemption(NamedTuple):
    """An exception. It counts while the time is before `expires` (seconds since the epoch)."""

    id: str
    rules: tuple[str, ...]
    match: Match
    reason: str
    owner: str
    expires: float


class Defaults(NamedTuple):
    """`spec.defaults`: the mode of groups that say none, of what is Unresolvable, of workloads' templates."""

    mode: Mode = Mode.WARN
    on_unresolvable: Mode = Mode.ENFORCE
    workloads: Mode = Mode.WARN


BUILT_IN: Final = Defaults()


class Active(NamedTuple):
    """A rule that is looked at: the strictest mode of its parts, its value, all values of its group."""

    rule: Rule
    check: Check
    mode: Mode
    value: Any
    group: Mapping[str, Any]


class Effective:
    """What counts in a namespace; `strictest` is the mode of the rule that is most in earnest."""

    def __init__(self, rules: Iterable[Rule], groups: Groups, defaults: Defaults) -> None:
        rules = tuple(rules)
        self._modes: dict[str, Mode] = {}
        values_by_group = {name: _values(rules, name, group, defaults) for name, group in groups.items()}
        active = []
        for rule in rules:
            values = values_by_group.get(rule.group)
            if values is None:
                continue
            modes = effective_modes(rule, groups[rule.group], values.get(rule.field), defaults.mode)
            self._modes |= modes
            strictest = max(modes.values(), key=lambda mode: mode.strictness)
            if rule.check is not None and strictest is not Mode.OFF:
                active.append(Active(rule, rule.check, strictest, values[rule.field], values))
        self.active = tuple(active)
        modes_of_all = (one.mode for one in active)
        self.strictest = max(modes_of_all, key=lambda mode: mode.strictness, default=Mode.OFF)

    def mode(self, rule_id: str) -> Mode:
        """Give what becomes of a violation of a rule or of a part of one; OFF where it asks nothing."""
        return self._modes.get(rule_id, Mode.OFF)


def _values(rules: Iterable[Rule], name: str, group: Group, defaults: Defaults) -> dict[str, Any]:
    found = {}
    for rule in rules:
        if rule.group == name:
            value = value_of(rule, group, defaults)
            if value is not None:
                found[rule.field] = value
    return found


def value_of(rule: Rule, group: Group, defaults: Defaults) -> Any:
    """Give the parsed value that counts for a rule of a group that is there; None if there is none."""
    if rule.field in group.values:
        return group.values[rule.field]
    if rule.field == UNRESOLVABLE:
        return defaults.on_unresolvable
    return None if rule.default is None else rule.kind.parse(rule.default)


def effective_modes(rule: Rule, group: Group, value: Any, default: Mode) -> dict[str, Mode]:
    """Give the mode of the rule under its id and of each of its parts under theirs.

    A field's own mode counts before its group's; of a Choice and that mode the milder one. A rule whose
    value asks for nothing (none is as tight) is off.
    """
    whole = group.modes.get(rule.field) or group.mode or default
    if isinstance(rule.kind, Choice):
        return {rule.id: whole.at_most(value or Mode.OFF)}
    if value is None or rule.kind.is_tighter(None, value):
        whole, parts = Mode.OFF, dict.fromkeys(rule.parts, Mode.OFF)
    else:
        parts = {part: group.modes.get(part, whole) for part in rule.parts}
    return {f"{rule.group}.{part}": mode for part, mode in parts.items()} | {rule.id: whole}


@dataclass(frozen=True)
class Policy:
    """A policy file, read. `hash` stands for its content: 12 hex digits of its SHA-256.

    `rules` is the table that the file was read by.
    """

    name: str
    hash: str
    rules: tuple[Rule, ...] = field(repr=False)
    groups: Groups
    defaults: Defaults = BUILT_IN
    overrides: tuple[Override, ...] = ()
    exceptions: tuple[Exemption, ...] = ()
    delegated: frozenset[str] = frozenset()

    def of(self, namespace: str) -> Effective:
        """Give what counts in a namespace. Remembered, for as many as matter."""
        return self._remembered(namespace)

    def exempted(self, rule_id: str, namespace: str, name: str, labels: Mapping[str, Any], now: float) -> str:
        """Give the id of the first exception that lets a pod break a rule; empty if there is none."""
        for exemption in self._exempting(namespace).get(rule_id, ()):
            if now < exemption.expires and exemption.match.is_of(name, labels):
                return exemption.id
        return ""

    @functools.cached_property
    def _exempting(self) -> Callable[[str], Mapping[str, Sequence[Exemption]]]:
        return functools.lru_cache(_NAMESPACES)(self._exceptions_in)

    def _exceptions_in(self, namespace: str) -> dict[str, list[Exemption]]:
        """Give the exceptions for pods of a namespace, by the rules they name."""
        found: dict[str, list[Exemption]] = {}
        for exemption in self.exceptions:
            if exemption.match.in_namespace(namespace):
                for rule_id in exemption.rules:
                    found.setdefault(rule_id, []).append(exemption)
        return found

    @functools.cached_property
    def _remembered(self) -> Callable[[str], Effective]:
        return functools.lru_cache(_NAMESPACES)(
            lambda namespace: self._laid(tuple(self._matching(namespace)))
        )

    def _matching(self, namespace: str) -> Iterator[int]:
        return (index for index, item in enumerate(self.overrides) if item.match.matches(namespace))

    @functools.cached_property
    def _laid(self) -> Callable[[tuple[int, ...]], Effective]:
        return functools.lru_cache(_SETS)(self._lay)

    def _lay(self, entries: tuple[int, ...]) -> Effective:
        groups = dict(self.groups)
        for index in entries:
            for name, group in self.overrides[index].groups.items():
                groups[name] = groups.get(name, Group()).under(group)
        return Effective(self.rules, groups, self.defaults)
