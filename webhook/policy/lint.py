"""What is wrong with a policy file, and what its author probably did not mean. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from webhook.config import ConfigError, Sheet
from webhook.documents import Path
from webhook.policy.composed import Object
from webhook.policy.document import read
from webhook.policy.kinds import GlobList, UrlList
from webhook.policy.policy import Group, Groups, Override, Policy, effective_modes, value_of
from webhook.policy.rule import Kind, Rule
from webhook.policy.verdict import Mode

_DAY: Final = 86400
# How long before its end an exception is spoken of: time enough to mend the server, or to ask again.
SOON: Final = 14 * _DAY
# Patterns of one list that are held against each other, each against each.
_COMPARED: Final = 2000

_Told = tuple[Path, str]


class Lint(NamedTuple):
    """What is told of a policy file, each with path and line; with errors nothing of it counts."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def lint(text: str, rules: tuple[Rule, ...], now: float) -> Lint:
    """Check a policy file by a table of rules, as of `now` (seconds since the epoch)."""
    try:
        policy, sheet = read(text, rules)
    except ConfigError as error:
        return Lint(errors=tuple(error.problems))
    told = (
        *_empty(policy),
        *_groups(policy.rules, policy.groups, ("spec", "rules"), sheet),
        *_overrides(policy, sheet),
        *_exceptions(policy, now),
        *_delegated(policy),
    )
    return Lint(warnings=tuple(f"{sheet.place(path)}: {message}" for path, message in told))


def _empty(policy: Policy) -> Iterator[_Told]:
    """Find groups that ask for nothing, here and in every namespace, and a policy without any."""
    if not policy.groups and not any(override.groups for override in policy.overrides):
        yield ("spec", "rules"), "there are no rules: nothing is judged"
    for name, group in policy.groups.items():
        values = (
            (rule, value_of(rule, group, policy.defaults)) for rule in policy.rules if rule.group == name
        )
        if not (
            group.values
            or any(rule.check and value is not None for rule, value in values)
            or any(name in override.groups for override in policy.overrides)
        ):
            yield ("spec", "rules", name), "asks for nothing: none of its fields is there"


def _groups(rules: tuple[Rule, ...], groups: Groups, path: Path, sheet: Sheet) -> Iterator[_Told]:
    """Find rules that are set and switched off, and lists that do not say what they seem to."""
    for rule in rules:
        group = groups.get(rule.group, Group())
        if rule.field not in group.values:
            continue
        here = (*path, rule.group, rule.field)
        if (group.modes.get(rule.field) or group.mode) is Mode.OFF:
            yield here, "is set, but its mode is off: nothing is looked at"
        yield from _lists(rule.kind, group.values[rule.field], here, sheet)


def _lists(kind: Kind, value: Any, path: Path, sheet: Sheet) -> Iterator[_Told]:
    if isinstance(kind, Object):
        for name, item in value.items():
            yield from _lists(kind.fields[name], item, (*path, name), sheet)
    elif isinstance(kind, GlobList | UrlList) and not value:
        yield path, "an empty list allows nothing"
    elif isinstance(kind, GlobList):
        yield from _covered(kind, sheet.at(path)[:_COMPARED], path)


def _covered(kind: GlobList, patterns: list[str], path: Path) -> Iterator[_Told]:
    """Find patterns that match nothing that another one does not match too; of two equal ones the later.

    Looked at are pairs of which one begins with the other's text before its `*`: that is quick, and misses
    only what is the same in another spelling, like `vllm/*` and `docker.io/vllm/vllm-openai`.
    """
    singles = [kind.read((text,)) for text in patterns]
    heads = [text.partition("*")[0] for text in patterns]
    gone: set[int] = set()
    for index in reversed(range(len(singles))):
        for other, wide in enumerate(singles):
            if (
                patterns[index].startswith(heads[other])
                and other != index
                and other not in gone
                and wide.covers(singles[index])
            ):
                gone.add(index)
                yield (*path, index), f"{patterns[index]!r} is not needed: {patterns[other]!r} covers it"
                break


def _overrides(policy: Policy, sheet: Sheet) -> Iterator[_Told]:
    path: Path = ("spec", "namespaces")
    for index, override in enumerate(policy.overrides):
        here = (*path, index)
        yield from _groups(policy.rules, override.groups, (*here, "rules"), sheet)
        if not _differs(policy, override):
            yield here, "changes nothing: spec.rules says the same"
        for later, other in enumerate(policy.overrides[index + 1 :], index + 1):
            if other.match.covers(override.match) and _said(override) <= _said(other):
                yield here, f"never counts: namespaces[{later}] says all of it for the same namespaces"
                break


def _said(override: Override) -> set[tuple[str, str]]:
    """Give what an entry says: fields, modes of fields, modes of groups."""
    found = set()
    for name, group in override.groups.items():
        found |= {(name, field) for field in group.values}
        found |= {(name, f"modes.{key}") for key in group.modes}
        found |= {(name, "mode")} if group.mode else set()
    return found


def _differs(policy: Policy, override: Override) -> bool:
    """Tell whether something else counts with an entry than without it."""
    for rule in policy.rules:
        laid = override.groups.get(rule.group)
        if laid is None:
            continue
        base = policy.groups.get(rule.group)
        if base is None:
            return True
        after = base.under(laid)
        old, new = (value_of(rule, group, policy.defaults) for group in (base, after))
        modes = (
            effective_modes(rule, group, value, policy.defaults.mode)
            for group, value in ((base, old), (after, new))
        )
        if old != new or next(modes) != next(modes):
            return True
    return False


def _exceptions(policy: Policy, now: float) -> Iterator[_Told]:
    for index, exemption in enumerate(policy.exceptions):
        path = ("spec", "exceptions", index, "expires")
        left = exemption.expires - now
        if left <= 0:
            yield path, f"{exemption.id} has expired: it lets nothing pass"
        elif left <= SOON:
            yield path, f"{exemption.id} expires {in_days(left)}; {exemption.owner} owns it"


def in_days(left: float) -> str:
    """Say when something is, so many seconds from now, to the day: `in 3 days`."""
    days = int(left // _DAY)
    return f"in {days} day{'' if days == 1 else 's'}" if days else "within a day"


def _delegated(policy: Policy) -> Iterator[_Told]:
    for rule in policy.rules:
        if rule.id in policy.delegated and not any(
            {rule.field, f"modes.{rule.field}", "mode"}
            & {said for name, said in _said(item) if name == rule.group}
            for item in policy.overrides
        ):
            yield ("spec", "delegate"), f"{rule.id} is delegated, and no entry of namespaces touches it"
