"""Holds a pod against a policy. Pure; the time is handed in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

from webhook.policy.policy import Effective, Policy
from webhook.policy.subject import MAX_CONTAINERS, Subject
from webhook.policy.verdict import TOO_MANY, Finding, Judgement, Mode, Violation

# Of one rule. A pod of 3 MB has room for tens of thousands of them, which nobody reads.
_MAX_FINDINGS: Final = 1000


def judge(policy: Policy, namespace: str, name: str, subject: Subject, now: float) -> Judgement:
    """Give every violation of a pod, in the order of the table of rules.

    `name` is the pod's, its generateName, or `<workload>-` for a pod that a workload would make; `now` are
    seconds since the epoch. What is more than 1000 findings of one rule is told as one. A pod of more than
    1000 containers is not looked through: that is the one violation it has.
    """
    effective = policy.of(namespace)
    violations: list[Violation] = []
    exempted: dict[str, str] = {}
    if subject.size > MAX_CONTAINERS:
        return Judgement(_unread(effective, subject), policy.hash)
    for active in effective.active:
        found = active.check(subject, active.value, active.group)
        if not found:
            continue
        for finding in _bounded(found, subject):
            rule_id = f"{active.rule.group}.{finding.part}" if finding.part else active.rule.id
            mode = effective.mode(rule_id)
            if mode is Mode.OFF:
                continue
            if rule_id not in exempted:
                exempted[rule_id] = policy.exempted(rule_id, namespace, name, subject.labels, now)
            violations.append(
                Violation(
                    rule_id,
                    finding.path,
                    finding.found,
                    finding.wanted,
                    mode,
                    finding.container,
                    exempted[rule_id],
                )
            )
    return Judgement(tuple(violations), policy.hash)


def _unread(effective: Effective, subject: Subject) -> tuple[Violation, ...]:
    """Refuse, as far as anything is refused here, a pod that would take too long to read.

    Nothing in a policy is about this alone: what is let pass or only warned of would hide all other rules.
    """
    if effective.strictest is Mode.OFF:
        return ()
    found = f"{subject.size} containers, more than are judged"
    wanted = f"at most {MAX_CONTAINERS}"
    return (Violation(TOO_MANY, subject.path, found, wanted, effective.strictest),)


def _bounded(found: Iterable[Finding], subject: Subject) -> list[Finding]:
    """Give what a rule finds, up to a bound; of the rest only how many there are."""
    findings = iter(found)
    kept = list(itertools.islice(findings, _MAX_FINDINGS))
    if len(kept) == _MAX_FINDINGS and (more := sum(1 for _ in findings)):
        kept.append(Finding(subject.path, f"{more} more of these", "none", part=kept[-1].part))
    return kept
