"""What kubectl shows of a pod: its condition and Events, written by two brokers into a real API server."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.broker_contract import STATE_PATH
from sidecar.contract import NONCE_HEADER
from tests.injected import injected
from tests.peers.balancer import balancer
from tests.peers.broker import BrokerProcess, Caller, caller, injected_caller
from tests.peers.cluster import Cluster
from tests.peers.scripts import free_port
from tests.server.registrars import HOST, Registrar, registrar
from tests.standins.litellm import LiteLLM
from tests.standins.litellm_store import MASTER_KEY
from tests.standins.vllm import VLLM
from webhook.registered import CONDITION, Registered, registered

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(900)]

SERVING = {"state": "serving", "models": 1, "wanted": 1}


@pytest.fixture
async def brokers(cluster: Cluster, tmp_path: Path) -> AsyncIterator[list[BrokerProcess]]:
    """Run two replicas of a broker, before a stand-in: what is shown here is not LiteLLM's."""
    made = []
    async with LiteLLM(1) as litellm:
        await beside(litellm)
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            made.append(BrokerProcess(cluster, litellm.url, MASTER_KEY, tmp_path / name))
        try:
            for broker in made:
                await asyncio.to_thread(broker.start)
            yield made
        finally:
            for broker in made:
                broker.kill()


async def beside(litellm: LiteLLM) -> None:
    """Make a row of somebody else's: a broker does not believe a LiteLLM without rows for half a minute."""
    row = {"model_name": "beside", "litellm_params": {"model": "openai/x", "api_key": "none"}}
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    async with httpx.AsyncClient(base_url=litellm.url, headers=headers, trust_env=False) as client:
        (await client.post("/model/new", json=row)).raise_for_status()


def condition(pod: Caller) -> Registered | None:
    """Read the pod's condition."""
    return registered(pod.cluster.get("pod", pod.name, pod.namespace))


def events(pod: Caller) -> Counter[tuple[str, str]]:
    """Count the Events on a pod by reason and type, each by how often it is said to have happened."""
    args = ("-n", pod.namespace, "-o", "json", f"--field-selector=involvedObject.uid={pod.uid}")
    found: list[dict[str, Any]] = json.loads(pod.cluster.kubectl("get", "events", *args).out)["items"]
    counted = Counter[tuple[str, str]]()
    for each in found:
        counted[each["reason"], each["type"]] += each["count"]
    return counted


async def becomes(pod: Caller, word: str) -> Registered:
    """Wait until the condition's reason is this."""
    for _ in range(900):
        found = await asyncio.to_thread(condition, pod)
        if found is not None and found.word == word:
            return found
        await asyncio.sleep(0.2)
    raise AssertionError(f"{condition(pod)} did not become {word}")


class Life:
    """A pod whose registrar runs before brokers that are balanced."""

    def __init__(self, pod: Caller, environ: dict[str, str], listen: int) -> None:
        self.pod = pod
        self._environ = environ
        self._listen = listen

    @asynccontextmanager
    async def registrar(self) -> AsyncIterator[Registrar]:
        """Run its registrar."""
        async with registrar(self._environ, self._listen) as running:
            yield running

    async def hook(self, running: Registrar) -> dict[str, Any]:
        """Call the preStop hook as the kubelet does."""
        answer = await running.get("/drain", **{NONCE_HEADER: self._environ["REGISTRAR_NONCE"]})
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def life(
    brokers: list[BrokerProcess], namespace: str, server: VLLM, folder: Path
) -> AsyncIterator[Life]:
    """Have a pod with this server live before these brokers."""
    cluster = brokers[0].cluster
    async with balancer([broker.port for broker in brokers]) as balanced:
        manifest = injected(namespace, "qwen", server.port)
        pod = await asyncio.to_thread(caller, cluster, manifest, HOST, server.port)
        listen = free_port(HOST)
        url = f"https://{HOST}:{balanced.port}"
        yield Life(pod, pod.environ(url, brokers[0].bundle(), folder / "token", listen), listen)


async def test_each_state_of_a_pods_life_is_seen_once(
    brokers: list[BrokerProcess], namespace: str, tmp_path: Path
) -> None:
    """Waiting, serving, blocked, serving, draining, drained: in `kubectl get`, `wait` and `events`."""
    async with (
        VLLM(f"{namespace}-qwen") as server,
        life(brokers, namespace, server, tmp_path) as here,
        here.registrar() as running,
    ):
        pod = here.pod
        await becomes(pod, "waiting:server_refused")
        await server.load()
        kubectl = (
            "wait",
            f"--for=condition={CONDITION}",
            f"pod/{pod.name}",
            "-n",
            namespace,
            "--timeout=200s",
        )
        await asyncio.to_thread(pod.cluster.kubectl, *kubectl)
        assert (await becomes(pod, "serving")).routable
        await server.kill()
        assert not (await becomes(pod, "blocked:server_refused")).routable
        await server.load()
        await becomes(pod, "serving")
        await asyncio.to_thread(pod.delete, 60)
        assert (await here.hook(running))["end"] == "done"
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0
        ended = await becomes(pod, "drained")
        assert "done after" in ended.message
        assert events(pod) == {
            ("waiting", "Normal"): 1,
            ("serving", "Normal"): 2,
            ("blocked", "Warning"): 1,
            ("draining", "Normal"): 1,
            ("drained", "Normal"): 1,
        }
        conditions = pod.cluster.get("pod", pod.name, namespace)["status"]["conditions"]
        assert [each["type"] for each in conditions].count(CONDITION) == 1


async def test_what_is_seen_outlives_every_restart(
    brokers: list[BrokerProcess], namespace: str, tmp_path: Path
) -> None:
    """The registrar, then both brokers are killed and started anew: nothing changes in the pod."""
    async with VLLM(f"{namespace}-qwen") as server, life(brokers, namespace, server, tmp_path) as here:
        await server.load()
        async with here.registrar() as running:
            before = await becomes(here.pod, "serving"), events(here.pod)
            running.process.kill()
        async with here.registrar() as running:
            await running.line(lambda line: " SERVING " in line)
            for broker in brokers:
                broker.kill()
                await asyncio.to_thread(broker.start)
            await asyncio.sleep(2)
            assert (await asyncio.to_thread(condition, here.pod), events(here.pod)) == before
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
        await becomes(here.pod, "drained")


async def test_a_drain_that_is_cut_is_seen(
    brokers: list[BrokerProcess], namespace: str, tmp_path: Path
) -> None:
    """SIGTERM in the middle of a drain: told with what it cut, before the process ends."""
    async with (
        VLLM(f"{namespace}-qwen", think=60) as server,
        life(brokers, namespace, server, tmp_path) as here,
    ):
        await server.load()
        async with here.registrar() as running:
            await becomes(here.pod, "serving")
            server.running = 2
            hook = asyncio.create_task(here.hook(running))
            await running.line(lambda line: "waiting_for=in_flight" in line)
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
            hook.cancel()
            await asyncio.wait([hook])
        found = await becomes(here.pod, "drained:grace_cut")
        assert "2 requests cut" in found.message
        assert events(here.pod)["drained", "Warning"] == 1


async def test_two_replicas_that_are_told_at_once_write_one_event(
    brokers: list[BrokerProcess], namespace: str
) -> None:
    """As when an answer is lost and the report is sent again to the other one."""
    pod = await asyncio.to_thread(injected_caller, brokers[0].cluster, namespace, "qwen", HOST)

    def tell(broker: BrokerProcess) -> int:
        with broker.client() as client:
            return pod.call(client, "POST", STATE_PATH, SERVING).status_code

    told = await asyncio.gather(*(asyncio.to_thread(tell, broker) for broker in 2 * brokers))
    assert {*told} == {200}
    assert events(pod) == {("serving", "Normal"): 1}
    found = condition(pod)
    assert found is not None
    assert found.routable
