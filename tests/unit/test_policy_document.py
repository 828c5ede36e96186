"""The policy file: its closed schema, what a mistake is told like, and overrides that only tighten."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent

import pytest

from webhook.config import ConfigError
from webhook.documents import DocumentError
from webhook.policy.document import expiry, parse
from webhook.policy.policy import Policy
from webhook.policy.table import GROUPS, RULES
from webhook.policy.verdict import Mode
from webhook.policy_file import shipped_path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "policy.yaml"
HEAD = """\
apiVersion: policy.litellm-registrar.io/v1
kind: ModelServerPolicy
metadata: {name: a}
spec:
"""


def policy(spec: str) -> Policy:
    """Read a policy of this spec; its first line is the fifth of the file."""
    return parse(HEAD + indent(spec, "  "), RULES)


def problems(text: str) -> list[str]:
    """Give what is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        parse(text, RULES)
    return caught.value.problems


def in_spec(spec: str) -> list[str]:
    """Give what is wrong with a spec."""
    return problems(HEAD + indent(spec, "  "))


def test_each_group_of_the_table_is_described() -> None:
    """And no group that is not there; no field is called like what every group has."""
    assert list(GROUPS) == list(dict.fromkeys(rule.group for rule in RULES))
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert not {"mode", "modes"} & {rule.field for rule in RULES}


def test_a_minimal_policy_is_taken() -> None:
    """It holds nobody to anything."""
    found = policy("rules: {}")
    assert (found.name, found.of("a").active) == ("a", ())


@pytest.mark.parametrize("path", [EXAMPLE, shipped_path()], ids=lambda path: path.name)
def test_the_policies_that_ship_are_taken(path: Path) -> None:
    """Each looks at something in every namespace."""
    assert parse(path.read_text(), RULES).of("anything").active


def test_the_policy_in_the_readme_is_taken() -> None:
    """What people copy first works."""
    blocks = (ROOT / "README.md").read_text().split("```")
    (text,) = (block.removeprefix("yaml\n") for block in blocks if "kind: ModelServerPolicy" in block)
    assert parse(text, RULES).name == "production"


def test_the_shipped_policy_refuses_nothing_as_it_stands() -> None:
    """It warns and counts; `enforce` in its defaults is what makes it refuse."""
    text = shipped_path().read_text()
    modes = {active.mode for active in parse(text, RULES).of("a").active}
    assert modes == {Mode.WARN, Mode.AUDIT}
    enforced = parse(text.replace("mode: warn", "mode: enforce", 1), RULES).of("a")
    assert enforced.mode("code.trustRemoteCode") is Mode.ENFORCE
    assert enforced.mode("images.forbidTags") is Mode.WARN


def test_the_hash_stands_for_the_content() -> None:
    """The same text has the same, in any process; another has another."""
    one, again, other = (policy(f"rules: {{}} # {note}").hash for note in "aab")
    assert one == again != other
    assert len(one) == 12


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "apiVersion: found null, allowed is policy.litellm-registrar.io/v1"),
        ("[]", "found a list, allowed is an object"),
        (HEAD.replace("/v1", "/v2"), "apiVersion (line 1): found 'policy.litellm-registrar.io/v2', allowed"),
        (HEAD.replace("Server", ""), "kind (line 2): found 'ModelPolicy', allowed is ModelServerPolicy"),
        (HEAD.replace("spec", "specs"), "specs (line 4): unknown, did you mean spec?"),
        (HEAD.replace("{name: a}", "{}"), "metadata (line 3): name must be there"),
        (HEAD.replace("name: a", "name: 5"), "metadata.name (line 3): found 5, allowed is"),
        (HEAD.replace("name: a", "name: a, x: 1"), "metadata.x (line 3): unknown; there is only name"),
        ("x" * 1_100_000, "found 1100000 characters, allowed are up to 1048576"),
        ("a: [" + "1," * 50_000 + "]", "too many values"),
    ],
)
def test_a_mistake_around_the_spec_has_its_line(text: str, told: str) -> None:
    """And what is allowed."""
    assert told in problems(text)[0]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("ruels: {}", "spec.ruels (line 5): unknown, did you mean rules?"),
        (
            "defaults: {mode: block}",
            "spec.defaults.mode (line 5): found 'block', allowed is `enforce`, `warn`",
        ),
        ("defaults: {workloads: audit}", "spec.defaults.workloads (line 5): found 'audit', allowed is"),
        (
            "rules:\n  acelerators: {}",
            "spec.rules.acelerators (line 6): unknown, did you mean accelerators?",
        ),
        (
            "rules:\n  accelerators:\n    maxPerPodd: 8",
            "spec.rules.accelerators.maxPerPodd (line 7): unknown, did you mean maxPerPod?",
        ),
        (
            "rules: {accelerators: {x: 8}}",
            "spec.rules.accelerators.x (line 5): unknown; there are mode, modes",
        ),
        ("rules: {code: {mode: deny}}", "spec.rules.code.mode (line 5): found 'deny', allowed is `enforce`"),
        ("rules: {code: {mode: }}", "spec.rules.code.mode (line 5): found null"),
        ("rules: {code: [mode]}", "spec.rules.code (line 5): found a list, allowed is an object"),
        (
            "rules: {code: {modes: {trustRemotCode: warn}}}",
            "spec.rules.code.modes.trustRemotCode (line 5): unknown, did you mean trustRemoteCode?",
        ),
        (
            "rules:\n  modelSources:\n    allow:\n    - hf://a/*\n    - a",
            "spec.rules.modelSources.allow[1] (line 9): 'a' has no scheme",
        ),
        (
            "rules:\n  modelSources:\n    localPaths: {backedBy: [pvc, pcv]}",
            "spec.rules.modelSources.localPaths.backedBy[1] (line 7): found 'pcv'",
        ),
        ("namespaces: {}", "spec.namespaces (line 5): found a JSON object, allowed is a list"),
        ("namespaces: [{rules: {}}]", "spec.namespaces[0] (line 5): match must be there"),
        ("namespaces: [{match: a/b, rules: {}}]", "spec.namespaces[0].match (line 5): 'a/b' has a slash"),
        (
            "namespaces: [{match: a, rule: {}}]",
            "spec.namespaces[0].rule (line 5): unknown, did you mean rules?",
        ),
        (
            "delegate: [code.trustRemotCode]",
            "spec.delegate[0] (line 5): found 'code.trustRemotCode', allowed is",
        ),
        ("delegate: code.plugins", "spec.delegate (line 5): found 'code.plugins', allowed is a list of"),
        ("rules: &a {}", "an anchor, &a, is not taken"),
        ("rules: {code: {trustRemoteCode: 2026-01-01}}", "could be a date or text: put it in quotes"),
    ],
)
def test_a_mistake_in_the_spec_has_its_path_its_line_and_the_nearest_name(spec: str, told: str) -> None:
    """Nothing is guessed, and nothing is taken in silence."""
    assert told in in_spec(spec)[0]


EXCEPTION = """\
exceptions:
- id: EX-1
  rules: [code.trustRemoteCode]
  match: {namespace: research}
  reason: not yet in vLLM
  owner: team-research
  expires: 2026-12-31
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("EX-1", "E X", "exceptions[0].id (line 6): found 'E X', allowed are 1 to 63 letters"),
        (".trustRemoteCode", ".trustRemotCode", "rules[0] (line 7): found 'code.trustRemotCode', allowed is"),
        ("code.trustRemoteCode", "trustRemoteCode", "did you mean code.trustRemoteCode?"),
        ("[code.trustRemoteCode]", "[]", "rules (line 7): found an empty list, allowed is at least one rule"),
        ("{namespace: research}", "{}", "match (line 8): must say at least one of namespace, podName and"),
        ("namespace:", "namspace:", "match.namspace (line 8): unknown, did you mean namespace?"),
        ("namespace: research", "labels: {a: 5}", "match.labels.a (line 8): found 5, allowed is one name"),
        (
            "reason: not yet in vLLM",
            'reason: ""',
            "reason (line 9): found '', allowed is 1 to 1024 characters",
        ),
        ("  owner: team-research\n", "", "exceptions[0] (line 6): owner must be there"),
        ("2026-12-31", "2026-02-30", "expires (line 11): found '2026-02-30', which is no date; allowed is"),
        ("2026-12-31", "31.12.2026", "expires (line 11): found '31.12.2026', allowed is a date like"),
        ("2026-12-31", "20261231", "expires (line 11): found 20261231, allowed is a date like"),
    ],
)
def test_a_mistake_in_an_exception_is_told(old: str, new: str, told: str) -> None:
    """An exception is for named rules, for somebody, for a reason, has an owner and ends."""
    assert told in in_spec(EXCEPTION.replace(old, new))[0]


def test_all_mistakes_in_an_exception_are_told_at_once() -> None:
    """What is not there does not keep the rest from being looked at."""
    told = in_spec(EXCEPTION.replace("  owner: team-research\n", "").replace("2026-12-31", "never"))
    assert [text.partition(" (")[0] for text in told] == [
        "spec.exceptions[0]",
        "spec.exceptions[0].expires",
    ]


def test_a_name_that_is_missing_is_told_once() -> None:
    """Only that it must be there."""
    assert problems(HEAD.replace("{name: a}", "{}")) == ["metadata (line 3): name must be there"]


def test_an_exceptions_id_is_its_own() -> None:
    """It is what metrics and audit annotations tell."""
    twice = EXCEPTION + EXCEPTION.partition("\n")[2]
    assert in_spec(twice) == ["spec.exceptions[1].id (line 12): 'EX-1' is there twice"]


def test_every_mistake_is_told_at_once() -> None:
    """Whoever mends the file sees all there is."""
    spec = "defaults: {mod: warn}\nrules: {code: {devMode: 1, plugins: {}}}\ndelegate: [x]\n" + EXCEPTION
    found = in_spec(spec.replace("match", "mtach"))
    assert [problem.partition(" ")[0] for problem in found] == [
        "spec.defaults.mod",
        "spec.rules.code.plugins",
        "spec.rules.code.devMode",
        "spec.delegate[0]",
        "spec.exceptions[0].mtach",
        "spec.exceptions[0]",
    ]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2028-02-29", datetime(2028, 3, 1, tzinfo=UTC)),
        ("2026-12-31T18:00:01Z", datetime(2026, 12, 31, 18, 0, 1, tzinfo=UTC)),
        ("2026-12-31T18:00:00+02:00", datetime(2026, 12, 31, 16, tzinfo=UTC)),
        ("2026-12-31T23:30:00-01:30", datetime(2027, 1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_date_counts_to_its_end_and_a_time_to_its_second(text: str, end: datetime) -> None:
    """Dates end in UTC; a time says its own offset."""
    assert expiry(text) == end.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "2026-13-01",
        "2026-00-01",
        "2026-01-00",
        "2027-02-29",
        "1969-12-31",
        "0000-01-01",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:60",
        "2026-01-01T00:00:00",
        "2026-1-1",
        "",
        None,
        20270101,
    ],
)
def test_what_is_no_date_is_refused(text: object) -> None:
    """No exception lives longer than its author thought."""
    with pytest.raises(DocumentError, match="allowed is a date like 2026-12-31"):
        expiry(text)


BASE = """\
rules:
  code: {mode: warn, modes: {devMode: enforce}, trustRemoteCode: deny, shellEntrypoint: warn, devMode: deny}
  accelerators: {mode: enforce, maxPerPod: 4}
  modelSources: {mode: enforce, allow: ["hf://meta-llama/*", "s3://models/**"]}
  podSecurity: {mode: enforce, deny: [hostPath, hostPID], modes: {hostPID: warn}}
namespaces:
- match: team-*
  rules: {%s}
"""


@pytest.mark.parametrize(
    "rules",
    [
        "accelerators: {maxPerPod: 2}",
        "accelerators: {maxPerContainer: 2}",
        "code: {mode: enforce}",
        "code: {mode: audit, modes: {trustRemoteCode: warn, shellEntrypoint: warn, unresolvable: enforce}}",
        "code: {shellEntrypoint: deny}",
        "code: {trustRemoteCode: warn}",
        "code: {plugins: {allow: []}}",
        'modelSources: {allow: ["hf://meta-llama/Llama-3*", "s3://models/team/**"]}',
        "modelSources: {requireRevision: commit}",
        "podSecurity: {deny: [hostPID, hostPath, privileged], modes: {hostPID: enforce}}",
        "egress: {mode: audit, proxyEnv: deny}",
    ],
)
def test_a_namespace_may_be_held_to_more(rules: str) -> None:
    """A smaller ceiling, a shorter list, a stricter mode, a rule more."""
    assert policy(BASE % rules).of("team-a").active


@pytest.mark.parametrize(
    ("rules", "path", "rule"),
    [
        ("accelerators: {maxPerPod: 5}", "accelerators.maxPerPod", "accelerators.maxPerPod"),
        ("accelerators: {mode: warn}", "accelerators.mode", "accelerators.maxPerPod"),
        ('accelerators: {resources: ["nvidia.com/gpu"]}', "accelerators.resources", "accelerators.resources"),
        ("code: {trustRemoteCode: audit}", "code.trustRemoteCode", "code.trustRemoteCode"),
        ("code: {shellEntrypoint: allow}", "code.shellEntrypoint", "code.shellEntrypoint"),
        ("code: {modes: {devMode: warn}}", "code.modes.devMode", "code.devMode"),
        ("code: {unresolvable: audit}", "code.unresolvable", "code.unresolvable"),
        ('modelSources: {allow: ["hf://*/*"]}', "modelSources.allow", "modelSources.allow"),
        (
            "modelSources: {localPaths: {readOnly: true}}",
            "modelSources.localPaths",
            "modelSources.localPaths",
        ),
        ("podSecurity: {deny: [hostPath]}", "podSecurity.deny", "podSecurity.deny"),
        ("podSecurity: {modes: {hostPath: warn}}", "podSecurity.modes.hostPath", "podSecurity.deny"),
        ("podSecurity: {modes: {hostPID: audit}}", "podSecurity.modes.hostPID", "podSecurity.deny"),
    ],
)
def test_a_loosening_entry_is_refused_unless_it_is_delegated(rules: str, path: str, rule: str) -> None:
    """The refusal names the entry's path, its line and the rule to delegate."""
    spec = BASE % rules
    (told,) = in_spec(spec)
    assert told.startswith(f"spec.namespaces[0].rules.{path} (line 12): allows more than spec.rules;")
    assert told.endswith(f"that takes {rule} in spec.delegate")
    assert policy(f"{spec}delegate: [{rule}]").of("team-a").active


def test_delegation_is_of_one_rule() -> None:
    """What else the entry loosens stays refused."""
    spec = BASE % "code: {mode: audit}" + "delegate: [code.trustRemoteCode]"
    assert [problem.rpartition("takes ")[2] for problem in in_spec(spec)] == [
        "code.shellEntrypoint in spec.delegate",
        "code.unresolvable in spec.delegate",
    ]
