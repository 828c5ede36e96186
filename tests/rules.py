"""One rule held against one pod, as the judge would: for the tests of rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.contract import Engine
from webhook.policy.rule import Rule
from webhook.policy.subject import Subject
from webhook.policy.table import RULES
from webhook.policy.verdict import Finding
from webhook.sources.found import Extract

OWN_IMAGE = "registry.example.com/registrar@sha256:" + "a" * 64


def subject(
    pod: Mapping[str, Any],
    *,
    path: str = "spec",
    extract: Extract | None = None,
    engine: Engine | None = Engine.VLLM,
) -> Subject:
    """Make the subject of a pod; with `extract` nothing is read from its command lines."""
    made = Subject(pod, engine, path, OWN_IMAGE)
    if extract is not None:
        vars(made)["extract"] = extract
    return made


def rule(rule_id: str) -> Rule:
    """Find a rule in the table."""
    return next(rule for rule in RULES if rule.id == rule_id)


def check(rule_id: str, value: Any, judged: Subject) -> list[Finding]:
    """Give what a rule finds for a value as it stands in the policy file, its group otherwise empty."""
    checked = rule(rule_id)
    assert checked.check is not None
    group = {
        other.field: other.kind.parse(value if other is checked else other.default)
        for other in RULES
        if other.group == checked.group and (other is checked or other.default is not None)
    }
    return list(checked.check(judged, group[checked.field], group))


def told(rule_id: str, value: Any, judged: Subject) -> list[str]:
    """Give the same as people read it: path, found, wanted."""
    return [f"{item.path}: {item.found} -> {item.wanted}" for item in check(rule_id, value, judged)]
