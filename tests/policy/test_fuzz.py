"""Whatever a pod looks like, it is read and judged: nothing raises, nothing hangs."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, Final

import pytest

from sidecar.contract import Engine
from tests.golden.cases import cases as golden_cases
from tests.policy.evasions.cases import cases as evasion_cases
from tests.policy.honest.corpus import FOLDER, manifests, paths
from tests.policy.hostile import pod, shapes
from webhook.made import made
from webhook.policy.document import parse
from webhook.policy.judge import judge
from webhook.policy.policy import Policy
from webhook.policy.scope import unlabelled
from webhook.policy.subject import Subject
from webhook.policy.table import RULES
from webhook.policy.verdict import LENGTH

PODS: Final = 10_000
# In characters: what takes quadratic time here does not end within the test's time.
HOSTILE: Final = 300_000
POLICY: Final = parse((FOLDER / "policy.yaml").read_text(), RULES)
POLICY_TEXT: Final = (
    "{apiVersion: policy.litellm-registrar.io/v1, kind: ModelServerPolicy, metadata: {name: t}, "
    "spec: {defaults: {mode: enforce}, rules: {modelSources: {allow: [PATTERN]}}}}"
)
ENGINES: Final = (None, *Engine)
# What a value is changed to.
ODD: Final[tuple[Any, ...]] = (
    *(
        None,
        True,
        0,
        -1,
        1.5,
        10**30,
        "",
        "\0",
        "\ud800",
        "a" * 5000,
        "$(X)",
        "$",
        "`",
        "'",
        '"',
        "\\",
        "{",
        "[",
    ),
    *(
        "--",
        "-",
        "--model",
        "--model=",
        "--trust-rem",
        "sh",
        "-c",
        "&&",
        "ollama",
        "latest",
        "..",
        "@",
        ":",
        "://",
    ),
    *("hf://", "\u202e", "\n", [], {}, [None], [[[]]], {"name": None}, {"": ""}),
)


def seeds() -> list[dict[str, Any]]:
    """Give the pods of all corpora: honest ones, golden ones and evasions."""
    found = [
        one.pod
        for path in paths()
        for item in manifests(path)
        for one in made(item.manifest.kind, item.manifest.obj)
    ]
    found += [step.obj for case in golden_cases() for step in case.steps() if step.obj["kind"] == "Pod"]
    found += [case.denied.pod for case in evasion_cases()]
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give every place in a value: what holds it, and under which key or index."""
    for key in (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    ):
        yield value, key
        yield from places(value[key])


def mutated(obj: dict[str, Any], rng: random.Random, others: list[dict[str, Any]]) -> dict[str, Any]:
    """Give a copy that was changed at one to five places, at any depth."""
    changed = copy.deepcopy(obj)
    for _ in range(rng.randint(1, 5)):
        where = list(places(changed))
        if not where:
            break
        holder, key = rng.choice(where)
        value = holder[key]
        match rng.randrange(6):
            case 0:
                holder[key] = copy.deepcopy(rng.choice(ODD))
            case 1:
                del holder[key]
            case 2:  # a part of another pod in its place
                from_holder, from_key = rng.choice(list(places(rng.choice(others))))
                holder[key] = copy.deepcopy(from_holder[from_key])
            case 3 if isinstance(value, str):
                cut = rng.randint(0, len(value))
                holder[key] = value[:cut] + str(rng.choice(ODD)) + value[cut:]
            case 4 if isinstance(value, list) and value:
                value.insert(rng.randint(0, len(value)), copy.deepcopy(rng.choice(value)))
            case _ if isinstance(holder, dict):
                holder[str(rng.choice(ODD))] = holder.pop(key)
            case _:
                holder[key] = [value]
    return changed


def verdict(obj: dict[str, Any], policy: Policy = POLICY, engine: Engine | None = Engine.VLLM) -> None:
    """Judge a pod by every rule, as labelled and as unlabelled."""
    subject = Subject(obj, engine, "spec", "registry.example.com/registrar:1")
    for violation in judge(policy, "ns", "name", subject, 0.0).violations:
        assert violation.path.startswith(("spec", "metadata")), violation
        assert len(str(violation)) <= LENGTH
        assert str(violation).isprintable()
    list(unlabelled(Subject(obj, None, "spec")))


def test_ten_thousand_fuzzed_pods_are_judged() -> None:
    """Pods changed at random at all depths are judged without an exception, in bounded, printable texts."""
    rng = random.Random(20261121)  # noqa: S311 - the same pods every time
    corpus = seeds()
    for number in range(PODS):
        obj = mutated(corpus[number % len(corpus)], rng, corpus)
        try:
            verdict(obj, engine=ENGINES[number % len(ENGINES)])
        except Exception as error:
            raise AssertionError(f"pod {number}: {json.dumps(obj)[:2000]}") from error


@pytest.mark.parametrize(("name", "hostile"), [pytest.param(*s, id=s[0]) for s in shapes(HOSTILE)])
def test_no_shape_of_input_hangs(name: str, hostile: dict[str, Any]) -> None:
    """A large pod of any shape is judged within the time a test has: nothing takes quadratic time."""
    assert name
    verdict(hostile)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("hf://" + "*a" * 200 + "/x", "hf://" + "a" * 100_000 + "/y"),
        ("s3://b/" + "**/" * 8 + "x", "s3://b/" + "a/" * 50_000 + "y"),
        ("s3://b/" + "**/*a*a*/" * 8 + "x", "s3://b/" + "aa/" * 30_000 + "y"),
        ("s3://" + "*/" * 200 + "x", "s3://" + "a/" * 50_000 + "y"),
    ],
)
def test_no_pattern_hangs(pattern: str, text: str) -> None:
    """Patterns with as many stars as are taken are held against long texts within the test's time."""
    policy = POLICY_TEXT.replace("PATTERN", json.dumps(pattern))
    args = {"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["--model", text]}
    verdict(pod([args]), parse(policy, RULES))
