"""Laws of the rules that read a pod's own fields: whatever the pod looks like, they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.contract import Engine
from tests.rules import OWN_IMAGE
from webhook.policy.pod_security import PARTS
from webhook.policy.rule import Rule
from webhook.policy.subject import Subject
from webhook.policy.table import RULES
from webhook.policy.verdict import Finding
from webhook.sources.found import Extract, Switch, SwitchName

# Every field of these groups, in the strictest form that finds much.
POLICY: dict[str, dict[str, Any]] = {
    "accelerators": {
        "resources": ["nvidia.com/*", "a/*"],
        "maxPerPod": 1,
        "maxPerContainer": 0,
        "resourceClaims": "deny",
        "visibleDevicesEnv": "deny",
        "matchParallelism": "deny",
    },
    "resources": {
        "requireLimits": ["memory", "cpu"],
        "requireRequests": ["memory", "cpu"],
        "max": {"cpu": 1, "memory": "1Gi"},
        "maxPerContainer": {"cpu": 1, "memory": "1Gi"},
        "shmSizeLimit": "1Gi",
    },
    "images": {"allow": ["a/*"], "forbidTags": ["latest", "*-x"], "requireDigest": True},
    "podSecurity": {"deny": list(PARTS), "serviceAccountToken": "deny"},
    "metadata": {"requireLabels": {"a": ["b*"]}, "requireAnnotations": ["a"]},
    "probes": {"require": ["readiness", "startup", "liveness"]},
}
OURS = [rule for rule in RULES if rule.group in POLICY]
VALUES: Mapping[str, Mapping[str, Any]] = {
    group: {rule.field: rule.kind.parse(fields[rule.field]) for rule in OURS if rule.group == group}
    for group, fields in POLICY.items()
}

# Names that the rules look at, so that what is drawn gets past the first look.
KEYS = st.sampled_from(
    [
        *("metadata", "labels", "annotations", "spec", "containers", "initContainers", "ephemeralContainers"),
        *("name", "image", "reference", "env", "value", "valueFrom", "args", "command", "restartPolicy"),
        *("resources", "limits", "requests", "claims", "cpu", "memory", "nvidia.com/gpu", "resourceClaims"),
        *("volumes", "volumeMounts", "mountPath", "emptyDir", "medium", "sizeLimit", "hostPath", "projected"),
        *("sources", "serviceAccountToken", "audience", "securityContext", "capabilities", "add", "drop"),
        *("seccompProfile", "type", "seLinuxOptions", "sysctls", "ports", "hostPort", "containerPort"),
        *("readinessProbe", "httpGet", "host", "lifecycle", "preStop", "hostNetwork", "hostUsers", "a"),
        *("privileged", "runAsNonRoot", "runAsUser", "allowPrivilegeEscalation", "windowsOptions", "path"),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**70), 10**300, 1e308, -0.0]),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(
        [
            *(
                "",
                "0",
                "1",
                "-1",
                "1Gi",
                "1e999",
                "0.5",
                "Memory",
                "/dev/shm",  # noqa: S108 - a mount in a pod
                "Always",
                "true",
                "a/b:latest",
            ),
            *(
                "NVIDIA_VISIBLE_DEVICES",
                "registrar",
                "vllm/vllm-openai",
                "vllm serve a/b -tp 2",
                "ALL",
                "\ud800",
            ),
        ]
    ),
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6))
)
CONTAINERS = st.lists(
    st.one_of(
        SCALARS,
        st.fixed_dictionaries(
            {},
            optional={
                "name": SCALARS,
                "image": SCALARS,
                "restartPolicy": SCALARS,
                "env": st.lists(st.one_of(SCALARS, st.dictionaries(KEYS, SCALARS)), max_size=3),
                "args": st.one_of(SCALARS, st.lists(SCALARS, max_size=3)),
                "resources": st.dictionaries(
                    KEYS, st.one_of(SCALARS, st.dictionaries(KEYS, SCALARS, max_size=3)), max_size=3
                ),
                "securityContext": ANYTHING,
                "volumeMounts": st.lists(st.dictionaries(KEYS, SCALARS), max_size=2),
                "ports": ANYTHING,
                "readinessProbe": ANYTHING,
                "lifecycle": ANYTHING,
            },
        ),
    ),
    max_size=3,
)
PODS = st.one_of(
    ANYTHING.map(lambda value: value if isinstance(value, dict) else {"spec": value}),
    st.fixed_dictionaries(
        {
            "metadata": ANYTHING,
            "spec": st.fixed_dictionaries(
                {"containers": CONTAINERS},
                optional={
                    "initContainers": CONTAINERS,
                    "ephemeralContainers": CONTAINERS,
                    "volumes": ANYTHING,
                    "securityContext": ANYTHING,
                    "resources": ANYTHING,
                    "resourceClaims": ANYTHING,
                    "automountServiceAccountToken": SCALARS,
                    "hostNetwork": SCALARS,
                },
            ),
        }
    ),
)
SWITCHES = st.lists(
    st.builds(
        Switch,
        st.sampled_from(SwitchName),
        st.one_of(st.text(max_size=5), st.integers(0, 9).map(str)),
        st.sampled_from(["spec.containers[0].args[0]", "spec.containers[1].args[1]", "spec", ""]),
    ),
    max_size=4,
)


def findings(rule: Rule, subject: Subject) -> list[Finding]:
    """Give what a rule of the policy above finds."""
    values = VALUES[rule.group]
    return list(rule.check(subject, values[rule.field], values)) if rule.check else []


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PODS, SWITCHES, st.one_of(st.none(), st.sampled_from(Engine)))
def test_no_pod_makes_a_rule_raise(pod: Any, switches: list[Switch], engine: Engine | None) -> None:
    """Each rule answers with findings whose texts are short, under a part that the rule has."""
    subject = Subject(pod, engine, "spec", OWN_IMAGE)
    vars(subject)["extract"] = Extract(switches=tuple(switches))
    before = json.dumps(pod)
    for rule in OURS:
        for finding in findings(rule, subject):
            assert f"{rule.group}.{finding.part or rule.field}" in rule.ids
            assert len(finding.found) + len(finding.wanted) < 600
    assert json.dumps(pod) == before


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PODS)
def test_a_pod_and_its_template_get_the_same_findings(pod: Any) -> None:
    """Only the path differs between a pod and the workload that would make it."""
    bare, within = (Subject(pod, Engine.VLLM, path, OWN_IMAGE) for path in ("spec", "spec.template.spec"))
    for subject in (bare, within):
        vars(subject)["extract"] = Extract()
    for rule in OURS:
        expected = [item._replace(path=f"spec.template.{item.path}") for item in findings(rule, bare)]
        assert findings(rule, within) == expected
