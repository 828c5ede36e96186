"""Which requests the chart's webhook configurations are about: nothing that a cluster stands up again by."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.chart.rendering import JSON, MATRIX, NAMESPACE, matrix, of_kind, pod_templates, rendered, values
from tests.chart.simulator import ANNOTATION, KINDS, Request, asked, in_force
from tests.peers import learned
from tests.peers.cluster import Cluster

pytestmark = pytest.mark.cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "webhook-configuration.yaml"
LABEL = "litellm-registrar.io/server"
CARRIED = "litellm-registrar.io/carried"
OPTED_OUT = {"litellm-registrar.io/inject": "false"}
ASKS = {"litellm-registrar.io/require-label": "true"}
SERVER, CARRIED_TOO = "server.pods.litellm-registrar.io", "carried.pods.litellm-registrar.io"
WORKLOADS, UNLABELLED = "workloads.litellm-registrar.io", "unlabelled.litellm-registrar.io"
REQUIRED = "required."
SELFTEST = "selftest.litellm-registrar.io"
ON = [name for name in MATRIX if matrix(name).get("admission", {}).get("enabled", True)]
# All that may be `Fail` is, and the policy judges unlabelled pods too.
STRICTEST = "enforced-values"

# What a cluster stands up again by, and what is none of our business.
NEVER: Final[dict[str, Request]] = {
    "CoreDNS": Request("kube-system", {"k8s-app": "kube-dns"}),
    "kube-proxy": Request("kube-system", {"k8s-app": "kube-proxy"}),
    "a CNI's agent": Request("kube-system", {"k8s-app": "cilium"}),
    "a mirror pod of the control plane": Request(
        "kube-system", {"component": "etcd", "tier": "control-plane"}
    ),
    "a labelled pod of kube-system": Request("kube-system", {LABEL: "vllm", CARRIED: "vllm"}),
    "one of a kube-system that asks for labels": Request("kube-system", {}, namespace_labels=ASKS),
    "a pod beside the webhook": Request(NAMESPACE, {"app": "debug"}),
    "a labelled pod beside the webhook": Request(NAMESPACE, {LABEL: "vllm", CARRIED: "vllm"}),
    "one where labels are asked for": Request(NAMESPACE, {}, namespace_labels=ASKS),
    "a pod without our labels": Request("team-a", {"app": "shop"}),
    "a mirror pod of a node": Request("default", {"app": "node-agent"}),
    "one that opts out without asking": Request("team-a", OPTED_OUT),
    "an update of a pod": Request("team-a", {"app": "shop"}, {"app": "shop"}, "UPDATE"),
    "a labelled pod's end": Request("team-a", {}, {LABEL: "vllm"}, "DELETE"),
    "a labelled pod's status": Request(
        "team-a", {LABEL: "x"}, {LABEL: "x"}, "UPDATE", resource="pods/status"
    ),
    "a labelled pod's place": Request("team-a", {LABEL: "vllm"}, resource="pods/binding"),
    "a labelled pod's eviction": Request("team-a", {LABEL: "vllm"}, resource="pods/eviction"),
    "a scale of a workload": Request(
        "team-a", {LABEL: "vllm"}, {LABEL: "vllm"}, "UPDATE", "apps", resource="deployments/scale"
    ),
    "a Lease of a leader": Request(NAMESPACE, {}, group="coordination.k8s.io", resource="leases"),
    "a Lease of a node": Request("kube-node-lease", {}, group="coordination.k8s.io", resource="leases"),
    "a Service": Request("team-a", {LABEL: "vllm"}, resource="services"),
    "a Secret": Request("team-a", {LABEL: "vllm"}, resource="secrets"),
}


@pytest.mark.parametrize("who", NEVER)
def test_what_a_cluster_stands_by_is_never_asked_about(who: str) -> None:
    """Whatever the values, and with all rules in force."""
    for name in ON:
        assert asked(in_force(rendered(matrix(name))), NEVER[who]) == [], name


def test_own_pods_are_never_asked_about() -> None:
    """Webhook, broker, hooks and tests start while the webhook is away, in a namespace of any name."""
    for name, namespace in itertools.product(ON, (NAMESPACE, "platform")):
        manifests = rendered(matrix(name), namespace=namespace)
        templates = pod_templates(manifests)
        assert templates
        for where, template in templates.items():
            labels = template["metadata"].get("labels", {})
            assert asked(in_force(manifests), Request(namespace, labels)) == [], (name, where)


ALWAYS: Final[dict[str, tuple[Request, list[str]]]] = {
    "a labelled pod": (Request("team-a", {LABEL: "vllm"}), [f"Mutating {SERVER}", f"Validating {SERVER}"]),
    "a pod of a labelled workload": (
        Request("team-a", {CARRIED: "vllm"}),
        [f"Mutating {CARRIED_TOO}", f"Validating {CARRIED_TOO}"],
    ),
    "a pod with both labels": (
        Request("team-a", {LABEL: "vllm", CARRIED: "vllm"}),
        [f"Mutating {SERVER}", f"Validating {SERVER}"],
    ),
    "one that opts out": (Request("team-a", {LABEL: "vllm", **OPTED_OUT}), [f"Validating {SERVER}"]),
    "a changed image": (
        Request("team-a", {LABEL: "vllm"}, {LABEL: "vllm"}, "UPDATE"),
        [f"Validating {SERVER}"],
    ),
    "a label taken away": (Request("team-a", {}, {LABEL: "vllm"}, "UPDATE"), [f"Validating {SERVER}"]),
    "a debugger's container": (
        Request("team-a", {LABEL: "vllm"}, {LABEL: "vllm"}, "UPDATE", resource="pods/ephemeralcontainers"),
        [f"Validating {SERVER}"],
    ),
    "a resize": (
        Request("team-a", {LABEL: "vllm"}, {LABEL: "vllm"}, "UPDATE", resource="pods/resize"),
        [f"Validating {SERVER}"],
    ),
}


@pytest.mark.parametrize("who", ALWAYS)
def test_what_asks_for_us_is_asked_about_once_each_way(who: str) -> None:
    """By one entry of each configuration at the most, whatever the values, once all rules are in force.

    Beside it, where mutation may refuse, by its twin that then does.
    """
    request, expected = ALWAYS[who]
    for name in ON:
        found = asked(in_force(rendered(matrix(name))), request)
        twins = [f"Mutating {REQUIRED}{one.removeprefix('Mutating ')}" for one in expected if "Mut" in one]
        required = matrix(name).get("admission", {}).get("mutateFailurePolicy") == "Fail"
        assert sorted(found) == sorted(expected + twins if required else expected), name


def test_unlabelled_pods_are_asked_about_where_the_namespace_wants_it() -> None:
    """Only where the namespace asks for labels and there is a policy that could; and never by mutation."""
    request = Request("team-a", {"app": "shop"}, namespace_labels=ASKS)
    assert asked(in_force(rendered(values())), request) == [f"Validating {UNLABELLED}"]
    assert asked(in_force(rendered(values(policy={"enabled": False}))), request) == []


def test_excluded_namespaces_are_never_asked_about() -> None:
    """`admission.excludedNamespaces` holds for each entry, beside kube-system and the release's own."""
    configurations = in_force(rendered(values(admission={"excludedNamespaces": ["calico-system"]})))
    assert asked(configurations, Request("calico-system", {LABEL: "vllm"}, namespace_labels=ASKS)) == []
    assert asked(configurations, Request("kube-system", {LABEL: "vllm"})) == []
    assert asked(configurations, Request("team-a", {LABEL: "vllm"})) != []


def entries(name: str) -> Iterator[tuple[JSON, JSON]]:
    """Give each webhook of the matrix's values, with its configuration."""
    for configuration in of_kind(rendered(matrix(name)), *KINDS):
        for webhook in configuration["webhooks"]:
            yield configuration, webhook


@pytest.mark.parametrize("name", ON)
def test_no_entry_can_refuse_before_the_webhook_serves(name: str) -> None:
    """With `Fail` an entry comes without rules, which the annotation keeps; with `Ignore` it has them."""
    held: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for configuration, webhook in entries(name):
        assert webhook["failurePolicy"] in {"Ignore", "Fail"}
        assert ("rules" in webhook) == (webhook["failurePolicy"] == "Ignore"), webhook["name"]
        if webhook["failurePolicy"] == "Fail":
            held[configuration["kind"]].add(webhook["name"])
    for configuration in of_kind(rendered(matrix(name)), *KINDS):
        annotation = (configuration["metadata"].get("annotations") or {}).get(ANNOTATION, "{}")
        assert set(json.loads(annotation)) == held[configuration["kind"]]


@pytest.mark.parametrize("name", ON)
def test_no_entry_can_hold_up_the_api_server(name: str) -> None:
    """Each answers within 5 s, has no side effects, sees every version of its kinds, may be asked again."""
    for configuration, webhook in entries(name):
        assert 1 <= webhook["timeoutSeconds"] <= 5
        assert webhook["sideEffects"] == "None"
        assert webhook["matchPolicy"] == "Equivalent"
        assert webhook["admissionReviewVersions"] == ["v1"]
        if configuration["kind"] == KINDS[0]:
            assert webhook["reinvocationPolicy"] == "IfNeeded"


def test_a_controller_never_waits_for_the_webhook() -> None:
    """Even where all is strict, what judges workloads is `Ignore`: pods are held, not updates."""
    policies = {webhook["name"]: webhook["failurePolicy"] for _, webhook in entries(STRICTEST)}
    assert {name for name, policy in policies.items() if policy == "Fail"} <= {
        *(SERVER, CARRIED_TOO, UNLABELLED),
        *(REQUIRED + name for name in (SERVER, CARRIED_TOO, WORKLOADS)),
    }
    validating = {
        webhook["name"]: webhook["failurePolicy"]
        for configuration, webhook in entries(STRICTEST)
        if configuration["kind"] == KINDS[1]
    }
    assert validating[WORKLOADS] == "Ignore"


MODES: Final[dict[str, tuple[JSON, str]]] = {
    "the policy that ships": ({}, "Ignore"),
    "none": ({"enabled": False}, "Ignore"),
    "one that only warns": ({"document": {"spec": {"defaults": {"mode": "warn"}}}}, "Ignore"),
    "one that enforces": ({"document": {"spec": {"defaults": {"mode": "enforce"}}}}, "Fail"),
    "one whose rule enforces": (
        {"document": {"spec": {"rules": {"code": {"modes": {"trustRemoteCode": "enforce"}}}}}},
        "Fail",
    ),
    "one that enforces a group": ({"document": {"spec": {"rules": {"code": {"mode": "enforce"}}}}}, "Fail"),
    "one that enforces in a namespace": (
        {"document": {"spec": {"namespaces": [{"match": "a", "rules": {"code": {"mode": "enforce"}}}]}}},
        "Fail",
    ),
    "one that enforces, and is switched off": (
        {"document": {"spec": {"defaults": {"mode": "enforce"}}}, "enabled": False},
        "Ignore",
    ),
    "one that only speaks of it": (
        {"document": {"spec": {"exceptions": [{"id": "enforce", "reason": "mode: enforce"}]}}},
        "Ignore",
    ),
    "one of elsewhere": ({"existingConfigMap": "policy"}, "Ignore"),
    "one of elsewhere instead": (
        {"existingConfigMap": "policy", "document": {"spec": {"defaults": {"mode": "enforce"}}}},
        "Ignore",
    ),
}


@pytest.mark.parametrize("policy", MODES)
def test_pods_are_held_only_where_a_rule_enforces(policy: str) -> None:
    """By default validation is `Fail` if a rule of the policy's document enforces, and only then."""
    given, expected = MODES[policy]
    configurations = of_kind(rendered(values(policy=given)), KINDS[1])
    pods = {each["name"]: each["failurePolicy"] for one in configurations for each in one["webhooks"]}
    assert (pods[SERVER], pods[CARRIED_TOO]) == (expected, expected)


def test_ours_comes_before_a_mesh() -> None:
    """Configurations are called in the order of their names: a mesh's injector sees our annotations."""
    for release in ("litellm-registrar", "registrar", "zz"):
        for configuration in of_kind(rendered(values(), release=release), *KINDS):
            assert configuration["metadata"]["name"] < min("istio-sidecar-injector", "linkerd-proxy-injector")


def test_the_off_switch_leaves_no_configuration() -> None:
    """With `admission.enabled: false` nothing asks; webhook and broker stay for the pods that live."""
    manifests = rendered(values(admission={"enabled": False}))
    assert of_kind(manifests, *KINDS) == []
    assert len(of_kind(manifests, "Deployment")) == 2


def plain(webhook: JSON) -> JSON:
    """Give an entry without what chart and example say differently: where the webhook is, and namespaces."""
    different = {"clientConfig", "namespaceSelector"}
    stripped = {key: value for key, value in webhook.items() if key not in different}
    asks = [one for one in webhook["namespaceSelector"]["matchExpressions"] if one["operator"] != "NotIn"]
    return {**stripped, "namespaces": asks}


def test_the_configurations_are_those_of_the_example() -> None:
    """What is tried everywhere with the manifest in `examples` holds for the chart: entries are the same."""
    example = list(yaml.safe_load_all(EXAMPLE.read_text()))
    ours = of_kind(rendered(values()), *KINDS)
    assert [each["kind"] for each in ours] == [each["kind"] for each in example] == list(KINDS)
    for rendered_one, written in zip(ours, example, strict=True):
        assert list(map(plain, rendered_one["webhooks"])) == list(map(plain, written["webhooks"]))


# ---- CEL, by the real API server: a webhook that nobody answers refuses what it is asked about

DEAD = "https://127.0.0.1:1"


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[str]:
    """Give a namespace with workloads in it, before webhooks that nobody answers."""
    namespace = "team-a"
    for name, labels in {"plain": {}, "labelled": {LABEL: "vllm"}}.items():
        cluster.create(deployment(name, labels=labels, namespace=namespace))
    configurations = in_force(rendered(matrix(STRICTEST)))
    for configuration in configurations:
        for webhook in configuration["webhooks"]:
            webhook["failurePolicy"] = "Fail"
            webhook["clientConfig"] = {"url": DEAD + webhook["clientConfig"]["service"]["path"]}
        cluster.create(configuration)
    learned.configurations(cluster)
    yield namespace
    for configuration in configurations:
        cluster.kubectl("delete", configuration["kind"], configuration["metadata"]["name"])
    learned.configurations(cluster)


def pod_template(**labels: str) -> JSON:
    """Give the template of a pod that nobody runs."""
    containers = [{"name": "server", "image": "vllm/vllm-openai:v0.11.0"}]
    return {"metadata": {"labels": {"app": "x", **labels}}, "spec": {"containers": containers}}


def deployment(
    name: str,
    template: JSON | None = None,
    kind: str = "Deployment",
    namespace: str = "team-a",
    **metadata: Any,
) -> JSON:
    """Give a workload."""
    spec: JSON = {"selector": {"matchLabels": {"app": "x"}}, "template": template or pod_template()}
    if kind == "Deployment":
        spec["replicas"] = 0
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": spec,
    }


PODS: Final = {
    who: request
    for who, request in {**NEVER, **{who: request for who, (request, _) in ALWAYS.items()}}.items()
    if (request.operation, request.group, request.resource) == ("CREATE", "", "pods")
    and not request.namespace_labels
}


@pytest.mark.parametrize("who", PODS)
def test_the_api_server_asks_about_new_pods_as_the_simulator_says(
    cluster: Cluster, team: str, who: str
) -> None:
    """The first webhook that the simulator names is the one that the API server fails to call."""
    request = PODS[who]
    expected = asked(in_force(rendered(matrix(STRICTEST))), request)
    metadata = {"name": "new", "namespace": request.namespace, "labels": dict(request.labels)}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_template()["spec"]}
    answer = cluster.create(pod, "--dry-run=server", check=False)
    assert team
    if expected:
        name = expected[0].partition(" ")[2]
        assert f'failed calling webhook "{name}"' in answer.err
    else:
        assert answer.code == 0, answer.err


CREATED: Final[dict[str, tuple[JSON, str]]] = {
    "an unlabelled Deployment": (deployment("a"), ""),
    "an unlabelled DaemonSet": (deployment("a", kind="DaemonSet"), ""),
    "one without labels at all": (
        deployment("a", {**pod_template(), "metadata": {"labels": {"app": "x"}}}),
        "",
    ),
    "a Deployment with the label": (deployment("a", labels={LABEL: "vllm"}), WORKLOADS),
    "a DaemonSet with the label": (deployment("a", kind="DaemonSet", labels={LABEL: "vllm"}), WORKLOADS),
    "a template with the label": (deployment("a", pod_template(**{LABEL: "vllm"})), WORKLOADS),
    "a template with a carried label": (deployment("a", pod_template(**{CARRIED: "vllm"})), WORKLOADS),
    "CoreDNS, were it labelled": (
        deployment("coredns", namespace="kube-system", labels={LABEL: "vllm"}),
        "",
    ),
}


@pytest.mark.parametrize("what", CREATED)
def test_the_api_server_asks_about_new_workloads_of_ours_alone(
    cluster: Cluster, team: str, what: str
) -> None:
    """By CEL: the label on the object or its template, or a carried one; nothing of kube-system."""
    manifest, webhook = CREATED[what]
    answer = cluster.create(manifest, "--dry-run=server", check=False)
    assert team
    assert (f'failed calling webhook "{webhook}"' in answer.err) if webhook else answer.code == 0, answer.err


UPDATED: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "an unlabelled one": (("annotate", "deployment/plain", "a=b"), ""),
    "one that is labelled": (("label", "deployment/plain", f"{LABEL}=vllm"), WORKLOADS),
    "a labelled one": (("annotate", "deployment/labelled", "a=b"), WORKLOADS),
    "one whose label is taken away": (("label", "deployment/labelled", f"{LABEL}-"), WORKLOADS),
    "a labelled one's scale": (("scale", "deployment/labelled", "--replicas=1"), ""),
    "a labelled one's end": (("delete", "deployment/labelled"), ""),
}


@pytest.mark.parametrize("what", UPDATED)
def test_the_api_server_asks_about_updates_of_what_is_or_was_ours(
    cluster: Cluster, team: str, what: str
) -> None:
    """By CEL over the new object and the old one: labelling, changes, and taking the label away."""
    command, webhook = UPDATED[what]
    answer = cluster.kubectl(*command, "-n", team, "--dry-run=server", check=False)
    assert (f'failed calling webhook "{webhook}"' in answer.err) if webhook else answer.code == 0, answer.err


def test_an_object_that_is_being_deleted_is_not_asked_about(cluster: Cluster, team: str) -> None:
    """A finalizer of somebody else's can be taken off a labelled workload while the webhook is away."""
    finalized = deployment("ending", labels={}, namespace=team, finalizers=["example.com/hold"])
    cluster.create(finalized)
    cluster.kubectl("delete", "deployment", "ending", "-n", team, "--wait=false")
    labelled = {"metadata": {"labels": {LABEL: "vllm"}, "finalizers": None}}
    patch = ("patch", "deployment", "ending", "-n", team, "--type=merge", "-p", json.dumps(labelled))
    assert cluster.kubectl(*patch, check=False).err == ""
