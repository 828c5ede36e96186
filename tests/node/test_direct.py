"""Direct mode on a real node: each namespace has a Secret with LiteLLM's address and key."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.node.checks import check_ending, check_log
from tests.node.manifests import OPENAI, container, deployment, secret
from tests.node.release import DIRECT, Release
from tests.node.world import World, new_world
from tests.peers.cluster import Cluster, wait_until
from tests.peers.proxy import LiteLLM

pytestmark = [pytest.mark.node, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def direct(cluster: Cluster, proxy: LiteLLM) -> Release:
    """Install the chart in direct mode."""
    made = Release(cluster, proxy, DIRECT)
    made.install_direct()
    return made


@pytest.fixture
def world(direct: Release, work: Path) -> Iterator[World]:
    """Give an empty namespace."""
    with new_world(direct, work) as made:
        yield made


def test_a_pod_is_registered_with_the_namespaces_own_key(world: World, litellm_url: str) -> None:
    """The registrar asks LiteLLM itself, and the pod ends in the same order as with a broker."""
    world.cluster.create(secret(world.namespace, litellm_url, world.proxy.key))
    world.cluster.create(
        deployment(world.namespace, container(alias="direct"), labels=OPENAI, propagation="3")
    )
    (pod,) = world.ready_pods(1)
    world.until_rows("direct", 1)
    world.chat_everywhere("direct")
    world.kubectl("delete", "deployment", "server")
    world.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=240s")
    assert world.rows("direct") == []
    check_ending(world.ending(pod), at_least=3)
    check_log(world.registrars.whole_log(pod), (world.proxy.key,))


def test_missing_secret_does_not_stop_the_server(world: World) -> None:
    """Without LiteLLM's Secret the server runs and answers, the pod gets ready, the registrar says why."""
    world.cluster.create(
        deployment(world.namespace, container(alias="secretless"), labels=OPENAI, ready_timeout="3")
    )
    (pod,) = world.ready_pods(1)
    address = world.cluster.get("pod", pod, world.namespace)["status"]["podIP"]
    assert httpx.get(f"http://{address}:8080/v1/models", trust_env=False, timeout=30).status_code == 200
    assert world.rows("secretless") == []
    wait_until("word of the Secret", 60, lambda: "Secret" in world.registrars.log(pod))
    check_log(world.registrars.log(pod), ())
