"""The pod of every golden case, created through a real API server."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.golden.cases import Case, cases
from tests.peers.cluster import JSON, Cluster, wait_until
from tests.peers.webhook import CLUSTER_ID, IMAGE, Webhook
from tests.real.apiserver.manifests import registrars
from webhook.inject import Injection, inject
from webhook.patch import apply

pytestmark = pytest.mark.kube

DIRECT = [case for case in cases() if not case.asks_broker]
WEBHOOKS = ("server.pods.litellm-registrar.io", "carried.pods.litellm-registrar.io")
CONFIG = Injection(cluster=CLUSTER_ID, image=IMAGE)


def prepare(cluster: Cluster, namespace: str, manifest: JSON) -> JSON:
    """Give the manifest for that namespace, after making what its pod is not admitted without."""
    manifest = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
    spec = manifest["spec"] if manifest["kind"] == "Pod" else manifest["spec"]["template"]["spec"]
    if account := spec.get("serviceAccountName"):
        cluster.kubectl("create", "serviceaccount", account, "-n", namespace)
    if priority := spec.get("priorityClassName"):
        cluster.kubectl("create", "priorityclass", priority, "--value=1000", check=False)
        plain = {"containers": [{"name": "c", "image": "x"}], "priorityClassName": priority}
        probe = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain"}, "spec": plain}
        rehearsal = ("-n", namespace, "--dry-run=server")
        # the plugin of priorities goes by what it watches
        wait_until("PriorityClass", 120, lambda: cluster.create(probe, *rehearsal, check=False).code == 0)
    if manifest["kind"] in {"Deployment", "StatefulSet"}:
        manifest["spec"] = {**manifest["spec"], "replicas": 1}
    if manifest["kind"] == "DaemonSet":
        cluster.fake_node(spec.get("nodeSelector", {}))
    return manifest


def absent(expected: Any, stored: Any, path: str = "") -> list[str]:
    """Name what of `expected` is not in what the API server has, which adds defaults and other keys."""
    if isinstance(expected, Mapping):
        if not isinstance(stored, Mapping):
            return [path]
        return [p for key, value in expected.items() for p in absent(value, stored.get(key), f"{path}/{key}")]
    if isinstance(expected, list) and isinstance(stored, list) and len(expected) <= len(stored):
        pairs = zip(expected, stored, strict=False)
        return [p for i, (mine, theirs) in enumerate(pairs) for p in absent(mine, theirs, f"{path}/{i}")]
    if expected == "" and stored is None:  # the API server leaves empty strings out
        return []
    return [] if expected == stored else [f"{path}: {expected!r} became {stored!r}"]


def ours(pod: JSON) -> JSON:
    """Give what the webhook writes: the registrar, every hook, the grace period, its volume."""
    spec = pod["spec"]
    return {
        "registrar": registrars(pod)[0],
        "hooks": {c["name"]: c.get("lifecycle", {}) for c in spec["containers"]},
        "grace": spec["terminationGracePeriodSeconds"],
        "volumes": {volume["name"]: volume for volume in spec.get("volumes", ())},
    }


@pytest.mark.parametrize("case", DIRECT, ids=lambda case: case.folder.name)
def test_golden_case(case: Case, cluster: Cluster, namespace: str, webhook: Webhook) -> None:
    """The case's pod is admitted with one registrar, exactly as written, in two calls where it needs two."""
    admit(case, CONFIG, cluster, namespace, webhook)


def admit(case: Case, config: Injection, cluster: Cluster, namespace: str, webhook: Webhook) -> None:
    """Create the case's pod, and hold what is stored against what this configuration writes."""
    manifest = prepare(cluster, namespace, case.manifest)
    before = sum(webhook.calls(name) for name in WEBHOOKS)
    cluster.create(manifest)
    (pod,) = wait_until("pod", 120, lambda: cluster.list("pods", namespace))
    calls = sum(webhook.calls(name) for name in WEBHOOKS) - before

    pod_step = case.steps()[-1]
    if not pod_step.decision.ops:
        assert absent(registrars(dict(pod_step.obj)), registrars(pod)) == []
        assert len(registrars(pod)) == len(registrars(dict(pod_step.obj)))
        return
    (registrar,) = registrars(pod)
    nonce = next(entry["value"] for entry in registrar["env"] if entry["name"] == "REGISTRAR_NONCE")
    expected = apply(pod_step.obj, inject(pod_step.obj, config, nonce).ops)
    assert absent(ours(expected), ours(pod)) == []
    token = any(mount["name"].startswith("kube-api-access") for mount in registrar.get("volumeMounts", ()))
    assert token == pod["spec"].get("automountServiceAccountToken", True)
    # a registrar that stood in the pod had its token's mount before we were asked
    added = not registrars(dict(pod_step.obj))
    assert calls == (2 if token and added else 1)
