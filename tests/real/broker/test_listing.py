"""`litellm-registrar list` as a process: on a real API server by real rights, and on a real LiteLLM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.broker_contract import STATE_PATH, State, StateReport
from tests.injected import CLUSTER
from tests.peers.broker import ACCOUNT, NAMESPACE, NODE, ROOT, BrokerProcess, Caller, injected_caller
from tests.peers.cluster import Cluster
from tests.peers.learned import rights
from tests.peers.proxy import LiteLLM
from tests.peers.scripts import loopback_address
from webhook.listing.settings import ENV_KEY

pytestmark = [pytest.mark.real, pytest.mark.kube]

JSON = dict[str, Any]


@dataclass
class Done:
    """What a list has printed, and its exit code."""

    code: int
    out: str
    err: str

    def of(self, namespace: str) -> dict[tuple[str, str | None], JSON]:
        """Read the entries of a namespace, by pod and model."""
        entries = [one for one in json.loads(self.out)["entries"] if one["namespace"] == namespace]
        return {(one["pod"], one["model"]): one for one in entries}


Run = Callable[..., Done]


@pytest.fixture
def run(cluster: Cluster, broker: BrokerProcess, proxy: LiteLLM) -> Run:
    """Give what runs `list` as `kubectl exec` into the broker's container would: without a flag.

    Keywords replace variables; what LiteLLM holds must be the same after it.
    """

    def ran(*flags: str, **variables: str) -> Done:
        environ = {
            **os.environ,
            "WEBHOOK_LITELLM_URL": proxy.urls[0],
            "WEBHOOK_LITELLM_KEY_FILE": str(broker.key_file),
            "WEBHOOK_CLUSTER_ID": CLUSTER,
            "WEBHOOK_KUBECONFIG": str(cluster.kubeconfig_of(NAMESPACE, ACCOUNT)),
            **variables,
        }
        before = proxy.stored()
        command = [sys.executable, "-m", "webhook", "list", *flags]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        assert proxy.stored() == before
        return Done(done.returncode, done.stdout, done.stderr)

    return ran


def registered(pod: Caller, client: httpx.Client, model: str) -> None:
    """Have a pod's registrar make a row and tell that it serves."""
    made = pod.call(client, "POST", "/model/new", pod.row(model))
    assert made.status_code == 200, made.text
    report = StateReport(State.SERVING, models=1, wanted=1).to_json()
    told = pod.call(client, "POST", STATE_PATH, report)
    assert told.status_code == 200, told.text


def node_is(cluster: Cluster, ready: str) -> None:
    """Have the node's kubelet say whether it is Ready: for a while, then Kubernetes takes it for lost."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"type": "Ready", "status": ready, "reason": "Test", "lastHeartbeatTime": now}]
    patch = json.dumps({"status": {"conditions": conditions}})
    cluster.kubectl("patch", "node", NODE, "--subresource=status", "--type=strategic", "-p", patch)


@pytest.fixture
def serving(pod: Caller, client: httpx.Client, namespace: str) -> str:
    """Have the pod serve a model, and give its name."""
    registered(pod, client, f"{namespace}-qwen")
    return f"{namespace}-qwen"


def test_a_pod_that_serves_is_shown_with_its_row_and_its_state(pod: Caller, serving: str, run: Run) -> None:
    """By the broker's own account, key and variables; nothing differs."""
    node_is(pod.cluster, "True")
    done = run("--namespace", pod.namespace)
    assert (done.code, done.err) == (0, "")
    head, line = done.out.splitlines()
    assert head.split()[:6] == ["NAMESPACE", "POD", "AGE", "STATE", "SINCE", "MODEL"]
    assert line.split()[:2] == [pod.namespace, pod.name]
    assert line.split()[3] == "serving"
    assert line.split()[5] == serving
    assert line.split()[-3:] == [f"http://{pod.address}:8000/v1", NODE, "<none>"]


def test_what_differs_is_told_of_each_pod_and_row(
    pod: Caller, serving: str, client: httpx.Client, proxy: LiteLLM, run: Run
) -> None:
    """A row of a pod that was taken away, a pod without a row, a block by hand, an address, a name."""
    cluster = pod.cluster
    crashed = injected_caller(cluster, pod.namespace, "crashed", loopback_address())
    registered(crashed, client, f"{serving}-crashed")
    crashed.delete()
    injected_caller(cluster, pod.namespace, "starting", loopback_address())
    blocked = injected_caller(cluster, pod.namespace, "blocked", loopback_address())
    registered(blocked, client, f"{serving}-blocked")
    assert (
        proxy.call("POST", "/model/block", {"model_id": blocked.id(f"{serving}-blocked")}).status_code == 200
    )
    moved = {
        "litellm_params": {"api_base": "http://192.0.2.9:8000/v1"},
        "model_info": {"id": pod.id(serving)},
    }
    assert proxy.call("PATCH", f"/model/{pod.id(serving)}/update", moved).status_code == 200
    by_hand = proxy.create(serving, {"model": "hosted_vllm/x", "api_base": "http://127.0.0.1:9/v1"}, {})
    node_is(cluster, "False")
    done = run("--output", "json")
    proxy.call("POST", "/model/delete", {"id": by_hand})
    found = {key: sorted(one["differs"]) for key, one in done.of(pod.namespace).items()}
    assert done.code == 1, done.err
    assert found == {
        ("crashed", f"{serving}-crashed"): ["pod_gone"],
        ("starting", None): ["node_not_ready", "pod_without_row"],
        ("blocked", f"{serving}-blocked"): ["blocked_by_others", "node_not_ready"],
        ("qwen", serving): ["address_differs", "name_elsewhere", "node_not_ready"],
    }
    assert done.of(pod.namespace)["qwen", serving]["elsewhere"] == [{"cluster": "", "namespace": ""}]


def test_a_pod_that_has_lost_its_label_is_still_behind_its_row(pod: Caller, serving: str, run: Run) -> None:
    """Pods are found by their label; one that a row names is asked for before it is said to be gone."""
    pod.cluster.kubectl("label", "pod", pod.name, "-n", pod.namespace, "litellm-registrar.io/server-")
    done = run("--output", "json")
    differs = done.of(pod.namespace)[pod.name, serving]["differs"]
    assert set(differs) <= {"node_not_ready"}, "nobody looks after this node"


def test_a_tenant_sees_their_own_namespace_and_reads_that_nodes_are_not_told_of(
    pod: Caller, serving: str, broker: BrokerProcess, run: Run
) -> None:
    """On a laptop: a kubeconfig with the rights of `view` in one namespace, the key in a variable."""
    cluster = pod.cluster
    cluster.kubectl("create", "serviceaccount", "tenant", "-n", pod.namespace)
    who = f"--serviceaccount={pod.namespace}:tenant"
    cluster.kubectl("create", "rolebinding", "tenant", "--clusterrole=view", who, "-n", pod.namespace)
    rights(cluster, pod.namespace, "tenant", "list", "pods", "-n", pod.namespace)
    kubeconfig = str(cluster.kubeconfig_of(pod.namespace, "tenant"))
    key = broker.key_file.read_text()
    variables = {"WEBHOOK_LITELLM_KEY_FILE": "", ENV_KEY: key, "WEBHOOK_KUBECONFIG": kubeconfig}
    done = run("--namespace", pod.namespace, **variables)
    assert (done.code, serving in done.out) == (0, True), done.err
    assert "Whether nodes are Ready is not told: 403 Forbidden" in done.err
    everything = run(**variables)
    assert (everything.code, everything.out) == (2, "")
    assert "webhook: error: the Kubernetes API: 403 Forbidden" in everything.err
    assert key not in done.out + done.err + everything.err


def test_a_key_that_litellm_does_not_know_is_said_and_is_not_shown(run: Run, tmp_path: Path) -> None:
    """Nothing is listed: without LiteLLM every pod would look like one without a row."""
    (tmp_path / "key").write_text("sk-no-key-of-anybody")
    done = run(WEBHOOK_LITELLM_KEY_FILE=str(tmp_path / "key"))
    assert (done.code, done.out) == (2, "")
    assert done.err == "webhook: error: LiteLLM answers the question for its rows with HTTP 401\n"
