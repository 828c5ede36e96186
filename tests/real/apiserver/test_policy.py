"""The policy, through a real API server, its controllers and kubectl."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.peers.cluster import JSON, Answer, Cluster, wait_until
from tests.peers.webhook import ROOT, Webhook
from tests.real.apiserver.manifests import SERVER, pod, policy_file, registrars, workload
from webhook.made import WORKLOADS

pytestmark = [pytest.mark.kube, pytest.mark.usefixtures("webhook")]
LABELLED = {SERVER: "vllm"}
EXAMPLE = ROOT / "examples" / "deployment.yaml"
EVIL = "quay.io/evil/vllm-openai:v1"


def bad(namespace: str) -> JSON:
    """Give a labelled pod that the policy of these namespaces does not allow, in three ways."""
    manifest = pod(namespace)
    manifest["spec"]["hostNetwork"] = True
    container = manifest["spec"]["containers"][0]
    container["image"] = EVIL
    container["args"].append("--trust-remote-code")
    container["ports"] = []
    container["readinessProbe"]["httpGet"]["port"] = 8000
    return manifest


def denied(answer: Answer, *rules: str) -> None:
    """Check that a request was refused by exactly these rules."""
    assert answer.code != 0
    _, _, message = answer.err.partition(" denied the request: ")
    assert [part.split(":")[0] for part in message.strip().split("; ")] == list(rules), answer.err


def audited(cluster: Cluster, name: str, namespace: str) -> list[dict[str, str]]:
    """Give the annotations of ours in the audit log's entries about an object, without the entry's name."""
    whole = cluster.audit_log.read_text().rpartition("\n")[0]  # without a line that is just written
    lines = [json.loads(line) for line in whole.splitlines()]
    return [
        {
            key.rpartition("/")[2]: value
            for key, value in line.get("annotations", {}).items()
            if key.startswith(("server.pods.litellm", "workloads.litellm"))
        }
        for line in lines
        if (line["objectRef"].get("name"), line["objectRef"].get("namespace")) == (name, namespace)
    ]


def test_a_pod_is_refused_with_every_violation(cluster: Cluster, policed: str) -> None:
    """`kubectl apply` shows each rule with the path, what is found and what is wanted; nothing is stored."""
    answer = cluster.apply(bad(policed), check=False)
    denied(answer, "code.trustRemoteCode", "images.allow", "podSecurity.hostNetwork")
    assert "Error from server (policy_violation)" in answer.err
    for part in (
        "spec.containers[0].args[4]: found ",
        "--trust-remote-code",
        f"spec.containers[0].image: found {EVIL}",
        "spec.hostNetwork: found true",
    ):
        assert part in answer.err, answer.err
    assert cluster.list("pods", policed) == []


def test_an_honest_pod_passes_with_its_registrar(cluster: Cluster, policed: str) -> None:
    """The policy holds for what is injected, too: nothing to warn of."""
    answer = cluster.create(pod(policed), "-o", "json")
    assert answer.warnings == []
    assert len(registrars(json.loads(answer.out))) == 1


def test_the_audit_log_tells_the_decision(cluster: Cluster, policed: str) -> None:
    """The API server writes decision, rules with their modes and the policy's hash into its audit log."""
    cluster.create(bad(policed), check=False)
    found = wait_until("audit entry", 120, lambda: audited(cluster, "qwen", policed))[-1]
    assert found["decision"] == "denied"
    assert (
        found["violations"]
        == "code.trustRemoteCode=enforce images.allow=enforce podSecurity.hostNetwork=enforce"
    )
    assert len(found["policy"]) == 12


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job"])
def test_a_workload_is_warned_at_apply(cluster: Cluster, policed: str, kind: str) -> None:
    """Each violation of the pod it would make, at its place in the template; the object is stored."""
    manifest = workload(kind, policed, template_labels=LABELLED)
    manifest["spec"]["template"]["spec"] = bad(policed)["spec"]
    if kind == "Job":
        manifest["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    warnings = cluster.apply(manifest).warnings
    first = next(i for i, text in enumerate(warnings) if text.startswith("policy_violation: "))
    assert [text.split(":")[0] for text in warnings[first + 1 : first + 4]] == [
        "code.trustRemoteCode",
        "images.allow",
        "podSecurity.hostNetwork",
    ]
    assert "code.trustRemoteCode: spec.template.spec.containers[0].args[4]: found " in warnings[first + 1]
    assert cluster.get(kind, "qwen", policed)


def test_the_example_of_the_readme_is_warned_of(cluster: Cluster, policed: str) -> None:
    """It is a Deployment that the API server takes, every field of it, and `kubectl` shows what it breaks."""
    manifest = yaml.safe_load(EXAMPLE.read_text())
    manifest["metadata"]["namespace"] = policed
    warnings = cluster.create(manifest, "--dry-run=server", "--validate=strict").warnings
    where = "code.trustRemoteCode: spec.template.spec.containers[0].args[2]: found "
    assert [text for text in warnings if text.startswith(where)]


def test_the_label_on_a_deployment_counts(cluster: Cluster, policed: str) -> None:
    """Labelled on the object alone, its pods are told of, and refused when they come."""
    manifest = workload("Deployment", policed, labels=LABELLED)
    manifest["spec"]["template"]["spec"] = bad(policed)["spec"]
    assert any(
        text.startswith("images.allow: spec.template.spec.") for text in cluster.apply(manifest).warnings
    )

    def refused() -> bool:
        events = cluster.list("events", policed)
        return any(e["reason"] == "FailedCreate" and "images.allow" in e["message"] for e in events)

    wait_until("event of the refused pod", 120, refused)
    assert cluster.list("pods", policed) == []


def test_a_cron_job_is_warned_at_apply(cluster: Cluster, policed: str) -> None:
    """Its pods stand two templates deep."""
    job = workload("Job", policed, template_labels=LABELLED)
    job["spec"]["template"]["spec"]["containers"][0]["image"] = EVIL
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "qwen", "namespace": policed},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job["spec"]}},
    }
    warnings = cluster.apply(cron).warnings
    path = "spec.jobTemplate.spec.template.spec.containers[0].image"
    assert any(text.startswith(f"images.allow: {path}: ") for text in warnings), warnings


@pytest.fixture(scope="session")
def foreign_kinds(cluster: Cluster) -> Iterator[None]:
    """Let the API server know InferenceServices and LeaderWorkerSets, without a schema."""
    kinds = (
        ("serving.kserve.io", "v1beta1", "InferenceService"),
        ("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet"),
    )
    for group, version, kind in kinds:
        assert f"{group}/{kind}" in WORKLOADS
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        names = {"plural": f"{kind.lower()}s", "singular": kind.lower(), "kind": kind}
        one = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        crd = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{kind.lower()}s.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [one]},
        }
        cluster.apply(crd)
        cluster.kubectl(
            "wait", "--for=condition=Established", f"crd/{kind.lower()}s.{group}", "--timeout=120s"
        )
        # what it serves is told of a moment later
        known = ("get", f"{kind.lower()}s.{group}", "--all-namespaces")
        wait_until(f"known {kind}", 120, lambda known=known: not cluster.kubectl(*known, check=False).code)  # type: ignore[misc]
    yield
    for group, _, kind in kinds:
        cluster.kubectl("delete", "crd", f"{kind.lower()}s.{group}", "--wait=false")


@pytest.mark.usefixtures("foreign_kinds")
def test_an_inference_service_is_warned_at_apply(cluster: Cluster, policed: str) -> None:
    """Where it stands in the service: arguments of its model, fields of its pod."""
    model = {
        "modelFormat": {"name": "huggingface"},
        "storageUri": "hf://Qwen/Qwen3-0.6B",
        "args": ["--model_name=qwen", "--trust_remote_code"],
    }
    manifest = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "qwen", "namespace": policed, "labels": LABELLED},
        "spec": {"predictor": {"hostNetwork": True, "model": model}},
    }
    warnings = cluster.apply(manifest).warnings
    assert any(w.startswith("podSecurity.hostNetwork: spec.predictor.hostNetwork: ") for w in warnings), (
        warnings
    )
    assert any(w.startswith("code.trustRemoteCode: spec.predictor.model.args[1]: ") for w in warnings), (
        warnings
    )


@pytest.mark.usefixtures("foreign_kinds")
def test_both_templates_of_a_leader_worker_set_are_told_of(cluster: Cluster, policed: str) -> None:
    """The leader's is one, the workers' another."""
    template = {"metadata": {"labels": LABELLED}, "spec": {"containers": [{"name": "vllm", "image": EVIL}]}}
    manifest = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "qwen", "namespace": policed},
        "spec": {"leaderWorkerTemplate": {"leaderTemplate": template, "workerTemplate": template}},
    }
    warnings = cluster.apply(manifest).warnings
    for name in ("leaderTemplate", "workerTemplate"):
        path = f"spec.leaderWorkerTemplate.{name}.spec.containers[0].image"
        assert any(text.startswith(f"images.allow: {path}: ") for text in warnings), warnings


def test_an_ephemeral_container_is_judged(cluster: Cluster, policed: str) -> None:
    """`kubectl debug` with a forbidden image is refused, with an allowed one it is not."""
    cluster.create(pod(policed))
    debug = ("debug", "qwen", "-n", policed, "--attach=false")
    denied(cluster.kubectl(*debug, "--image=quay.io/evil/shell", check=False), "images.allow")
    cluster.kubectl(*debug, "--image=busybox")


def test_a_resize_is_judged(cluster: Cluster, policed: str) -> None:
    """More memory than a pod may have is refused where the pod runs already."""
    manifest = pod(policed)
    manifest["spec"]["containers"][0]["resources"] = {
        "requests": {"memory": "1Gi", "cpu": "1"},
        "limits": {"memory": "1Gi", "cpu": "1"},
    }
    cluster.create(manifest)

    def resize(memory: str) -> Answer:
        resources = {"requests": {"memory": memory}, "limits": {"memory": memory}}
        patch = {"spec": {"containers": [{"name": "vllm", "resources": resources}]}}
        args = ("patch", "pod", "qwen", "-n", policed, "--subresource=resize", "-p", json.dumps(patch))
        return cluster.kubectl(*args, check=False)

    denied(resize("4Gi"), "resources.max")
    assert resize("1500Mi").code == 0


def test_the_image_of_a_running_server_stays(cluster: Cluster, policed: str) -> None:
    """`kubectl set image` on the pod is refused; on its Deployment the new pods are judged instead."""
    cluster.create(pod(policed))
    new = "vllm=vllm/vllm-openai:v0.32.1"
    denied(cluster.kubectl("set", "image", "pod/qwen", new, "-n", policed, check=False), "scope.imageChange")
    cluster.create(workload("Deployment", policed, template_labels=LABELLED))
    cluster.kubectl("set", "image", "deployment/qwen", new, "-n", policed)


def test_the_label_stays(cluster: Cluster, policed: str) -> None:
    """Taking it from a running pod is refused, and from a Deployment, however it is carried."""
    cluster.create(pod(policed))
    cluster.create(workload("Deployment", policed, labels=LABELLED))
    for what in ("pod", "deployment"):
        answer = cluster.kubectl("label", what, "qwen", f"{SERVER}-", "-n", policed, check=False)
        assert answer.code != 0
        assert "scope.keepLabel: " in answer.err, answer.err


def test_a_server_without_the_label_is_refused(cluster: Cluster, policed: str, namespace: str) -> None:
    """In namespaces that ask for it; a workload is told so, and other pods are nobody's business."""
    denied(cluster.create(pod(policed, {"app": "qwen"}), check=False), "scope.requireLabel")
    other = pod(policed, {"app": "other"})
    other["spec"]["containers"][0] |= {"image": "nginx", "args": []}
    assert cluster.create(other).warnings == []
    warnings = cluster.apply(workload("Deployment", policed)).warnings
    assert any(text.startswith("scope.requireLabel: spec.template.spec.containers[0]") for text in warnings)
    cluster.create(pod(namespace, {"app": "qwen"}))


def test_an_already_bad_pod_can_be_kept_and_deleted(cluster: Cluster, policed: str, webhook: Webhook) -> None:
    """Finalizers, annotations and deletion pass; one more violation does not."""
    webhook.stop()
    try:
        cluster.create(bad(policed))
    finally:
        webhook.start()

    def patch(**metadata: Any) -> Answer:
        change = json.dumps({"metadata": metadata})
        return cluster.kubectl("patch", "pod", "qwen", "-n", policed, "--type=merge", "-p", change)

    assert patch(finalizers=["example.com/hold"]).warnings == []
    assert patch(annotations={"note": "x"}).warnings == []
    image = ("set", "image", "pod/qwen", "vllm=quay.io/evil/other", "-n", policed)
    answer = cluster.kubectl(*image, check=False)
    denied(answer, "images.allow", "scope.imageChange")
    cluster.kubectl("delete", "pod", "qwen", "-n", policed, "--wait=false", "--grace-period=0", "--force")
    patch(finalizers=None)
    wait_until("end of the pod", 120, lambda: cluster.list("pods", policed) == [])


def test_an_exception_lets_pass_until_it_expires(cluster: Cluster, policed: str) -> None:
    """It is in the audit log; from its second on the same pod is refused, without a change of the policy."""
    policy = cluster.work / "policy.yaml"
    # the changed file is read within 5 s
    expires = datetime.now(UTC) + timedelta(seconds=30)
    exception = {
        "id": "EX-1",
        "rules": ["images.allow"],
        "match": {"namespace": policed, "podName": "qwen"},
        "reason": "a test",
        "owner": "tests",
        "expires": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    manifest = pod(policed)
    manifest["spec"]["containers"][0]["image"] = EVIL
    denied(cluster.create(manifest, check=False), "images.allow")
    replace(policy, policy_file([exception]))
    try:
        wait_until("pod let pass", 29, lambda: cluster.create(manifest, check=False).code == 0)

        def excepted() -> list[dict[str, str]]:
            return [found for found in audited(cluster, "qwen", policed) if "exceptions" in found]

        found = wait_until("audit entry", 120, excepted)[-1]
        assert found["exceptions"] == "EX-1=images.allow"
        cluster.kubectl("delete", "pod", "qwen", "-n", policed, "--grace-period=0", "--force")
        time.sleep(max(0.0, (expires - datetime.now(UTC)).total_seconds()))
        denied(cluster.create(manifest, check=False), "images.allow")
    finally:
        replace(policy, policy_file())


def replace(file: Path, text: str) -> None:
    """Change a file in one step, as the kubelet does: one that is being written is empty for a moment."""
    following = file.with_name("following")
    following.write_text(text)
    following.replace(file)
