"""What lint tells of a policy file beside its errors."""

from __future__ import annotations

from datetime import UTC, datetime
from textwrap import indent

import pytest

from webhook.policy.lint import lint
from webhook.policy.table import RULES
from webhook.policy_file import shipped_path

NOW = datetime(2026, 12, 31, tzinfo=UTC).timestamp()
HEAD = """\
apiVersion: policy.litellm-registrar.io/v1
kind: ModelServerPolicy
metadata: {name: a}
spec:
"""


def warnings(spec: str) -> list[str]:
    """Give what is told of a policy of this spec, whose first line is the fifth of the file."""
    found = lint(HEAD + indent(spec, "  "), RULES, NOW)
    assert not found.errors
    return list(found.warnings)


def test_what_keeps_a_policy_from_being_taken_is_an_error() -> None:
    """Nothing else is told then: it would be of a policy that nobody meant."""
    found = lint(HEAD + "  rules: {cod: {}}\n", RULES, NOW)
    assert (found.errors, found.warnings) == (
        ("spec.rules.cod (line 5): unknown, did you mean code?",),
        (),
    )


def test_the_shipped_policy_has_nothing_to_be_told() -> None:
    """Who copies it begins with a clean one."""
    assert lint(shipped_path().read_text(), RULES, NOW) == ((), ())


@pytest.mark.parametrize(
    ("expires", "told"),
    [
        ("2026-12-30", ["EX has expired: it lets nothing pass"]),
        ("2026-12-31T00:00:00Z", ["EX has expired: it lets nothing pass"]),
        ("2026-12-31T00:00:01Z", ["EX expires within a day; o owns it"]),
        ("2026-12-31", ["EX expires in 1 day; o owns it"]),
        ("2027-01-14T00:00:00Z", ["EX expires in 14 days; o owns it"]),
        ("2027-01-14T00:00:01Z", []),
    ],
)
def test_an_exception_is_told_two_weeks_before_it_ends(expires: str, told: list[str]) -> None:
    """And from then on, as of the time that is handed in."""
    exception = "{id: EX, rules: [code.devMode], match: {namespace: a}, reason: r, owner: o, expires: "
    exception += f"{expires}}}"
    prefix = "spec.exceptions[0].expires (line 5): "
    assert warnings(f"exceptions: [{exception}]\nrules: {{code: {{devMode: deny}}}}") == [
        prefix + text for text in told
    ]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            "rules:\n  modelSources:\n    allow:\n    - hf://a/*\n    - hf://a/b",
            "modelSources.allow[1] (line 9): 'hf://a/b' is not needed: 'hf://a/*' covers it",
        ),
        (
            'rules: {modelSources: {localPaths: {allow: ["/m/**", "/m/x"]}}}',
            "modelSources.localPaths.allow[1] (line 5): '/m/x' is not needed: '/m/**' covers it",
        ),
        (
            'rules: {images: {allow: ["vllm/a", "docker.io/b/c", "vllm/a"]}}',
            "images.allow[2] (line 5): 'vllm/a' is not needed: 'vllm/a' covers it",
        ),
        ("rules: {images: {mode: warn}}", "images (line 5): asks for nothing: none of its fields is there"),
        ("rules: {images: {allow: []}}", "images.allow (line 5): an empty list allows nothing"),
        (
            "rules: {modelSources: {hubEndpoints: []}}",
            "modelSources.hubEndpoints (line 5): an empty list allows nothing",
        ),
        (
            "rules: {accelerators: {mode: off, maxPerPod: 5}}",
            "accelerators.maxPerPod (line 5): is set, but its mode is off: nothing is looked at",
        ),
        (
            "rules: {code: {modes: {devMode: off}, devMode: deny}}",
            "code.devMode (line 5): is set, but its mode is off: nothing is looked at",
        ),
    ],
)
def test_a_rule_that_does_not_say_what_it_seems_to_is_told(spec: str, told: str) -> None:
    """A pattern too many, a list that allows nothing, a rule that is switched off."""
    assert warnings(spec) == [f"spec.rules.{told}"]


def test_a_policy_without_rules_is_told() -> None:
    """It judges nothing; one whose rules are those of namespaces does."""
    assert warnings("rules: {}") == ["spec.rules (line 5): there are no rules: nothing is judged"]
    assert not warnings("namespaces: [{match: a, rules: {accelerators: {maxPerPod: 2}}}]")


def test_a_group_that_only_says_how_strict_it_is_elsewhere_is_fine() -> None:
    """Its fields are those of namespaces; what cannot be known is asked for wherever `code` is there."""
    assert not warnings(
        "rules: {images: {mode: warn}, code: {mode: enforce}}\n"
        "namespaces: [{match: a, rules: {images: {requireDigest: true}}}]"
    )


def test_an_empty_list_of_plug_ins_says_what_it_means() -> None:
    """It is how no plug-in is allowed."""
    assert not warnings("rules: {code: {plugins: {allow: []}}}")


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("{match: a, rules: {}}", "", ["[0] (line 7): changes nothing: spec.rules says the same"]),
        (
            "{match: a, rules: {accelerators: {maxPerPod: 8}}}",
            "",
            ["[0] (line 7): changes nothing: spec.rules says the same"],
        ),
        (
            "{match: a, rules: {accelerators: {maxPerPod: 2}}}",
            "{match: 'a*', rules: {accelerators: {maxPerPod: 4, resourceClaims: deny}}}",
            ["[0] (line 7): never counts: namespaces[1] says all of it for the same namespaces"],
        ),
        (
            "{match: 'a*', rules: {accelerators: {maxPerPod: 4}}}",
            "{match: ab, rules: {accelerators: {maxPerPod: 2}}}",
            [],
        ),
        (
            "{match: a, rules: {accelerators: {maxPerPod: 2, maxPerContainer: 1}}}",
            "{match: a, rules: {accelerators: {maxPerPod: 4}}}",
            [],
        ),
        ("{match: a, rules: {accelerators: {mode: enforce}}}", "", []),
        ("{match: a, rules: {code: {devMode: deny}}}", "", []),
    ],
)
def test_an_entry_of_namespaces_that_never_matters_is_told(first: str, second: str, told: list[str]) -> None:
    """One that changes nothing, or that a later one replaces wherever it counts."""
    spec = f"rules: {{accelerators: {{maxPerPod: 8}}}}\nnamespaces:\n- {first}\n"
    spec += f"- {second}\n" if second else ""
    assert warnings(spec) == [f"spec.namespaces{text}" for text in told]


def test_an_entry_is_looked_at_like_the_base() -> None:
    """Its lists and its modes, too."""
    spec = "namespaces: [{match: a, rules: {accelerators: {mode: off, maxPerPod: 1}}}]"
    path = "spec.namespaces[0].rules.accelerators.maxPerPod (line 5)"
    assert warnings(spec)[0] == f"{path}: is set, but its mode is off: nothing is looked at"


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("accelerators: {maxPerPod: 9}", []),
        ("accelerators: {maxPerContainer: 1}", ["accelerators.maxPerPod"]),
        ("accelerators: {mode: audit}", []),
        ("code: {devMode: deny}", ["accelerators.maxPerPod"]),
    ],
)
def test_what_is_delegated_to_nobody_is_told(rules: str, told: list[str]) -> None:
    """No entry uses it: the base may as well be fixed."""
    spec = (
        "delegate: [accelerators.maxPerPod]\nrules: {accelerators: {maxPerPod: 8}}\n"
        f"namespaces: [{{match: a, rules: {{{rules}}}}}]"
    )
    prefix, end = "spec.delegate (line 5): ", " is delegated, and no entry of namespaces touches it"
    assert warnings(spec) == [f"{prefix}{rule}{end}" for rule in told]
