"""`check --cluster` against a real API server: read-only, with the rights of the example alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.peers.cluster import Cluster, wait_until
from tests.peers.learned import rights
from tests.real.apiserver.manifests import REQUIRE_LABEL, pod, workload
from webhook.cli import main
from webhook.kube import reading

pytestmark = pytest.mark.kube

ROOT = Path(__file__).parents[3]
RIGHTS = ROOT / "examples" / "check-rbac.yaml"
POLICY = """\
apiVersion: policy.litellm-registrar.io/v1
kind: ModelServerPolicy
metadata: {name: t}
spec:
  defaults: {mode: enforce}
  rules: {code: {trustRemoteCode: deny}}
  exceptions:
    - id: EX-1
      rules: [code.trustRemoteCode]
      match: {namespace: "test-*", podName: "excepted*"}
      reason: not in vLLM yet
      owner: research
      expires: 2026-12-31
"""


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """Give the path of a policy."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def check(
    capsys: pytest.CaptureFixture[str], kubeconfig: Path, policy: str, *args: str
) -> tuple[int, dict[str, Any], str]:
    """Run the command; give exit code, what it found, and errors."""
    flags = ("--kubeconfig", str(kubeconfig), "--policy", policy, "--format", "json")
    code = main(["check", "--cluster", *flags, *args], {})
    out, err = capsys.readouterr()
    return code, json.loads(out or "{}"), err


def bad(manifest: dict[str, Any], name: str = "qwen") -> dict[str, Any]:
    """Give the manifest under that name, with code from the hub."""
    manifest["metadata"]["name"] = name
    spec = manifest["spec"] if manifest["kind"] == "Pod" else manifest["spec"]["template"]["spec"]
    spec["containers"][0]["args"].append("--trust-remote-code")
    return manifest


def test_a_workload_is_told_once(
    cluster: Cluster, namespace: str, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a Deployment with its ReplicaSet and pods one refusal is told; what is honest is told as allowed."""
    deployment = bad(
        workload("Deployment", namespace, template_labels={"litellm-registrar.io/server": "vllm"})
    )
    deployment["spec"]["replicas"] = 3
    cluster.create(deployment)
    honest = pod(namespace)
    honest["metadata"]["name"] = "honest"
    cluster.create(honest)
    wait_until("pods", 120, lambda: len(cluster.list("pods", namespace)) == 4)

    code, found, _ = check(capsys, cluster.work / "kubeconfig", policy, "--namespace", namespace)

    told = [(o["kind"], o["name"], o["outcome"], o.get("pods")) for o in found["objects"]]
    assert told == [("Pod", "honest", "allowed", None), ("apps/Deployment", "qwen", "pods denied", 3)]
    assert code == 1


def test_all_namespaces_page_by_page(
    cluster: Cluster,
    namespace: str,
    policy: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without --namespace every namespace is read, and lists longer than a page to their end."""
    monkeypatch.setattr(reading, "_PAGE", 2)
    names = [f"bad-{number}" for number in range(7)]
    for name in names:
        cluster.create(bad(pod(namespace), name))
    code, found, _ = check(capsys, cluster.work / "kubeconfig", policy)
    assert [o["name"] for o in found["objects"] if o["namespace"] == namespace] == names
    assert code == 1


def test_unlabelled_servers_of_closed_namespaces(
    cluster: Cluster, namespace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server without the label is told where its namespace asks for the label, and nowhere else."""
    policy = tmp_path / "door.yaml"
    policy.write_text(POLICY.replace("code: {trustRemoteCode: deny}", "scope: {requireLabel: deny}")
                      .replace("code.trustRemoteCode", "scope.requireLabel"))  # fmt: skip
    closed = cluster.namespace(f"closed-{namespace}")
    for each in (namespace, closed):
        cluster.create(pod(each, {"app": "qwen"}))
    cluster.kubectl("label", "namespace", closed, f"{REQUIRE_LABEL}=true")
    code, found, _ = check(capsys, cluster.work / "kubeconfig", str(policy))
    told = {o["namespace"] for o in found["objects"]} & {namespace, closed}
    cluster.kubectl("delete", "namespace", closed, "--wait=false")
    assert (code, told) == (1, {closed})


def test_as_of_a_date(
    cluster: Cluster, namespace: str, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What will be refused once an exception has ended is told before it ends."""
    cluster.create(bad(pod(namespace), "excepted"))
    codes = [
        check(capsys, cluster.work / "kubeconfig", policy, "--namespace", namespace, "--at", date)[0]
        for date in ("2026-12-31", "2027-01-01")
    ]
    assert codes == [0, 1]


def test_the_rights_of_the_example_suffice(
    cluster: Cluster, namespace: str, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ServiceAccount with the rights of the example can check; without them the missing one is named."""
    cluster.create(bad(pod(namespace)))
    cluster.kubectl("create", "serviceaccount", "checker", "-n", namespace)
    kubeconfig = cluster.kubeconfig_of(namespace, "checker")

    code, _, err = check(capsys, kubeconfig, policy)
    assert code == 2
    assert "GET /api/v1/namespaces: 403 Forbidden" in err

    cluster.kubectl("apply", "-f", str(RIGHTS))
    subject = f"--serviceaccount={namespace}:checker"
    cluster.kubectl(
        "create", "clusterrolebinding", "checker", "--clusterrole=litellm-registrar-check", subject
    )
    rights(cluster, namespace, "checker", "list", "pods", "--all-namespaces")
    code, found, err = check(capsys, kubeconfig, policy)
    assert (code, err) == (1, "")
    assert [o["name"] for o in found["objects"] if o["namespace"] == namespace] == ["qwen"]
