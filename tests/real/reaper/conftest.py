"""A broker with its reaper, on a real API server and a real LiteLLM, and pods with rows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from tests.peers.broker import NAMESPACE, BrokerProcess, Caller, injected_caller
from tests.peers.cluster import Cluster, wait_until
from tests.peers.proxy import LiteLLM
from tests.peers.scripts import loopback_address
from tests.real.clusters import granted
from webhook.broker.key_abilities import ROUTES

LEASE: Final = "litellm-registrar-broker"
# The node of these pods has no kubelet, so that it counts as lost after a while.
FLAGS: Final = ("--lease", LEASE, "--reap-grace", "3", "--node-grace", "3600")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a control plane with its controllers, the project's rights, and a node that nobody looks after."""
    with granted(tmp_path_factory.mktemp("kube-reaper")) as running:
        running.fake_node({})
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Give the test a namespace of its own."""
    name = cluster.namespace(f"models-{next(_numbers)}")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


Start = Callable[..., BrokerProcess]


@pytest.fixture
def start(cluster: Cluster, proxy: LiteLLM, tmp_path: Path) -> Iterator[Start]:
    """Give the means to start brokers that reap, each with flags of its own beside `FLAGS`."""
    cluster.kubectl("delete", "lease", LEASE, "-n", NAMESPACE, "--ignore-not-found")
    key = proxy.make_key(allowed_routes=[*ROUTES])
    started: list[BrokerProcess] = []

    def one(*flags: str, replica: int = 0, url: str = "") -> BrokerProcess:
        folder = tmp_path / f"broker-{len(started)}"
        folder.mkdir()
        process = BrokerProcess(cluster, url or proxy.urls[replica], key, folder, *FLAGS, *flags)
        process.start()
        started.append(process)
        return process

    yield one
    for process in started:
        process.stop()


class Pods:
    """Pods with rows, which a broker made for them."""

    def __init__(self, cluster: Cluster, namespace: str, proxy: LiteLLM) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._proxy = proxy

    def serving(self, broker: BrokerProcess, name: str, *models: str) -> Caller:
        """Make a pod with a row for each model (default: one called like the pod)."""
        pod = injected_caller(self._cluster, self._namespace, name, loopback_address())
        with broker.client() as client:
            for model in models or (name,):
                answer = pod.call(client, "POST", "/model/new", pod.row(f"{self._namespace}-{model}"))
                assert answer.status_code == 200, answer.text
        return pod

    def id(self, pod: Caller, model: str) -> str:
        """Give the id of a pod's row; names of models are those of one namespace, for a while after too."""
        return pod.id(f"{self._namespace}-{model}")

    def rows(self) -> set[str]:
        """Give the ids of our rows in the database."""
        return {key for key in self._proxy.stored() if key not in self._proxy.foreign}


@pytest.fixture
def pods(cluster: Cluster, namespace: str, proxy: LiteLLM) -> Pods:
    """Give the means to make pods with rows."""
    return Pods(cluster, namespace, proxy)


def leads(broker: BrokerProcess) -> bool:
    """Tell whether a broker leads, by its metrics, and has looked."""
    text = broker.health("/metrics").text
    return "reaper_leading 1.0" in text and "reaper_last_look_timestamp_seconds" in text


def figure(broker: BrokerProcess, series: str) -> float:
    """Give a figure of a broker's, by its series without the prefix; 0 if it is not exported."""
    for line in broker.health("/metrics").text.splitlines():
        name, _, value = line.rpartition(" ")
        if name == f"litellm_registrar_broker_{series}":
            return float(value)
    return 0.0


def events(cluster: Cluster, namespace: str) -> list[tuple[str, str]]:
    """Give the Events of a namespace: the name of what each is about, and its reason."""
    return [(each["involvedObject"]["name"], each["reason"]) for each in cluster.list("events", namespace)]


def ready(cluster: Cluster, *, is_ready: bool) -> None:
    """Have the node Ready or not, as its kubelet would say it."""
    condition = {
        "type": "Ready",
        "status": "True" if is_ready else "False",
        "reason": "Test",
        "message": "",
        # from here on it takes 40 s until Kubernetes says that nobody hears of the node any more
        "lastHeartbeatTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    patch = json.dumps({"status": {"conditions": [condition]}})
    cluster.kubectl("patch", "node", "fake", "--subresource=status", "--type=merge", "-p", patch)


def until(what: str, check: Callable[[], object]) -> None:
    """Wait for something that the reaper does."""
    wait_until(what, 180, check, every=0.5)
