"""What a person sees in kubectl, in a cluster with the chart installed."""

import pytest

from tests.peers.cluster import JSON, Cluster, wait_until
from tests.real.apiserver.manifests import CARRIED, SERVER, pod, registrars, workload

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

LABELLED = {SERVER: "vllm"}
FOREIGN_CODE = "found trust-remote-code --trust-remote-code, wanted a model that needs no code of its own"


def injected(cluster: Cluster, namespace: str) -> list[JSON]:
    """Read the pods of a namespace that have one registrar."""
    return [one for one in cluster.list("pods", namespace) if len(registrars(one)) == 1]


def allowed(manifest: JSON) -> JSON:
    """Have it ask for what the policy of these namespaces asks for."""
    template = manifest["spec"].get("template", manifest)
    (container,) = template["spec"]["containers"]
    container["resources"] = {"limits": {"cpu": "1", "memory": "1Gi"}}
    return manifest


def test_labelling_a_deployment(policed: str, cluster: Cluster) -> None:
    """`kubectl label deployment` says that the pods are replaced; the new ones have a registrar."""
    cluster.create(allowed(workload("Deployment", policed)))
    answer = cluster.kubectl("label", "deployment", "qwen", f"{SERVER}=vllm", "-n", policed)
    assert answer.warnings == [
        "pods_replaced: the pods of this Deployment are replaced to get the registrar",
    ]
    wait_until("injected pod", 90, lambda: injected(cluster, policed))
    template = cluster.get("deployment", "qwen", policed)["spec"]["template"]["metadata"]
    assert template["labels"][CARRIED] == "vllm"
    cluster.kubectl("delete", "deployment", "qwen", "-n", policed, "--cascade=foreground", "--timeout=300s")


def test_applying_a_labelled_pod(policed: str, cluster: Cluster) -> None:
    """`kubectl apply` of a pod that nothing is wrong with says nothing but that it is created."""
    answer = cluster.apply(allowed(pod(policed)))
    assert (answer.out, answer.err) == ("pod/qwen created\n", "")
    (made,) = injected(cluster, policed)
    assert made["metadata"]["name"] == "qwen"
    cluster.kubectl("delete", "pod", "qwen", "-n", policed, "--force", "--grace-period=0")


def test_a_mistake_is_warned_of(policed: str, cluster: Cluster) -> None:
    """A mistake in an annotation of a pod is a warning with what is allowed; the pod is created."""
    answer = cluster.apply(allowed(pod(policed, annotations={"litellm-registrar.io/prot": "8000"})))
    assert answer.out == "pod/qwen created\n"
    mistake = "unknown_annotation: metadata.annotations[litellm-registrar.io/prot]: no such annotation"
    assert answer.warnings == [f"{mistake}; did you mean litellm-registrar.io/port?"]
    cluster.kubectl("delete", "pod", "qwen", "-n", policed, "--force", "--grace-period=0")


def test_a_denial_names_every_violation(policed: str, cluster: Cluster) -> None:
    """`kubectl apply` of what the policy forbids shows the rules, the paths, what is found and wanted."""
    manifest = pod(policed)
    manifest["spec"]["hostNetwork"] = True
    manifest["spec"]["containers"][0]["args"].append("--trust-remote-code")
    answer = cluster.apply(manifest, check=False)
    assert answer.code == 1
    assert answer.err == (
        'Error from server (policy_violation): error when creating "STDIN": admission webhook '
        '"server.pods.litellm-registrar.io" denied the request: '
        f"code.trustRemoteCode: spec.containers[0].args[4]: {FOREIGN_CODE}; "
        "podSecurity.hostNetwork: spec.hostNetwork: found true, wanted false\n"
    )


def test_a_workload_whose_pods_would_be_denied(policed: str, cluster: Cluster) -> None:
    """`kubectl apply` of a Deployment labelled on its template tells why its pods would be refused."""
    manifest = workload("Deployment", policed, template_labels=LABELLED)
    manifest["spec"]["template"]["spec"]["containers"][0]["args"].append("--trust-remote-code")
    answer = cluster.apply(manifest)
    assert answer.warnings == [
        "policy_violation: the pods it makes would be refused for the first of what follows",
        f"code.trustRemoteCode: spec.template.spec.containers[0].args[4]: {FOREIGN_CODE}",
    ]
