"""Whether the rules of some namespaces only tighten the base's. Pure.

What is compared is what counts: a field's value, and the mode that comes of its group's, its own and, for a
Choice, of its word. So an entry may set a milder group's mode where every rule of it stays as strict.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from webhook.documents import Path
from webhook.policy.kinds import Choice
from webhook.policy.policy import Defaults, Group, Groups, effective_modes, value_of
from webhook.policy.rule import Rule


class Loosening(NamedTuple):
    """A rule that an entry makes milder, and where in its `rules` that stands."""

    path: Path
    rule: str


def loosenings(
    rules: tuple[Rule, ...], base: Groups, over: Groups, defaults: Defaults, delegated: Container[str]
) -> Iterator[Loosening]:
    """Find what `over`, laid over `base`, makes milder, but for delegated rules."""
    for rule in rules:
        before, laid = base.get(rule.group), over.get(rule.group)
        if before is None or laid is None or rule.id in delegated:
            continue
        path = _value_path(rule, before, laid, defaults) or _mode_path(rule, before, laid, defaults)
        if path:
            yield Loosening((rule.group, *path), rule.id)


def _value_path(rule: Rule, before: Group, laid: Group, defaults: Defaults) -> Path:
    if isinstance(rule.kind, Choice) or rule.field not in laid.values:
        return ()
    old = value_of(rule, before, defaults)
    return () if rule.kind.is_tighter(laid.values[rule.field], old) else (rule.field,)


def _mode_path(rule: Rule, before: Group, laid: Group, defaults: Defaults) -> Path:
    if rule.check is None and not isinstance(rule.kind, Choice):
        return ()
    after = before.under(laid)
    old = effective_modes(rule, before, value_of(rule, before, defaults), defaults.mode)
    new = effective_modes(rule, after, value_of(rule, after, defaults), defaults.mode)
    for rule_id, mode in old.items():
        if new[rule_id].strictness < mode.strictness:
            if rule.field in laid.values and laid.values[rule.field] is new[rule_id]:
                return (rule.field,)
            named = [key for key in (rule_id.partition(".")[2], rule.field) if key in laid.modes]
            return ("modes", named[0]) if named else ("mode",)
    return ()
