"""A real control plane, and replicas of the webhook that look after what lives in it; nobody asks them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.peers.broker import NAMESPACE
from tests.peers.cluster import Cluster, wait_until
from tests.peers.webhook import WebhookProcess
from tests.real.clusters import granted

JSON = dict[str, Any]

ACCOUNT: Final = "litellm-registrar-webhook"
METRIC: Final = "litellm_registrar_webhook"
# Longer than a Lease lasts that nobody gives up; this machine may be busy.
SOON: Final = 180

_numbers = itertools.count()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a control plane, with the project's ServiceAccounts and their rights."""
    with granted(tmp_path_factory.mktemp("kube-living")) as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Give the test a namespace of its own, in which nothing is left at its end."""
    name = cluster.namespace(f"living-{next(_numbers)}")
    yield name
    cluster.kubectl("delete", "deployments,pods", "--all", "-n", name, "--now")
    cluster.kubectl("delete", "namespace", name, "--wait=false")


class Replica(WebhookProcess):
    """`webhook serve --lease` by the rights of examples/rbac.yaml."""

    def __init__(self, cluster: Cluster, folder: Path, *flags: str) -> None:
        cert, key, _ = cluster.certificate("webhook", "IP:127.0.0.1")
        kubeconfig = str(cluster.kubeconfig_of(NAMESPACE, ACCOUNT))
        flags = ("--namespace", NAMESPACE, "--lease", ACCOUNT, "--kubeconfig", kubeconfig, *flags)
        super().__init__(cert, key, folder / f"webhook-{next(_numbers)}.log", "127.0.0.1", *flags)

    def until(self, name: str, value: float) -> None:
        """Wait until a metric has this value."""
        wait_until(f"{name} that is {value}", SOON, lambda: self.metric(f"{METRIC}_{name}") == value)


@pytest.fixture
def replica(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Replica]]:
    """Give what starts a replica with more flags; all that still run are ended well."""
    running: list[Replica] = []

    def start(*flags: str) -> Replica:
        running.append(Replica(cluster, tmp_path, *flags))
        running[-1].start()
        return running[-1]

    yield start
    for one in running:
        one.stop()


def events(cluster: Cluster, namespace: str) -> set[tuple[str, str, str]]:
    """Give kind, name and reason of each Event of ours in a namespace."""
    found = json.loads(cluster.kubectl("get", "events", "-n", namespace, "-o", "json").out)["items"]
    return {
        (one["involvedObject"]["kind"], one["involvedObject"]["name"], one["reason"])
        for one in found
        if one["source"].get("component") == ACCOUNT
    }
