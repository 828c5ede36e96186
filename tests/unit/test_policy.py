"""What counts in a namespace, exceptions, and the judgement of a pod, by rules that look at labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from webhook.policy.document import parse
from webhook.policy.judge import judge
from webhook.policy.kinds import Ceiling, Choice, Flag, Required
from webhook.policy.policy import Policy
from webhook.policy.rule import Rule
from webhook.policy.subject import Subject
from webhook.policy.verdict import Finding, Mode, Violation

NOW = datetime(2026, 12, 31, 12, tzinfo=UTC).timestamp()
PATH = "metadata.labels"


def _has(name: str) -> Any:
    def check(subject: Subject, _value: Any, _group: Mapping[str, Any]) -> Iterator[Finding]:
        if name in subject.labels:
            yield Finding(PATH, name, "not that")

    return check


def _size(subject: Subject, value: int, group: Mapping[str, Any]) -> Iterator[Finding]:
    size = int(subject.labels.get("size", 0)) * group["times"]
    if size > value:
        yield Finding(PATH, str(size), f"at most {value}")


def _parts(subject: Subject, value: tuple[str, ...], _group: Mapping[str, Any]) -> Iterator[Finding]:
    for part in value:
        if part in subject.labels:
            yield Finding(PATH, part, "not that", part=part)


def _many(subject: Subject, _value: Any, _group: Mapping[str, Any]) -> Iterator[Finding]:
    for index in range(int(subject.labels.get("many", 0))):
        yield Finding(f"{PATH}[{index}]", "one", "none")


RULES = (
    Rule("look", "red", Choice(), "", _has("red")),
    Rule("look", "blue", Choice(), "", _has("blue")),
    Rule("look", "unresolvable", Choice(), "", _has("grey")),
    Rule("size", "times", Ceiling(), "", default=1),
    Rule("size", "most", Ceiling(), "", _size),
    Rule("deny", "parts", Required(("round", "square")), "", _parts, parts=("round", "square")),
    Rule("many", "none", Flag(), "", _many),
    Rule("door", "open", Choice(), ""),
)


def policy(spec: str) -> Policy:
    """Read a policy over these rules."""
    head = "apiVersion: policy.litellm-registrar.io/v1\nkind: ModelServerPolicy\nmetadata: {name: a}\n"
    return parse(f"{head}spec: {{{spec}}}", RULES)


def judged(
    held: Policy, *labels: str, namespace: str = "a", name: str = "p", now: float = NOW, **more: str
) -> dict[str, Violation]:
    """Judge a pod with labels; gives its violations by rule."""
    pod = {"metadata": {"labels": dict.fromkeys(labels, "") | more}, "spec": {}}
    judgement = judge(held, namespace, name, Subject(pod), now)
    assert judgement.policy == held.hash
    assert len({violation.rule for violation in judgement.violations}) == len(judgement.violations)
    return {violation.rule: violation for violation in judgement.violations}


def modes(held: Policy, *labels: str, namespace: str = "a") -> dict[str, Mode]:
    """Judge a pod with labels; gives the modes of what it breaks."""
    return {rule: violation.mode for rule, violation in judged(held, *labels, namespace=namespace).items()}


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ("rules: {look: {red: deny}}", Mode.WARN),
        ("defaults: {mode: enforce}, rules: {look: {red: deny}}", Mode.ENFORCE),
        ("defaults: {mode: enforce}, rules: {look: {mode: audit, red: deny}}", Mode.AUDIT),
        ("rules: {look: {mode: enforce, red: deny}}", Mode.ENFORCE),
        ("rules: {look: {mode: enforce, red: warn}}", Mode.WARN),
        ("rules: {look: {mode: enforce, red: audit}}", Mode.AUDIT),
        ("rules: {look: {mode: warn, red: audit}}", Mode.AUDIT),
        ("rules: {look: {mode: audit, red: warn}}", Mode.AUDIT),
        ("rules: {look: {mode: warn, modes: {red: enforce}, red: deny}}", Mode.ENFORCE),
        ("rules: {look: {mode: enforce, modes: {red: audit}, red: deny}}", Mode.AUDIT),
        ("rules: {look: {mode: enforce, red: allow}}", Mode.OFF),
        ("rules: {look: {mode: off, red: deny}}", Mode.OFF),
        ("rules: {look: {mode: enforce}}", Mode.OFF),
        ("rules: {}", Mode.OFF),
    ],
)
def test_a_choices_mode_is_the_milder_of_its_word_and_its_groups(spec: str, mode: Mode) -> None:
    """Its own mode stands before its group's, that before the default one."""
    held = policy(spec)
    assert held.of("a").mode("look.red") is mode
    assert modes(held, "red") == ({} if mode is Mode.OFF else {"look.red": mode})


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ("rules: {look: {mode: enforce}}", Mode.ENFORCE),
        ("defaults: {onUnresolvable: warn}, rules: {look: {mode: enforce}}", Mode.WARN),
        ("defaults: {onUnresolvable: deny}, rules: {look: {mode: audit}}", Mode.AUDIT),
        ("rules: {look: {mode: enforce, unresolvable: audit}}", Mode.AUDIT),
        ("rules: {look: {mode: enforce, modes: {unresolvable: warn}}}", Mode.WARN),
        ("rules: {size: {mode: enforce}}", Mode.OFF),
    ],
)
def test_what_cannot_be_known_is_judged_wherever_its_group_is(spec: str, mode: Mode) -> None:
    """Where the group does not say how, the defaults do, and they deny unless told otherwise."""
    assert policy(spec).of("a").mode("look.unresolvable") is mode


def test_each_part_of_a_rule_has_its_own_mode() -> None:
    """A part's mode stands before the field's."""
    held = policy("rules: {deny: {mode: enforce, parts: [round, square], modes: {square: audit}}}")
    assert modes(held, "round", "square") == {"deny.round": Mode.ENFORCE, "deny.square": Mode.AUDIT}
    held = policy("rules: {deny: {mode: off, parts: [round, square], modes: {square: warn}}}")
    assert modes(held, "round", "square") == {"deny.square": Mode.WARN}


def test_only_rules_that_ask_for_something_are_looked_at() -> None:
    """An empty list, false and `allow` ask for nothing; a door is no rule over a pod."""
    held = policy("rules: {deny: {parts: []}, many: {none: false}, look: {red: allow}, door: {open: deny}}")
    assert [active.rule.id for active in held.of("a").active] == ["look.unresolvable"]
    assert held.of("a").mode("door.open") is Mode.WARN


def test_a_parameter_counts_by_its_default_where_it_is_not_written() -> None:
    """A rule's check finds it beside its own value."""
    (active,) = policy("rules: {size: {most: 2}}").of("a").active
    assert active.group == {"most": 2, "times": 1}
    assert not judged(policy("rules: {size: {most: 2}}"), size="2")
    found = judged(policy("rules: {size: {most: 2, times: 3}}"), size="2")["size.most"]
    assert (found.found, found.wanted) == ("6", "at most 2")


def test_violations_come_in_the_order_of_the_table() -> None:
    """Not in that of the file, so that two versions of a policy can be compared."""
    held = policy("rules: {deny: {parts: [square, round]}, size: {most: 0}, look: {blue: deny, red: deny}}")
    found = judged(held, "red", "blue", "square", "round", size="1")
    assert list(found) == ["look.red", "look.blue", "size.most", "deny.square", "deny.round"]


OVERRIDES = (
    "rules: {size: {most: 8}, look: {red: warn}}, namespaces: ["
    "{match: 'team-*', rules: {size: {mode: enforce, most: 4}}}, "
    "{match: 'team-a', rules: {size: {most: 2}, look: {mode: enforce, red: deny}}}]"
)


@pytest.mark.parametrize(
    ("namespace", "most", "mode", "red"),
    [
        ("other", 8, Mode.WARN, Mode.WARN),
        ("team", 8, Mode.WARN, Mode.WARN),
        ("team-b", 4, Mode.ENFORCE, Mode.WARN),
        ("team-a", 2, Mode.ENFORCE, Mode.ENFORCE),
    ],
)
def test_matching_entries_are_laid_over_the_base_the_last_one_wins(
    namespace: str, most: int, mode: Mode, red: Mode
) -> None:
    """Field by field: what a later entry does not say stays as an earlier one said."""
    found = policy(OVERRIDES).of(namespace)
    values = {active.rule.id: active.value for active in found.active}
    assert (values.get("size.most"), found.mode("size.most"), found.mode("look.red")) == (most, mode, red)


def test_namespaces_with_the_same_entries_share_what_counts() -> None:
    """A cluster of thousands of namespaces costs no more than its policy has entries."""
    held = policy(OVERRIDES)
    assert held.of("team-b") is held.of("team-c")
    assert held.of("x") is held.of("y") is not held.of("team-b")


EXCEPTION = (
    "defaults: {mode: enforce}, rules: {look: {red: deny, blue: deny}, deny: {parts: [round, square]}}, "
    "exceptions: [{id: EX, rules: [%s], match: {%s}, reason: r, owner: o, expires: 2026-12-31T12:00:01Z}]"
)


def excepted(held: Policy, *labels: str, **more: Any) -> dict[str, str]:
    """Judge a pod with labels; gives the exception of each rule it breaks."""
    return {rule: violation.exception for rule, violation in judged(held, *labels, **more).items()}


def test_an_exception_lets_pass_what_it_names_and_nothing_else() -> None:
    """The violation stays, in its mode, with the exception's id."""
    held = policy(EXCEPTION % ("look.red", "namespace: a"))
    found = judged(held, "red", "blue")
    assert (found["look.red"].mode, found["look.red"].exception) == (Mode.ENFORCE, "EX")
    assert (found["look.blue"].mode, found["look.blue"].exception) == (Mode.ENFORCE, "")


def test_an_exception_stops_at_its_second() -> None:
    """Until then it lets the pod pass, from then on it does not."""
    held = policy(EXCEPTION % ("look.red", "namespace: a"))
    assert excepted(held, "red", now=NOW + 0.999) == {"look.red": "EX"}
    assert excepted(held, "red", now=NOW + 1) == {"look.red": ""}


@pytest.mark.parametrize(
    ("match", "passes"),
    [
        ("namespace: a", True),
        ("namespace: 'a*'", True),
        ("namespace: b", False),
        ("podName: 'deepseek-*'", True),
        ("podName: deepseek", False),
        ("labels: {team: 'x-*'}", True),
        ("labels: {team: y}", False),
        ("labels: {missing: '*'}", False),
        ("namespace: a, podName: 'deepseek-*', labels: {team: x-1}", True),
        ("namespace: b, podName: 'deepseek-*', labels: {team: x-1}", False),
        ("namespace: a, podName: 'qwen-*', labels: {team: x-1}", False),
    ],
)
def test_an_exception_is_for_pods_that_match_all_it_says(match: str, passes: bool) -> None:  # noqa: FBT001 - a column
    """By namespace, name and labels; `*` is any text. A workload's future pod is called `<name>-`."""
    held = policy(EXCEPTION % ("look.red", match))
    assert excepted(held, "red", name="deepseek-", team="x-1") == {"look.red": "EX" if passes else ""}


def test_an_exception_may_name_a_rule_or_one_of_its_parts() -> None:
    """The rule stands for all its parts."""
    part = policy(EXCEPTION % ("deny.round", "namespace: a"))
    assert excepted(part, "round", "square") == {"deny.round": "EX", "deny.square": ""}
    whole = policy(EXCEPTION % ("deny.parts", "namespace: a"))
    assert excepted(whole, "round", "square") == {"deny.round": "EX", "deny.square": "EX"}


def test_an_exception_of_what_nobody_asks_for_is_fine() -> None:
    """Exceptions may be written before the rule is switched on."""
    assert not judged(policy(EXCEPTION % ("size.most", "namespace: a")), size="9")


def _crowd(number: int, kind: str = "containers", label: str = "red") -> dict[str, Any]:
    """Give a pod with so many containers beside the one it has."""
    spec: dict[str, Any] = {"containers": [{"name": "a"}]}
    spec[kind] = [*spec.get(kind, ()), *({"name": f"c{index}"} for index in range(number))]
    return {"metadata": {"labels": {label: ""}}, "spec": spec}


@pytest.mark.parametrize("kind", ["initContainers", "containers", "ephemeralContainers"])
def test_a_pod_of_more_than_1000_containers_is_refused_for_that_alone(kind: str) -> None:
    """The 1001st container is one too many, in whichever list; no rule looks at such a pod any more."""
    held = policy("rules: {look: {mode: enforce, red: deny}}")
    kept, refused = (judge(held, "a", "p", Subject(_crowd(n, kind)), NOW).violations for n in (999, 1000))
    assert [violation.rule for violation in kept] == ["look.red"]
    assert [(v.rule, v.path, v.mode) for v in refused] == [("scope.maxContainers", "spec", Mode.ENFORCE)]
    assert refused[0].found == "1001 containers, more than are judged"


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ("rules: {look: {mode: warn, red: deny}}", Mode.WARN),
        ("rules: {look: {mode: audit, red: deny, blue: deny}, size: {mode: enforce, most: 1}}", Mode.ENFORCE),
        ("rules: {look: {mode: enforce, red: allow, blue: audit, unresolvable: audit}}", Mode.AUDIT),
        ("rules: {}", None),
    ],
)
def test_too_many_containers_count_as_much_as_the_strictest_rule(spec: str, mode: Mode | None) -> None:
    """What is not judged is refused where any rule refuses, and warned of where rules only warn."""
    found = judge(policy(spec), "a", "p", Subject(_crowd(1000)), NOW).violations
    assert [violation.mode for violation in found] == ([mode] if mode else [])


def test_no_exception_lets_too_many_containers_pass() -> None:
    """Exceptions from every rule there is leave a pod refused that is too large to be judged."""
    rules = "[look.red, look.blue, look.unresolvable]"
    expires = "reason: r, owner: o, expires: 2999-01-01"
    held = policy(
        f"rules: {{look: {{mode: enforce, red: deny}}}}, exceptions: [{{id: e, rules: {rules}, "
        f"match: {{namespace: a}}, {expires}}}]"
    )
    assert judge(held, "a", "p", Subject(_crowd(1)), NOW).excepted
    assert judge(held, "a", "p", Subject(_crowd(1000)), NOW).of(Mode.ENFORCE)


def test_an_update_of_a_pod_that_is_too_large_is_refused_whatever_it_was_before() -> None:
    """Nobody knows what the update brings in: that there were as many containers before does not count."""
    held = policy("rules: {look: {mode: enforce, red: deny}}")
    before = judge(held, "a", "p", Subject(_crowd(1000)), NOW)
    assert before.since(before).violations == before.violations


def test_thousands_of_findings_of_one_rule_are_cut_and_counted() -> None:
    """So that a pod made of nothing else costs no more than people can read."""
    pod = {"metadata": {"labels": {"many": "5000"}}, "spec": {}}
    violations = judge(policy("rules: {many: {none: true}}"), "a", "p", Subject(pod), NOW).violations
    assert len(violations) == 1001
    assert violations[-1][:4] == ("many.none", "spec", "4000 more of these", "none")
