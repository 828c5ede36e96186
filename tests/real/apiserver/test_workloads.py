"""The label on workloads, through a real API server, its controllers and kubectl."""

import json

import pytest

from tests.peers.cluster import JSON, Cluster, wait_until
from tests.peers.webhook import Webhook
from tests.real.apiserver.manifests import CARRIED, CARRIED_SETTINGS, SERVER, registrars, workload

pytestmark = [pytest.mark.kube, pytest.mark.usefixtures("webhook")]
LABELLED = {SERVER: "vllm"}


def carried(cluster: Cluster, namespace: str, kind: str = "deployment") -> str | None:
    """Read what our label on the template says."""
    template = cluster.get(kind, "qwen", namespace)["spec"]["template"]["metadata"]
    value: str | None = template["labels"].get(CARRIED)
    return value


def pods(cluster: Cluster, namespace: str, count: int, registrars_each: int) -> list[JSON]:
    """Wait until exactly `count` pods are there, each with so many registrars."""

    def check() -> list[JSON]:
        found = [p for p in cluster.list("pods", namespace) if "deletionTimestamp" not in p["metadata"]]
        right = all(len(registrars(p)) == registrars_each for p in found)
        return found if len(found) == count and right else []

    return wait_until(f"{count} pods with {registrars_each} registrars each", 120, check)


def test_label_on_deployment_is_enough(cluster: Cluster, namespace: str) -> None:
    """`kubectl label deployment` makes new pods, with a registrar, and says so; unlabelling undoes it."""
    cluster.create(workload("Deployment", namespace))
    pods(cluster, namespace, 1, 0)

    answer = cluster.kubectl("label", "deployment", "qwen", f"{SERVER}=vllm", "-n", namespace)
    assert any("replace" in warning for warning in answer.warnings), answer.err
    assert carried(cluster, namespace) == "vllm"
    wait_for_new_replica_set(cluster, namespace, 2)

    answer = cluster.kubectl("label", "deployment", "qwen", f"{SERVER}-", "-n", namespace)
    assert any("replace" in warning for warning in answer.warnings), answer.err
    template = cluster.get("deployment", "qwen", namespace)["spec"]["template"]["metadata"]
    assert template["labels"] == {"app": "qwen"}
    assert CARRIED_SETTINGS not in template.get("annotations", {})


def wait_for_new_replica_set(cluster: Cluster, namespace: str, number: int) -> None:
    """Wait until that many ReplicaSets exist and one pod is injected (without a kubelet none gets ready)."""

    def check() -> bool:
        sets = cluster.list("replicasets", namespace)
        injected = [p for p in cluster.list("pods", namespace) if len(registrars(p)) == 1]
        return len(sets) == number and len(injected) == 1

    wait_until("injected pod of the new ReplicaSet", 120, check)


def test_settings_beside_the_label_are_carried_and_removed(cluster: Cluster, namespace: str) -> None:
    """Annotations beside the label reach the pod's registrar, and go with the label."""
    deployment = workload("Deployment", namespace, LABELLED)
    deployment["metadata"]["annotations"] = {"litellm-registrar.io/model-name": "small-model"}
    cluster.create(deployment)
    (pod,) = pods(cluster, namespace, 1, 1)
    env = {entry["name"]: entry.get("value") for entry in registrars(pod)[0]["env"]}
    assert env["REGISTRAR_MODEL_NAME"] == "small-model"

    cluster.kubectl("label", "deployment", "qwen", f"{SERVER}-", "-n", namespace)
    template = cluster.get("deployment", "qwen", namespace)["spec"]["template"]["metadata"]
    assert template["labels"] == {"app": "qwen"}
    assert CARRIED_SETTINGS not in template.get("annotations", {})


def test_interruption_is_said(cluster: Cluster, namespace: str) -> None:
    """Labelling a Deployment of strategy Recreate warns that this is an interruption."""
    deployment = workload("Deployment", namespace)
    deployment["spec"]["strategy"] = {"type": "Recreate"}
    cluster.create(deployment)
    answer = cluster.kubectl("label", "deployment", "qwen", f"{SERVER}=vllm", "-n", namespace)
    assert any("interrupt" in warning for warning in answer.warnings), answer.err


def test_undo_to_before_the_label_keeps_it(cluster: Cluster, namespace: str) -> None:
    """`rollout undo` to a template from before the label gets the mark again: the object has its label."""
    cluster.create(workload("Deployment", namespace))
    pods(cluster, namespace, 1, 0)
    cluster.kubectl("label", "deployment", "qwen", f"{SERVER}=vllm", "-n", namespace)
    wait_for_new_replica_set(cluster, namespace, 2)
    cluster.kubectl("rollout", "undo", "deployment", "qwen", "-n", namespace)
    assert carried(cluster, namespace) == "vllm"


def test_undo_after_unlabelling_brings_no_mark_back(cluster: Cluster, namespace: str) -> None:
    """Taking the label off and then `rollout undo` leaves a template without our mark."""
    cluster.create(workload("Deployment", namespace, LABELLED))
    pods(cluster, namespace, 1, 1)
    cluster.kubectl("label", "deployment", "qwen", f"{SERVER}-", "-n", namespace)
    wait_until("second ReplicaSet", 120, lambda: len(cluster.list("replicasets", namespace)) == 2)
    cluster.kubectl("rollout", "undo", "deployment", "qwen", "-n", namespace)
    assert carried(cluster, namespace) is None


@pytest.mark.parametrize("way", [[], ["--server-side"]], ids=["client-side", "server-side"])
def test_apply(cluster: Cluster, namespace: str, way: list[str]) -> None:
    """Applying the label marks the template, again changes nothing; moved to the template it stays there."""
    cluster.apply(workload("Deployment", namespace, LABELLED), *way)
    assert carried(cluster, namespace) == "vllm"
    generation = cluster.get("deployment", "qwen", namespace)["metadata"]["generation"]
    cluster.apply(workload("Deployment", namespace, LABELLED), *way)
    assert cluster.get("deployment", "qwen", namespace)["metadata"]["generation"] == generation

    cluster.apply(workload("Deployment", namespace, None, LABELLED), *way)
    template = cluster.get("deployment", "qwen", namespace)["spec"]["template"]["metadata"]
    assert template["labels"] == {"app": "qwen", SERVER: "vllm"}

    cluster.apply(workload("Deployment", namespace, LABELLED), *way)
    assert carried(cluster, namespace) == "vllm"
    cluster.apply(workload("Deployment", namespace), *way)
    template = cluster.get("deployment", "qwen", namespace)["spec"]["template"]["metadata"]
    assert template["labels"] == {"app": "qwen"}


def test_deployment_being_deleted_is_not_hung(cluster: Cluster, namespace: str) -> None:
    """A labelled Deployment is deleted in the foreground, with its pods: nothing of ours holds it up."""
    cluster.create(workload("Deployment", namespace, LABELLED))
    pods(cluster, namespace, 1, 1)
    cluster.kubectl(
        "delete", "deployment", "qwen", "-n", namespace, "--cascade=foreground", "--timeout=200s", "--wait"
    )
    assert cluster.list("pods", namespace) == []


def test_label_change_while_being_deleted(cluster: Cluster, namespace: str) -> None:
    """Labelling a Deployment that waits for a finalizer does not touch its template."""
    deployment = workload("Deployment", namespace)
    deployment["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.create(deployment)
    cluster.kubectl("delete", "deployment", "qwen", "-n", namespace, "--wait=false")
    cluster.kubectl("label", "deployment", "qwen", f"{SERVER}=vllm", "-n", namespace)
    assert carried(cluster, namespace) is None
    release = json.dumps([{"op": "remove", "path": "/metadata/finalizers"}])
    cluster.kubectl("patch", "deployment", "qwen", "-n", namespace, "--type=json", "-p", release)


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_other_workloads(cluster: Cluster, namespace: str, kind: str) -> None:
    """A labelled StatefulSet or DaemonSet makes pods with a registrar; unlabelled it carries nothing."""
    if kind == "DaemonSet":
        cluster.fake_node({})
    cluster.create(workload(kind, namespace, LABELLED))
    assert carried(cluster, namespace, kind) == "vllm"
    pods(cluster, namespace, 1, 1)
    cluster.kubectl("label", kind, "qwen", f"{SERVER}-", "-n", namespace)
    assert carried(cluster, namespace, kind) is None


def test_job_with_the_label_on_its_template(cluster: Cluster, namespace: str) -> None:
    """A Job whose template has the label makes a pod with a registrar."""
    cluster.create(workload("Job", namespace, None, LABELLED))
    pods(cluster, namespace, 1, 1)


@pytest.mark.parametrize("labels", [None, LABELLED], ids=["unlabelled", "label on the object"])
def test_job_without_it(cluster: Cluster, namespace: str, labels: JSON | None) -> None:
    """A Job without the label on its template makes plain pods, also when its own metadata has it."""
    cluster.create(workload("Job", namespace, labels))
    pods(cluster, namespace, 1, 0)


def test_job_labelled_later(cluster: Cluster, namespace: str) -> None:
    """Labelling an existing Job neither fails nor touches its immutable template."""
    cluster.create(workload("Job", namespace))
    cluster.kubectl("label", "job", "qwen", f"{SERVER}=vllm", "-n", namespace)
    assert CARRIED not in cluster.get("job", "qwen", namespace)["spec"]["template"]["metadata"]["labels"]


def test_unknown_annotation_is_refused_with_the_nearest_known(cluster: Cluster, namespace: str) -> None:
    """A typo in an annotation of ours is refused at `kubectl apply`, with every problem at once."""
    deployment = workload("Deployment", namespace, LABELLED)
    deployment["metadata"]["annotations"] = {
        "litellm-registrar.io/drain-timeot": "60",
        "litellm-registrar.io/scheme": "gopher",
    }
    answer = cluster.apply(deployment, check=False)
    assert answer.code != 0
    assert "did you mean" in answer.err, answer.err
    assert "litellm-registrar.io/drain-timeout" in answer.err, answer.err
    assert "gopher" in answer.err, answer.err


def test_what_the_owner_says_of_models_reaches_the_registrar(cluster: Cluster, namespace: str) -> None:
    """YAML beside the label is taken, carried, and read back by the registrar as it was meant."""
    deployment = workload("Deployment", namespace, LABELLED)
    deployment["metadata"]["annotations"] = {
        "litellm-registrar.io/exclude": "-draft$",
        "litellm-registrar.io/rpm": "600",
        "litellm-registrar.io/overrides": "- match: ^lora-\n  model_info: {category: adapter}\n",
    }
    cluster.apply(deployment)
    (pod,) = pods(cluster, namespace, 1, 1)
    env = {entry["name"]: entry.get("value") for entry in registrars(pod)[0]["env"]}
    assert env["REGISTRAR_EXCLUDE"] == "-draft$$"
    assert json.loads(env["REGISTRAR_LITELLM_PARAMS"]) == {"rpm": 600}
    assert json.loads(env["REGISTRAR_OVERRIDES"]) == [
        {"match": "^lora-", "model_info": {"category": "adapter"}, "litellm_params": {}}
    ]


def test_what_the_owner_may_not_say_is_refused_with_its_place(cluster: Cluster, namespace: str) -> None:
    """`kubectl apply` tells which key, at which place, for which reason: every one of them at once."""
    deployment = workload("Deployment", namespace, LABELLED)
    deployment["metadata"]["annotations"] = {
        "litellm-registrar.io/include": "(a+)+$",
        "litellm-registrar.io/litellm-params": "api_base: http://example.com",
        "litellm-registrar.io/overrides": "[{match: a, modelinfo: {}}]",
    }
    answer = cluster.apply(deployment, check=False)
    assert answer.code != 0
    assert "a repeat of what can match in several ways at position 4" in answer.err, answer.err
    assert "litellm-params.api_base: the registrar writes it" in answer.err, answer.err
    assert "overrides[0].modelinfo: unknown, did you mean model_info?" in answer.err, answer.err


def test_what_cannot_be_read_is_refused_with_what_settles_it(cluster: Cluster, namespace: str) -> None:
    """A workload whose port only a shell knows is refused; with the annotation that is named, it is taken."""
    deployment = workload("Deployment", namespace, LABELLED)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    for key in ("ports", "readinessProbe", "args"):
        del container[key]
    container["command"] = ["sh", "-c", 'exec vllm serve "$MODEL" --port "$PORT"']
    answer = cluster.apply(deployment, check=False)
    assert answer.code != 0
    assert "litellm-registrar.io/port" in answer.err, answer.err

    deployment["metadata"]["annotations"] = {"litellm-registrar.io/port": "8100"}
    cluster.apply(deployment)
    (pod,) = pods(cluster, namespace, 1, 1)
    env = {entry["name"]: entry.get("value") for entry in registrars(pod)[0]["env"]}
    assert env["REGISTRAR_SERVER_PORT"] == "8100"


def test_bad_annotation_that_slipped_in_stops_no_pod(
    cluster: Cluster, namespace: str, webhook: Webhook
) -> None:
    """A typo applied while the webhook was down keeps nobody from scaling, and the new pods are injected."""
    deployment = workload("Deployment", namespace, None, LABELLED)
    annotations = {"litellm-registrar.io/drain-timeot": "60"}
    deployment["spec"]["template"]["metadata"]["annotations"] = annotations
    deployment["spec"]["replicas"] = 0
    webhook.stop()
    try:
        cluster.create(deployment)
    finally:
        webhook.start()
    cluster.kubectl("scale", "deployment", "qwen", "--replicas=2", "-n", namespace)
    pods(cluster, namespace, 2, 1)


def test_label_taken_off_while_the_webhook_was_down(
    cluster: Cluster, namespace: str, webhook: Webhook
) -> None:
    """The mark that stayed behind is taken away by the next update, whatever that is."""
    cluster.create(workload("Deployment", namespace, LABELLED))
    webhook.stop()
    try:
        cluster.kubectl("label", "deployment", "qwen", f"{SERVER}-", "-n", namespace)
        assert carried(cluster, namespace) == "vllm"
    finally:
        webhook.start()
    cluster.kubectl("annotate", "deployment", "qwen", "team=a", "-n", namespace)
    assert carried(cluster, namespace) is None


def test_removal_by_an_edit_of_the_template_is_healed(cluster: Cluster, namespace: str) -> None:
    """Taking the mark off the template by hand brings it back: it says what the object's label says."""
    cluster.create(workload("Deployment", namespace, LABELLED))
    path = "/spec/template/metadata/labels/" + CARRIED.replace("/", "~1")
    patch = json.dumps([{"op": "remove", "path": path}])
    cluster.kubectl("patch", "deployment", "qwen", "-n", namespace, "--type=json", "-p", patch)
    assert carried(cluster, namespace) == "vllm"


def test_scaling_needs_nothing_of_us(cluster: Cluster, namespace: str) -> None:
    """`kubectl scale` of a labelled Deployment leaves its template alone, and its new pods are injected."""
    cluster.create(workload("Deployment", namespace, LABELLED))
    pods(cluster, namespace, 1, 1)
    template = cluster.get("deployment", "qwen", namespace)["spec"]["template"]
    cluster.kubectl("scale", "deployment", "qwen", "--replicas=3", "-n", namespace)
    pods(cluster, namespace, 3, 1)
    assert cluster.get("deployment", "qwen", namespace)["spec"]["template"] == template
