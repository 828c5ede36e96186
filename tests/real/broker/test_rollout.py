"""Two brokers behind one address are replaced one after the other, while registrars live and drain."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import httpx
import pytest

from sidecar.contract import NONCE_HEADER
from tests.injected import injected
from tests.peers.balancer import Balancer, balancer
from tests.peers.broker import BrokerProcess, Caller, caller
from tests.peers.cluster import Cluster
from tests.peers.proxy import LiteLLM
from tests.peers.scripts import free_port
from tests.server.registrars import HOST, registrar
from tests.standins.vllm import VLLM
from webhook.broker.key_abilities import ROUTES

pytestmark = [pytest.mark.real, pytest.mark.kube]


async def look_all_the_time(pod: Caller, url: str, ca: str, model: str, answers: list[int]) -> None:
    """Look the row up again and again, each time on a new connection; one that is refused is no call."""
    trust = ssl.create_default_context(cadata=ca)
    path = f"/v2/model/info?modelId={pod.id(model)}&size=1"
    while True:
        async with httpx.AsyncClient(base_url=url, verify=trust, trust_env=False, timeout=20) as client:
            with contextlib.suppress(httpx.ConnectError):
                answers.append((await client.get(path, headers=pod.headers)).status_code)
        await asyncio.sleep(0.2)


@pytest.mark.timeout(900)
async def test_replacing_every_broker_loses_nothing(
    cluster: Cluster, namespace: str, proxy: LiteLLM, tmp_path: Path
) -> None:
    """Every call is answered, the registrar says nothing of it, and a drain in progress ends as ever."""
    key, model = proxy.make_key(allowed_routes=[*ROUTES]), f"{namespace}-qwen"
    brokers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        stays = ("--stop-delay", "5")
        brokers.append(BrokerProcess(cluster, proxy.urls[0], key, tmp_path / name, *stays))
    try:
        for broker in brokers:
            await asyncio.to_thread(broker.start)
        ca = brokers[0].bundle()
        assert brokers[1].bundle() == ca
        async with VLLM(model) as server, balancer([broker.port for broker in brokers]) as balanced:
            await server.load()
            url = f"https://{HOST}:{balanced.port}"
            pod = caller(cluster, injected(namespace, "qwen", server.port), HOST, server.port)
            environ = pod.environ(url, ca, tmp_path / "token", listen := free_port(HOST))
            async with registrar(environ, listen) as running:
                await running.line(lambda line: " SERVING " in line)
                answers: list[int] = []
                looking = asyncio.create_task(look_all_the_time(pod, url, ca, model, answers))
                await replace(brokers[0], balanced)
                nonce = {NONCE_HEADER: environ["REGISTRAR_NONCE"]}
                drain = asyncio.create_task(running.get("/drain", **nonce))
                await running.line(lambda line: " DRAINING " in line)
                await replace(brokers[1], balanced)
                assert (await drain).json() == {"end": "done", "cut": 0, "rows_left": 0}
                while len(answers) <= 10:
                    assert not looking.done()
                    await asyncio.sleep(0.2)
                assert not looking.done()
                looking.cancel()
                await asyncio.wait([looking])
                assert set(answers) == {200}
                assert not [line for line in running.lines if " PROBLEM " in line]
        assert proxy.own_rows() == {}
    finally:
        for broker in brokers:
            broker.kill()


async def replace(broker: BrokerProcess, balanced: Balancer) -> None:
    """End a broker as the kubelet does, take its endpoint away as its control plane does, start it anew."""
    ending = asyncio.create_task(asyncio.to_thread(broker.stop))
    await asyncio.sleep(0.3)  # it still serves, and is told nothing new after this
    balanced.ports.remove(broker.port)
    await ending
    await asyncio.to_thread(broker.start)
    balanced.ports.append(broker.port)


async def test_a_broker_that_crashes_is_taken_over_from(
    cluster: Cluster, namespace: str, proxy: LiteLLM, tmp_path: Path
) -> None:
    """After a kill -9 the same row is still this pod's: another process changes and deletes it."""
    model = f"{namespace}-qwen"
    broker = BrokerProcess(cluster, proxy.urls[0], proxy.make_key(allowed_routes=[*ROUTES]), tmp_path)
    try:
        await asyncio.to_thread(broker.start)
        pod = caller(cluster, injected(namespace, "qwen"), "10.1.2.3")
        with broker.client() as client:
            assert pod.call(client, "POST", "/model/new", pod.row(model)).status_code == 200
        broker.kill()
        await asyncio.to_thread(broker.start)
        with broker.client() as client:
            path = f"/model/{pod.id(model)}/update"
            assert pod.call(client, "PATCH", path, pod.row(model, rpm=3)).status_code == 200
            assert pod.call(client, "POST", "/model/delete", {"id": pod.id(model)}).status_code == 200
        broker.stop()
    finally:
        broker.kill()
