"""Pods' lives in broker mode: registered by their tokens, told of their end, whatever becomes of the broker.

The broker has a certificate of its own, whose CA the webhook takes from the ConfigMap; both run by the rights
of `examples/rbac.yaml`. Pods find no LiteLLM and no Secret.
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.contract import CONTAINER_NAME, ENV_LITELLM_CA, ENV_LITELLM_KEY, ENV_TOKEN_FILE
from tests.keys import brought
from tests.load import Load, examples
from tests.node.checks import check_ending, check_log
from tests.node.manifests import ILL, LABEL, OPENAI, UNTIL_ILL, container, deployment
from tests.node.world import World, new_world
from tests.peers.broker import CA, NAMESPACE, SECRET, BrokerProcess, grant
from tests.peers.cluster import JSON, Cluster, machine_address, wait_until
from tests.peers.proxy import LiteLLM
from tests.peers.webhook import Webhook, change_ca
from webhook.broker.key_abilities import ROUTES

pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]

PROPAGATION = 35.0
ELDER = "elder"
# Clocks of one machine are not off.
OVERLAP = ("--tls-overlap", "2", "--tls-clock-skew", "0.25")
DELETED = "The pod is being deleted"
RESTARTS = "The pod is not being deleted: a container restarts"


@pytest.fixture(scope="module")
def broker(cluster: Cluster, proxy: LiteLLM, work: Path) -> Iterator[BrokerProcess]:
    """Run the broker on the machine's address, with the narrowest key of LiteLLM."""
    grant(cluster)
    # when LiteLLM shows no row at all, a broker does not believe for half a minute that every name is free
    proxy.create("of-somebody-else", {"model": "openai/x", "api_key": "none"}, {})
    folder = work / "broker"
    folder.mkdir()
    key = proxy.make_key(allowed_routes=[*ROUTES])
    process = BrokerProcess(cluster, proxy.urls[0], key, folder, *OVERLAP, address=machine_address())
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def webhook(cluster: Cluster, broker: BrokerProcess) -> Iterator[Webhook]:
    """Serve admission by the webhook's own rights; what pods are to trust comes from the ConfigMap."""
    kubeconfig = cluster.kubeconfig_of(NAMESPACE, "litellm-registrar-webhook")
    flags = ("--broker-url", broker.url, "--broker-ca-configmap", CA)
    process = Webhook(
        cluster, machine_address(), *flags, "--namespace", NAMESPACE, "--kubeconfig", str(kubeconfig)
    )
    process.start()
    process.configure()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def shared(cluster: Cluster, proxy: LiteLLM, webhook: Webhook, work: Path) -> Iterator[World]:
    """Give a namespace with a Deployment that is made without the label and then gets it."""
    assert webhook.cluster is cluster
    server = {**container(alias=ELDER), "livenessProbe": UNTIL_ILL}
    with new_world(cluster, proxy, work) as made:
        cluster.create(deployment(made.namespace, server, propagation="3"))
        made.kubectl("label", "deployment", "server", LABEL)
        made.kubectl("rollout", "status", "deployment", "server", "--timeout=60s")
        yield made
        made.kubectl("delete", "deployment", "server")
        made.until_rows(ELDER, 0)  # while there is a broker


@pytest.fixture
def elder(shared: World, broker: BrokerProcess) -> Iterator[World]:
    """Give that namespace, whose pod outlives what the tests before did to the broker."""
    yield shared
    print(broker.log.read_text()[-5000:])
    print(shared.registrars.story())


@pytest.fixture
def world(
    cluster: Cluster, proxy: LiteLLM, webhook: Webhook, broker: BrokerProcess, work: Path
) -> Iterator[World]:
    """Give an empty namespace."""
    with new_world(cluster, proxy, work) as made:
        yield made
    print(webhook.log.read_text()[-5000:])
    print(broker.log.read_text()[-5000:])


def variables(pod: JSON) -> dict[str, str]:
    """Read the literal variables of a pod's registrar."""
    (ours,) = (one for one in pod["spec"]["initContainers"] if one["name"] == CONTAINER_NAME)
    return {one["name"]: one["value"] for one in ours["env"] if "value" in one}


def problems(log: str) -> set[str]:
    """Read the reasons of every problem with the broker or LiteLLM that a registrar has said."""
    return set(re.findall(r" PROBLEM .*?\breason=((?:broker|litellm)_\w+)", log))


def test_a_labelled_server_is_registered_by_its_token(elder: World, broker: BrokerProcess) -> None:
    """The pod's models are routable, its row says whose it is, and no key of LiteLLM came into the pod."""
    (name,) = elder.ready_pods(1)
    (row,) = elder.until_rows(ELDER, 1)
    pod = elder.cluster.get("pod", name, elder.namespace)
    assert row["litellm_params"]["api_base"] == f"http://{pod['status']['podIP']}:8080/v1"
    owner = row["model_info"]["registrar"]
    told = {"pod": name, "pod_uid": pod["metadata"]["uid"], "node": pod["spec"]["nodeName"]}
    assert {key: owner[key] for key in told} == told
    elder.chat_everywhere(ELDER)

    assert brought({}, pod) == []
    assert elder.cluster.list("secrets", elder.namespace) == []
    environment = elder.kubectl("exec", name, "-c", CONTAINER_NAME, "--", "env")
    assert f"{ENV_TOKEN_FILE}=" in environment
    keys = (elder.proxy.key, broker.key_file.read_text())
    assert not [one for one in (*keys, ENV_LITELLM_KEY) if one in environment + json.dumps(pod)]
    check_log(elder.registrars.log(name), keys)


def test_a_restart_of_the_server_is_told_from_the_pods_end(elder: World) -> None:
    """A server that fails its liveness probe is drained and restarted; the same row comes back, for good."""
    (pod,) = elder.ready_pods(1)
    (before,) = elder.until_rows(ELDER, 1)
    elder.kubectl("exec", pod, "-c", "server", "--", "touch", ILL)
    elder.until_rows(ELDER, 0, seconds=20)
    (after,) = elder.until_rows(ELDER, 1, seconds=60)
    assert after["model_info"]["id"] == before["model_info"]["id"]
    wait_until("routable again", 5, lambda: elder.proxy.chat(ELDER).status_code == 200)
    assert elder.status(pod, "server")["restartCount"] == 1
    log = elder.registrars.log(pod)
    assert RESTARTS in log
    assert DELETED not in log
    assert "waited=-" not in log


def test_a_broker_that_crashes_is_no_more_than_a_retry(
    elder: World, world: World, broker: BrokerProcess
) -> None:
    """While it is away one pod is drained and another one starts; both succeed once it is there again."""
    world.cluster.create(
        deployment(world.namespace, container(alias="crash"), labels=OPENAI, propagation="3")
    )
    (old,) = world.ready_pods(1)
    broker.kill()
    world.kubectl("delete", "pod", old, "--wait=false")
    (new,) = (pod["metadata"]["name"] for pod in wait_until("successor", 20, world.pods))
    found = "registrar that has found its server"
    command = ("logs", new, "-c", CONTAINER_NAME, "-n", world.namespace)
    wait_until(found, 60, lambda: " FOUND " in world.cluster.kubectl(*command, check=False).out)
    broker.start()

    assert world.ready_pods(1) == [new]
    world.kubectl("wait", "--for=delete", f"pod/{old}", "--timeout=60s")
    (row,) = world.rows("crash")
    assert row["model_info"]["registrar"]["pod"] == new
    check_ending(world.ending(old), at_least=3)
    (elders,) = elder.ready_pods(1)
    logs = (world.registrars.log(old), world.registrars.log(new), elder.registrars.log(elders))
    assert set().union(*map(problems, logs)) <= {"broker_unreachable"}
    elder.chat_everywhere(ELDER)


async def test_a_rollout_under_load_loses_nothing(world: World) -> None:
    """The old pod says that it is being deleted, and with which grace; no request is lost."""
    world.cluster.create(deployment(world.namespace, container(alias="rolled"), labels=OPENAI))
    old = await asyncio.to_thread(world.ready_pods, 1)
    grace = world.pods()[0]["spec"]["terminationGracePeriodSeconds"]
    world.until_rows("rolled", 1)
    world.chat_everywhere("rolled")
    load = Load(
        world.proxy.urls,
        "rolled",
        world.proxy.key,
        rate=4,
        body={"max_tokens": 8},
        stream_body={"max_tokens": 40},
    )
    running = asyncio.create_task(load.run())
    try:
        new = await asyncio.to_thread(world.restart, old)
    finally:
        load.stopping.set()
        tally = await running
    print(f"{tally.sent} requests during the rollout, {tally.failed()} lost: {examples(tally.lost)}")
    assert tally.failed() == 0, examples(tally.lost)
    assert tally.answered > 100
    assert [row["model_info"]["registrar"]["pod"] for row in world.until_rows("rolled", 1)] == new
    check_ending(world.ending(old[0]), at_least=PROPAGATION)
    log = world.registrars.log(old[0])
    assert re.search(rf"{DELETED}\. grace={grace}(\.0)?$", log, re.MULTILINE), log
    assert problems(log) == set()


def test_a_shorter_grace_is_said_and_kept_to(world: World) -> None:
    """`kubectl delete --grace-period`: the row is gone and the drain over before the kubelet would cut it."""
    world.cluster.create(deployment(world.namespace, container(alias="short"), labels=OPENAI))
    (pod,) = world.ready_pods(1)
    (row,) = world.until_rows("short", 1)
    begun = time.time()
    world.kubectl("delete", "pod", pod, "--grace-period=12")
    assert row["model_info"]["id"] not in {one["model_info"]["id"] for one in world.rows("short")}
    check_ending(world.ending(pod), at_least=0)
    log = world.registrars.log(pod)
    said, removed, gone = (log.index(word) for word in ("reason=grace_shortened", " REMOVED ", " GONE "))
    assert max(said, removed) < gone
    assert "grace=12" in log
    print(f"deleted within {time.time() - begun:.1f} s:\n{log}")


def test_a_pod_that_was_made_two_ca_changes_ago_still_drains(elder: World, broker: BrokerProcess) -> None:
    """It trusts nothing but the broker's first CA, and its successor what the webhook knows by then."""
    (pod,) = elder.ready_pods(1)
    given = variables(elder.cluster.get("pod", pod, elder.namespace))[ENV_LITELLM_CA]

    def ca() -> str:
        data = elder.cluster.get("secret", SECRET, NAMESPACE)["data"]
        return base64.b64decode(data["ca.crt"]).decode()

    assert given.strip() == ca().strip()
    for _ in range(2):
        before = ca()
        change_ca(elder.cluster.work / "kubeconfig", NAMESPACE, SECRET)
        wait_until("leaf by the next CA", 40, lambda before=before: ca() != before, every=0.5)  # type: ignore[misc]
    broker.stop()  # every connection is made anew
    broker.start()
    deleted = time.time()
    elder.kubectl("delete", "pod", pod)
    check_ending(elder.ending(pod, since=deleted), at_least=3)
    assert problems(elder.registrars.log(pod)) <= {"broker_unreachable"}
    assert DELETED in elder.registrars.log(pod)

    (new,) = elder.ready_pods(1)
    (row,) = elder.until_rows(ELDER, 1)
    assert row["model_info"]["registrar"]["pod"] == new
    bundle = variables(elder.cluster.get("pod", new, elder.namespace))[ENV_LITELLM_CA]
    assert bundle.count("BEGIN CERTIFICATE") == 3
