"""Pods, through a real API server."""

import json
from typing import Any

import pytest

from tests.peers.cluster import JSON, Cluster
from tests.peers.webhook import Webhook
from tests.real.apiserver.manifests import SERVER, pod, registrars

pytestmark = [pytest.mark.kube, pytest.mark.usefixtures("webhook")]


def stored(cluster: Cluster, manifest: JSON, *args: str) -> JSON:
    """Create a pod and give it as the API server has it."""
    answer: JSON = json.loads(cluster.create(manifest, "-o", "json", *args).out)
    return answer


def test_pod_without_the_label_is_left_alone(cluster: Cluster, namespace: str, webhook: Webhook) -> None:
    """A pod without our label never reaches the webhook."""
    names = ("server.pods.litellm-registrar.io", "carried.pods.litellm-registrar.io")
    before = [webhook.calls(name) for name in names]
    assert registrars(stored(cluster, pod(namespace, {"app": "qwen"}))) == []
    assert [webhook.calls(name) for name in names] == before


def test_restricted_namespace_admits_the_injected_pod(cluster: Cluster) -> None:
    """A namespace that enforces the restricted Pod Security Standard admits an injected restricted pod."""
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    cluster.namespace("restricted", **level)
    answer = cluster.create(pod("restricted"), "-o", "json")
    assert len(registrars(json.loads(answer.out))) == 1
    assert not [warning for warning in answer.warnings if "PodSecurity" in warning]


def test_bad_annotation_on_a_pod_is_only_warned_of(cluster: Cluster, namespace: str) -> None:
    """A typo on a pod is a warning with the nearest known name, and the pod is injected all the same."""
    answer = cluster.create(
        pod(namespace, annotations={"litellm-registrar.io/drain-timeot": "60"}), "-o", "json"
    )
    assert any("drain-timeout" in warning for warning in answer.warnings), answer.err
    assert len(registrars(json.loads(answer.out))) == 1


def test_label_on_a_running_pod_is_refused(cluster: Cluster, namespace: str) -> None:
    """Labelling an existing pod is refused, with the word to label the workload."""
    cluster.create(pod(namespace, {"app": "qwen"}))
    answer = cluster.kubectl("label", "pod", "qwen", f"{SERVER}=vllm", "-n", namespace, check=False)
    assert answer.code != 0
    assert "label the workload" in answer.err, answer.err
    other = cluster.kubectl("label", "pod", "qwen", "team=a", "-n", namespace)
    assert other.warnings == []


def test_a_static_pod_is_still_shown(cluster: Cluster, namespace: str) -> None:
    """The copy that a kubelet makes of its static pod is taken as it is, with a warning."""
    manifest = pod(namespace, annotations={"kubernetes.io/config.mirror": "5f0c"})
    manifest["spec"]["nodeName"] = "somewhere"
    answer = cluster.create(manifest, "-o", "json")
    assert registrars(json.loads(answer.out)) == []
    assert [warning.partition(":")[0] for warning in answer.warnings] == ["static_pod"]


def test_dry_run_on_the_server(cluster: Cluster, namespace: str) -> None:
    """`--dry-run=server` shows the injected pod and stores nothing."""
    assert len(registrars(stored(cluster, pod(namespace), "--dry-run=server"))) == 1
    assert cluster.list("pods", namespace) == []


def test_pod_that_cannot_be_injected_is_admitted_with_its_reason(cluster: Cluster, namespace: str) -> None:
    """A pod whose port cannot be known is created as it is; the warning names what settles it."""
    manifest = pod(namespace)
    container: dict[str, Any] = manifest["spec"]["containers"][0]
    container.pop("ports")
    container.pop("readinessProbe")
    container.pop("args")
    container["command"] = ["sh", "-c", 'exec vllm serve "$MODEL" --port "$PORT"']
    answer = cluster.create(manifest, "-o", "json")
    assert registrars(json.loads(answer.out)) == []
    assert any("litellm-registrar.io/port" in warning for warning in answer.warnings), answer.err


def test_own_pre_stop_is_kept_and_reported(cluster: Cluster, namespace: str) -> None:
    """A preStop of the user's own stays, and kubectl shows that the drain does not hold the server."""
    manifest = pod(namespace)
    own = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    manifest["spec"]["containers"][0]["lifecycle"] = own
    answer = cluster.create(manifest, "-o", "json")
    created = json.loads(answer.out)
    assert created["spec"]["containers"][0]["lifecycle"] == own
    assert len(registrars(created)) == 1
    assert any("preStop" in warning or "pre-stop" in warning for warning in answer.warnings), answer.err


def test_pods_are_made_while_the_webhook_is_down(cluster: Cluster, namespace: str, webhook: Webhook) -> None:
    """With the webhook gone, labelled pods are created without a registrar; once it is back, with one."""
    webhook.stop()
    try:
        assert registrars(stored(cluster, pod(namespace))) == []
    finally:
        webhook.start()
    manifest = pod(namespace)
    manifest["metadata"]["name"] = "later"
    assert len(registrars(stored(cluster, manifest))) == 1
