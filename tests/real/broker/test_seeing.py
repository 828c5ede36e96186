"""What two brokers export of pods that report to them, in a real API server: by one of them, and truly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.broker_contract import STATE_PATH
from tests.peers.broker import BrokerProcess, Caller, injected_caller
from tests.peers.cluster import Cluster
from tests.standins.litellm import LiteLLM
from tests.standins.litellm_store import MASTER_KEY
from webhook.registered import CONDITION

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(900)]

PREFIX: Final = "litellm_registrar_broker_"
FLAGS: Final = ("--lease", "seeing", "--reap", "off", "--node-grace", "3600")
SERVES: Final = {"state": "serving", "models": 1, "wanted": 1}
WAITS: Final = {"state": "waiting", "reason": "server_loading", "wanted": 1}

# Values by the label `state`.
States = dict[str, float]


@pytest.fixture
async def brokers(cluster: Cluster, tmp_path: Path) -> AsyncIterator[list[BrokerProcess]]:
    """Run two replicas of a broker, before a stand-in: what is shown here is not LiteLLM's."""
    made = []
    # of other tests: in namespaces that end no kubelet ends them, and what is counted must not change by them
    others = ("delete", "pods", "--all", "--all-namespaces", "--force", "--grace-period=0")
    await asyncio.to_thread(cluster.kubectl, *others)
    async with LiteLLM(1) as litellm:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            made.append(BrokerProcess(cluster, litellm.url, MASTER_KEY, tmp_path / name, *FLAGS))
        try:
            for broker in made:
                await asyncio.to_thread(broker.start)
            yield made
        finally:
            for broker in made:
                broker.kill()


def states(brokers: list[BrokerProcess], name: str) -> States:
    """Give a metric of whoever exports it; there must be one at most."""
    found: list[States] = [
        {sample.labels["state"]: sample.value for sample in family.samples}
        for broker in brokers
        for family in text_string_to_metric_families(broker.health("/metrics").text)
        if family.name == PREFIX + name
    ]
    assert len(found) <= 1, found
    return found[0] if found else {}


async def until(brokers: list[BrokerProcess], name: str, wanted: States) -> None:
    """Wait until a metric has these values among its own."""
    found: States = {}
    for _ in range(900):
        found = await asyncio.to_thread(states, brokers, name)
        if found and wanted.items() <= found.items():
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"{name} is {found}, not {wanted}")


def tell(broker: BrokerProcess, pod: Caller, report: dict[str, Any]) -> None:
    """Have a pod's registrar report."""
    with broker.client() as client:
        assert pod.call(client, "POST", STATE_PATH, report).status_code == 200


def backdate(pod: Caller, minutes: float) -> None:
    """Have the pod's condition say that it has been so for longer."""
    since = (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    patch = json.dumps({"status": {"conditions": [{"type": CONDITION, "lastTransitionTime": since}]}})
    pod.cluster.kubectl(
        *("patch", "pod", pod.name, "-n", pod.namespace, "--subresource=status", "--type=strategic"),
        *("-p", patch),
    )


async def ready(brokers: list[BrokerProcess]) -> States:
    """Give the registrars by state once somebody counts: pods of other tests may be among them."""
    await until(brokers, "registrars", {})
    return await asyncio.to_thread(states, brokers, "registrars")


async def test_registrars_are_counted_by_what_they_tell(
    brokers: list[BrokerProcess], cluster: Cluster, namespace: str
) -> None:
    """One serves, one waits, one has told nothing; it does not matter which replica they tell."""
    before = await ready(brokers)
    for name, report in {"a": SERVES, "b": WAITS, "c": None}.items():
        pod = await asyncio.to_thread(injected_caller, cluster, namespace, name, "127.0.0.1")
        if report is not None:
            await asyncio.to_thread(tell, brokers[name == "b"], pod, report)
    grown = {state: before[state] + 1 for state in ("serving", "waiting", "silent")}
    await until(brokers, "registrars", grown)


async def test_when_the_leader_is_killed_another_one_counts(
    brokers: list[BrokerProcess], cluster: Cluster, namespace: str
) -> None:
    """All that is counted stands in the pods: whoever leads next says the same."""
    before = await ready(brokers)
    pod = await asyncio.to_thread(injected_caller, cluster, namespace, "qwen", "127.0.0.1")
    await asyncio.to_thread(tell, brokers[0], pod, SERVES)
    await until(brokers, "registrars", {"serving": before["serving"] + 1})
    (leader,) = [broker for broker in brokers if states([broker], "registrars")]
    others = [broker for broker in brokers if broker is not leader]
    leader.kill()
    await until(others, "registrars", {"serving": before["serving"] + 1})


async def test_a_pod_that_has_not_been_routable_for_five_minutes_is_counted_until_it_is(
    brokers: list[BrokerProcess], cluster: Cluster, namespace: str
) -> None:
    """By the time that stands in its condition; at first it has its time."""
    await ready(brokers)
    before = await asyncio.to_thread(states, brokers, "not_routable_pods")
    pod = await asyncio.to_thread(injected_caller, cluster, namespace, "qwen", "127.0.0.1")
    await asyncio.to_thread(tell, brokers[0], pod, WAITS)
    await until(brokers, "registrars", {})
    await asyncio.to_thread(backdate, pod, 4)
    await asyncio.sleep(3)  # longer than a look takes
    assert states(brokers, "not_routable_pods")["waiting"] == before["waiting"]
    await asyncio.to_thread(backdate, pod, 6)
    await until(brokers, "not_routable_pods", {"waiting": before["waiting"] + 1})
    await asyncio.to_thread(tell, brokers[1], pod, SERVES)
    await until(brokers, "not_routable_pods", {"waiting": before["waiting"]})
