"""What the webhook's leader finds in a real cluster, by the rights of examples/rbac.yaml."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.contract import CONTRACT_VERSION
from tests.injected import injected
from tests.peers.cluster import Cluster, wait_until
from tests.peers.webhook import IMAGE
from tests.real.apiserver.manifests import CARRIED, REQUIRE_LABEL, SERVER, pod, workload
from tests.real.living.conftest import METRIC, SOON, Replica, events

pytestmark = [pytest.mark.kube, pytest.mark.timeout(900)]

JSON = dict[str, Any]
Start = Callable[..., Replica]


def policy(path: Path, code: str, **rules: Any) -> Path:
    """Write a policy that says this of code from the hub."""
    head = {"apiVersion": "policy.litellm-registrar.io/v1", "kind": "ModelServerPolicy"}
    spec = {"defaults": {"mode": "enforce"}, "rules": {"code": {"trustRemoteCode": code}, **rules}}
    # in one step, as the kubelet changes it: a file that is being written is empty for a moment
    following = path.with_name("following")
    following.write_text(json.dumps({**head, "metadata": {"name": "t"}, "spec": spec}))
    return following.replace(path)


def trusting(namespace: str, name: str) -> JSON:
    """Give a Deployment of one model server that runs code from the hub."""
    found = workload("Deployment", namespace, template_labels={SERVER: "vllm"})
    found["metadata"]["name"] = name
    found["spec"]["template"]["spec"]["containers"][0]["args"].append("--trust-remote-code")
    return found


def test_pods_that_were_missed_are_counted_and_get_an_event_until_they_are_gone(
    cluster: Cluster, namespace: str, replica: Start
) -> None:
    """Those that ask for a registrar, by their own label or their workload's; not those that opted out."""
    for name, labels in {
        "labelled": {SERVER: "vllm"},
        "carried": {CARRIED: "vllm"},
        "out": {SERVER: "vllm", "litellm-registrar.io/inject": "false"},
        "mistaken": {SERVER: "vlm"},
        "other": {},
    }.items():
        made = pod(namespace, labels)
        made["metadata"]["name"] = name
        cluster.create(made)
    leader = replica()
    leader.until('missed_pods{reason="missed"}', 2)
    leader.until('missed_pods{reason="bad_label"}', 1)
    wanted = {
        ("Pod", "labelled", "missed"),
        ("Pod", "carried", "missed"),
        ("Pod", "mistaken", "bad_label"),
    }
    wait_until("Events", SOON, lambda: events(cluster, namespace) == wanted)
    assert "kubectl rollout restart" in cluster.kubectl("describe", "pod", "labelled", "-n", namespace).out
    cluster.kubectl("delete", "pod", "labelled", "mistaken", "-n", namespace, "--now")
    leader.until('missed_pods{reason="missed"}', 1)
    assert "PROBLEM" not in leader.log.read_text()


def test_a_registrar_whose_image_cannot_be_pulled_is_counted_after_a_while(
    cluster: Cluster, namespace: str, replica: Start
) -> None:
    """What the kubelet would write into the pod's status; the pod is injected, not missed."""
    for name in ("stuck", "fine"):
        cluster.create(injected(namespace, name))
    leader, not_started = replica(), f"{METRIC}_injected_pods_not_started"
    leader.until("injected_pods", 2)
    waiting = {"reason": "ErrImagePull", "message": "no such image"}
    status = {
        "name": "registrar",
        "image": "i",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": waiting},
    }
    patch = json.dumps({"status": {"initContainerStatuses": [status]}})
    where = ("pod", "stuck", "-n", namespace, "--subresource=status", "--type=merge", "-p")
    cluster.kubectl("patch", *where, patch)
    assert leader.metric(not_started) == 0
    wait_until("registrar that has not started", SOON + 120, lambda: leader.metric(not_started) == 1)
    wanted = {("Pod", "stuck", "registrar_not_started")}
    wait_until("Event", SOON, lambda: events(cluster, namespace) == wanted)
    assert leader.metric(f'{METRIC}_missed_pods{{reason="missed"}}') == 0


def test_registrars_with_another_image_than_new_ones_get_are_counted_until_they_are_replaced(
    cluster: Cluster, namespace: str, replica: Start
) -> None:
    """As after an upgrade of the chart: who still runs an old one is seen."""
    for name in ("old", "new"):
        made = injected(namespace, name)
        if name == "new":
            made["spec"]["initContainers"][-1]["image"] = IMAGE
        cluster.create(made)
    leader, by = replica(), f'contract="{CONTRACT_VERSION}",image='
    leader.until(f'registrars{{{by}"other"}}', 1)
    leader.until(f'registrars{{{by}"current"}}', 1)
    cluster.kubectl("set", "image", "pod/old", f"registrar={IMAGE}", "-n", namespace)
    leader.until(f'registrars{{{by}"current"}}', 2)
    leader.until(f'registrars{{{by}"other"}}', 0)


def test_what_lives_is_judged_when_the_policy_changes(
    cluster: Cluster, namespace: str, replica: Start, tmp_path: Path
) -> None:
    """A Deployment whose pods run gets the Event, once for all of them; a policy that allows it ends that."""
    cluster.create(trusting(namespace, "qwen"))
    wait_until("pod of the Deployment", SOON, lambda: cluster.list("pods", namespace))
    file = policy(tmp_path / "policy.yaml", "allow")
    leader = replica("--policy", str(file))
    leader.until('servers_refused{when="now"}', 0)
    policy(file, "deny")
    leader.until('servers_refused{when="now"}', 1)
    wanted = ("Deployment", "qwen", "policy_violation")
    wait_until("Event", SOON, lambda: wanted in events(cluster, namespace))
    told = cluster.kubectl("describe", "deployment", "qwen", "-n", namespace).out
    assert "code.trustRemoteCode: spec.template.spec.containers[0].args[4]" in told
    assert {kind for kind, _, reason in events(cluster, namespace) if reason == wanted[2]} == {"Deployment"}
    policy(file, "allow")
    leader.until('servers_refused{when="now"}', 0)
    assert "PROBLEM" not in leader.log.read_text()


def test_servers_without_the_label_are_judged_where_the_namespace_asks_for_it(
    cluster: Cluster, namespace: str, replica: Start, tmp_path: Path
) -> None:
    """As at admission: another namespace's are nobody's business."""
    cluster.create(pod(namespace, {}))
    leader = replica(
        "--policy", str(policy(tmp_path / "policy.yaml", "allow", scope={"requireLabel": "deny"}))
    )
    leader.until('servers_refused{when="now"}', 0)
    leader.stop()
    cluster.kubectl("label", "namespace", namespace, f"{REQUIRE_LABEL}=true")
    leader.start()
    leader.until('servers_refused{when="now"}', 1)
    wait_until("Event", SOON, lambda: ("Pod", "qwen", "policy_violation") in events(cluster, namespace))


def test_one_of_two_replicas_looks_and_the_other_takes_over_from_one_that_crashed(
    cluster: Cluster, namespace: str, replica: Start
) -> None:
    """Only the leader has figures; the other one's are its own from then on, and it says nothing twice."""
    cluster.create(pod(namespace))
    first = replica()
    first.until('missed_pods{reason="missed"}', 1)
    wait_until("Event", SOON, lambda: events(cluster, namespace))
    second = replica()
    second.until("leading", 0)
    assert math.isnan(second.metric(f"{METRIC}_injected_pods"))
    first.kill()
    second.until('missed_pods{reason="missed"}', 1)
    second.until("leading", 1)
    told = cluster.kubectl("get", "events", "-n", namespace, "-o", "name").out.split()
    assert len(told) == 1
