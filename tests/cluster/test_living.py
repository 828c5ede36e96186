"""What a release's leader says of pods that run on a real node, by what its kubelet writes of them."""

import json
from collections.abc import Callable

import pytest

from tests.cluster.release import WEBHOOK, Release
from tests.node.manifests import OPENAI, container, pod
from tests.peers.cluster import Cluster, wait_until
from tests.peers.helm import NAMESPACE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

METRIC = "litellm_registrar_webhook"
# Of the images on the node, one without Python: a registrar of it cannot run.
NO_REGISTRAR = "litellm-registrar/llama-server:test"


def events(cluster: Cluster, namespace: str) -> dict[str, str]:
    """Give the reason of ours for each pod that has an Event of ours."""
    found = json.loads(cluster.kubectl("get", "events", "-n", namespace, "-o", "json").out)["items"]
    ours = (one for one in found if one["source"].get("component") == "litellm-registrar-webhook")
    return {one["involvedObject"]["name"]: one["reason"] for one in ours}


def figure(cluster: Cluster, name: str) -> float:
    """Give the sum of a metric over the replicas of the webhook."""
    total = 0.0
    for replica in cluster.list("pods", NAMESPACE, "app.kubernetes.io/component=webhook"):
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{replica['metadata']['name']}:8080/proxy/metrics"
        lines = cluster.kubectl("get", "--raw", path).out.splitlines()
        total += sum(float(line.split()[-1]) for line in lines if line.startswith(f"{METRIC}_{name} "))
    return total


def test_pods_that_were_missed_and_registrars_that_cannot_run_are_said(
    release: Callable[..., Release], busy: str, cluster: Cluster
) -> None:
    """A pod from before the install; an image that cannot be pulled, and one that cannot be run."""
    cluster.create(pod(busy, "early", container(), OPENAI))
    ours = release()
    ours.install()
    ours.until_injecting()
    for name, settings in {
        "fine": {},
        "unpullable": {"registrar_image": "registry.invalid/sidecar:1"},
        "unrunnable": {"registrar_image": NO_REGISTRAR},
    }.items():
        cluster.create(pod(busy, name, container(), OPENAI, **settings))
    wanted = {
        "early": "missed",
        "unpullable": "registrar_not_started",
        "unrunnable": "registrar_not_started",
    }
    wait_until("Events of ours", 400, lambda: events(cluster, busy) == wanted, every=1)
    figures = {
        'missed_pods{reason="missed"}': 1,
        "injected_pods": 3,
        "injected_pods_not_started": 2,
        "leading": 1,
    }
    # Events and figures are told one after the other, and of a new leader for a moment by two
    wait_until("figures of ours", 90, lambda: {name: figure(cluster, name) for name in figures} == figures)
    log = cluster.kubectl("logs", f"deployment/{WEBHOOK}", "--all-pods", "-n", NAMESPACE).out
    assert "What lives cannot be" not in log
    cluster.kubectl("delete", "pod", "early", "-n", busy, "--now")
    wait_until("missed pod that is gone", 120, lambda: not figure(cluster, 'missed_pods{reason="missed"}'))
