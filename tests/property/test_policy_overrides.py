"""The law of overrides: an entry of `namespaces` that is taken refuses whatever the base refuses."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sidecar.contract import Engine
from webhook.config import ConfigError
from webhook.policy.document import API_VERSION, KIND, parse
from webhook.policy.judge import judge
from webhook.policy.kinds import Ceiling, Choice, Flag, Revision
from webhook.policy.policy import Policy
from webhook.policy.rule import Rule
from webhook.policy.subject import Subject
from webhook.policy.table import RULES
from webhook.policy.verdict import Mode
from webhook.sources.found import (
    Backing,
    Extract,
    Local,
    Location,
    Role,
    Source,
    Switch,
    SwitchName,
    Unknown,
    Unresolvable,
)

# Values, some of them tighter than others, of the kinds that have no few words.
VALUES: Final[dict[str, list[Any]]] = {
    "modelSources.allow": [[], ["hf://a/*"], ["hf://a/b"], ["hf://*/*", "file://**"], ["**"]],
    "modelSources.hubEndpoints": [[], ["https://huggingface.co"], ["https://huggingface.co", "https://hub"]],
    "modelSources.localPaths": [
        {},
        {"allow": ["/m/**"]},
        {"allow": ["/m/**", "/n"], "readOnly": True},
        {"backedBy": ["pvc"]},
        {"backedBy": ["pvc", "hostPath"], "readOnly": False},
    ],
    "code.plugins": [{"allow": []}, {"allow": ["x"]}, {"allow": ["x", "y"]}],
    "images.allow": [["vllm/*"], ["vllm/vllm-openai", "docker.io/library/*"], ["**"], []],
    "images.forbidTags": [[], ["latest"], ["latest", "nightly*"]],
    "accelerators.resources": [["nvidia.com/gpu"], ["nvidia.com/*", "amd.com/gpu"]],
    "resources.requireLimits": [[], ["memory"], ["cpu", "memory"]],
    "resources.requireRequests": [[], ["memory"], ["cpu", "memory"]],
    "resources.max": [{}, {"memory": "4Gi"}, {"memory": "2Gi", "cpu": 2}],
    "resources.maxPerContainer": [{}, {"memory": "2Gi"}, {"memory": "1Gi", "cpu": 1}],
    "resources.shmSizeLimit": ["required", "1Gi", "2Gi"],
    "podSecurity.deny": [[], ["hostPath"], ["hostPath", "hostNetwork", "privileged", "runAsRoot"]],
    "egress.requireLabel": [{"key": "a", "values": ["x"]}, {"key": "a", "values": ["x", "y"]}],
    "metadata.requireLabels": [[], ["a"], {"a": ["x*"]}, {"a": ["x"], "b": []}],
    "metadata.requireAnnotations": [["c"], {"c": ["z"]}],
    "probes.require": [[], ["readiness"], ["readiness", "liveness"]],
}


def values_of(rule: Rule) -> st.SearchStrategy[Any]:
    """Give some of the values a rule takes."""
    kinds: dict[type, list[Any]] = {
        Choice: ["deny", "warn", "audit", "allow"],
        Flag: [True, False],
        Revision: ["none", "any", "commit"],
        Ceiling: [0, 1, 2, 4],
    }
    return st.sampled_from(kinds.get(type(rule.kind)) or VALUES[rule.id])


def said(name: str, keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Give what a place of the policy may say of a group: modes, and values of some of these fields."""
    rules = {rule.field: rule for rule in RULES if rule.group == name}
    mode = st.sampled_from([str(mode) for mode in Mode])
    named = st.sampled_from([key for rule in rules.values() for key in (rule.field, *rule.parts)])
    modes = st.fixed_dictionaries(
        {}, optional={"mode": mode, "modes": st.dictionaries(named, mode, max_size=2)}
    )
    fields = keys.flatmap(lambda names: st.fixed_dictionaries({key: values_of(rules[key]) for key in names}))
    return st.builds(lambda some, others: some | others, st.just({}) | modes, fields)


def pair(name: str) -> st.SearchStrategy[tuple[dict[str, Any], dict[str, Any]]]:
    """Give a base that says much of a group, and an entry that says little of it."""
    fields = st.sampled_from([rule.field for rule in RULES if rule.group == name])
    base = said(name, st.sets(fields, min_size=1)).map(lambda value: {name: value})
    return st.tuples(base, said(name, st.sets(fields, max_size=2)).map(lambda value: {name: value}))


GROUPS: Final = tuple(dict.fromkeys(rule.group for rule in RULES))
PLACES: Final = st.sampled_from(GROUPS).flatmap(pair)
DEFAULTS: Final = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["enforce", "warn"]),
        "onUnresolvable": st.sampled_from(["deny", "warn", "allow"]),
    },
)


def read(base: Any, entries: list[Any], defaults: Any) -> Policy | None:
    """Read a policy; None if it is not taken."""
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "drawn"},
        "spec": {
            "defaults": defaults,
            "rules": base,
            "namespaces": [{"match": "held", "rules": entry} for entry in entries],
        },
    }
    try:
        return parse(json.dumps(document), RULES)
    except ConfigError:
        return None


RESOURCES: Final = st.dictionaries(
    st.sampled_from(["cpu", "memory", "nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g"]),
    st.sampled_from(["1", "2", "3Gi"]),
    max_size=4,
)
CONTAINER: Final = st.fixed_dictionaries(
    {"name": st.just("c")},
    optional={
        "image": st.sampled_from(["vllm/vllm-openai:latest", "vllm/x:1", "alpine", "a.example/x@sha256:x"]),
        "resources": st.fixed_dictionaries({"limits": RESOURCES, "requests": RESOURCES}),
        "securityContext": st.sampled_from([{"privileged": True}, {"runAsUser": 0}]),
        "readinessProbe": st.just({"tcpSocket": {"port": 1}}),
        "volumeMounts": st.just([{"name": "v", "mountPath": "/dev/shm"}]),  # noqa: S108 - a mount in a pod
        "env": st.just(
            [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}, {"name": "http_proxy", "value": "x"}]
        ),
    },
)
LABELS: Final = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y", "z"]), max_size=3)
PODS: Final = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries({"labels": LABELS, "annotations": LABELS}),
        "spec": st.fixed_dictionaries(
            {"containers": st.lists(CONTAINER, min_size=1, max_size=2)},
            optional={
                "hostNetwork": st.just(True),
                "automountServiceAccountToken": st.just(False),
                "resourceClaims": st.just([{"name": "gpu"}]),
                "volumes": st.sampled_from(
                    [
                        [{"name": "v", "hostPath": {"path": "/"}}],
                        [{"name": "v", "emptyDir": {"medium": "Memory"}}],
                        [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}],
                    ]
                ),
            },
        ),
    }
)
AT: Final = "spec.containers[0].args[0]"
SOURCES: Final = st.builds(
    lambda location, local: Source(Role.MODEL, location, AT, "c", local),
    st.sampled_from(
        [
            Location("hf", "a/b"),
            Location("hf", "a/c", revision="f" * 40),
            Location("hf", "a-evil/b", revision="main"),
            Location("file", "m/x"),
            Location("pvc", "claim/x"),
            Location("ollama", "registry.ollama.ai/library/x", "1b-cloud"),
        ]
    ),
    st.none()
    | st.builds(
        Local,
        st.sampled_from(["/m/x", "/n", "/o"]),
        st.sampled_from([Backing.PVC, Backing.HOST_PATH, Backing.IMAGE]),
        st.booleans(),
    ),
)
SWITCHES: Final = st.builds(
    Switch,
    st.sampled_from(SwitchName),
    st.sampled_from(["x", "2", "https://hub", "https://elsewhere"]),
    st.just(AT),
    st.just("c"),
)
UNRESOLVED: Final = st.builds(
    Unresolvable,
    st.sampled_from([None, Role.MODEL, SwitchName.PLUGIN]),
    st.just(Unknown.SCRIPT),
    st.just("a script"),
    st.just(AT),
    st.just("c"),
)
EXTRACTS: Final = st.builds(
    Extract,
    st.lists(SOURCES, min_size=1, max_size=2).map(tuple),
    st.lists(SWITCHES, max_size=3).map(tuple),
    st.lists(UNRESOLVED, max_size=1).map(tuple),
)


def strictest(policy: Policy, namespace: str, pod: Any, found: Extract) -> dict[str, int]:
    """Judge a pod; gives how strict the strictest violation of each rule is."""
    subject = Subject(pod, Engine.VLLM)
    vars(subject)["extract"] = found
    by_rule: dict[str, int] = {}
    for violation in judge(policy, namespace, "p", subject, 0).violations:
        by_rule[violation.rule] = max(violation.mode.strictness, by_rule.get(violation.rule, 0))
    return by_rule


# Entries that a look at their own field alone would take for tighter.
GPUS: Final = {"resources": ["nvidia.com/*", "amd.com/gpu"], "maxPerPod": 1}
AMD: Final = {"spec": {"containers": [{"name": "c", "resources": {"limits": {"amd.com/gpu": "2"}}}]}}
OF_IMAGE: Final = Source(Role.MODEL, Location("file", "m/x"), AT, "c", Local("/m/x", Backing.CONTAINER))
FEWER_COUNT: Final[tuple[Any, Any]] = (
    {"accelerators": GPUS},
    {"accelerators": {"resources": ["nvidia.com/gpu"]}},
)
TAKEN_OVER: Final[tuple[Any, Any]] = (
    {"modelSources": {"allow": ["hf://a/*"]}},
    {"modelSources": {"localPaths": {}}},
)
WIDER: Final[tuple[Any, Any]] = (
    {"modelSources": {"allow": ["hf://a/*"]}},
    {"modelSources": {"allow": ["hf://a*/*"]}},
)
EVIL: Final = Extract((Source(Role.MODEL, Location("hf", "a-evil/b"), AT, "c"),))


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
@given(PLACES, PLACES, DEFAULTS, PODS, EXTRACTS)
@example(FEWER_COUNT, ({}, {}), {}, AMD, Extract())
@example(TAKEN_OVER, ({}, {}), {}, AMD, Extract((OF_IMAGE,)))
@example(WIDER, ({}, {}), {}, AMD, EVIL)
def test_an_entry_that_is_taken_never_lets_pass_what_the_base_refuses(
    one: Any, other: Any, defaults: Any, pod: Any, found: Extract
) -> None:
    """What breaks a rule of the base breaks it under the entries too, in a mode at least as strict."""
    base = {**one[0], **other[0]}
    policy = read(base, [one[1], other[1]], defaults)
    if policy is None:
        return
    plain, held = (strictest(policy, namespace, pod, found) for namespace in ("free", "held"))
    assert all(held.get(rule, 0) >= mode for rule, mode in plain.items()), (base, one[1], other[1])
