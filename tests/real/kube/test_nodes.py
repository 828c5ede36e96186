"""What a webhook learns of a real cluster, by its own rights: its uid, and the kubelets of its nodes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.certificates import make_ca, make_leaf
from tests.peers.broker import NAMESPACE, BrokerProcess
from tests.peers.cluster import JSON, Cluster
from tests.real.kube.conftest import ApiServer, Connections
from tests.real.kube.test_follow_and_leader import until
from tests.server.reviews import dump, review
from webhook.kube.api import Api, ApiError
from webhook.log import Log
from webhook.server import Server
from webhook.settings import Settings

# an API server that is stopped and started takes its time on a busy machine
pytestmark = [pytest.mark.kube, pytest.mark.timeout(900)]

NODES = "/api/v1/nodes"
ACCOUNT = "litellm-registrar-webhook"
# For an answer of the webhook, and for what it has to learn first.
_ANSWER = 30
_SECONDS = 120


def node(name: str, version: str, system: str = "linux") -> JSON:
    """Write a Node as its kubelet registers it."""
    info = dict.fromkeys(
        ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion"), "x"
    )
    info |= {"kubeletVersion": version, "kubeProxyVersion": "", "operatingSystem": system}
    return {"metadata": {"name": name}, "status": {"nodeInfo": info | {"architecture": "amd64"}}}


class Webhook:
    """A webhook in this process, that asks the cluster as its ServiceAccount may."""

    def __init__(self, server: Server, verify: ssl.SSLContext, lines: io.StringIO) -> None:
        self._server = server
        self._verify = verify
        self.lines = lines

    async def readiness(self) -> str:
        """Give what /readyz says."""
        url = f"http://{self._server.health_address}"
        async with httpx.AsyncClient(base_url=url, timeout=_ANSWER) as health:
            return (await health.get("/readyz")).text.strip()

    async def injected(self, node: str | None = None) -> tuple[str, dict[str, Any]]:
        """Have a pod injected, and give in which list its registrar is, and the registrar."""
        spec = {"containers": [{"name": "vllm", "image": "vllm/vllm-openai:v0.32.0"}], "nodeName": node}
        pod = {
            "kind": "Pod",
            "metadata": {"name": "q", "labels": {"litellm-registrar.io/server": "vllm"}},
            "spec": spec,
        }
        async with httpx.AsyncClient(
            base_url=f"https://{self._server.address}", verify=self._verify, timeout=_ANSWER
        ) as client:
            headers = {"Content-Type": "application/json"}
            answer = await client.post("/mutate", content=dump(review(pod)), headers=headers)
        patch = json.loads(base64.b64decode(answer.json()["response"]["patch"]))
        (added,) = (op for op in patch if op["path"] in ("/spec/initContainers", "/spec/containers/-"))
        value = added["value"]
        return added["path"].split("/")[2], value[0] if isinstance(value, list) else value


@pytest.fixture
async def webhook(connections: Connections, tmp_path: Path) -> AsyncIterator[Webhook]:
    """Serve with the mode by the nodes, and nothing said of the cluster."""
    ca = make_ca()
    certificate, key = make_leaf(ca, ["127.0.0.1"]).write(tmp_path)
    given: dict[str, str | None] = {
        "tls_cert": str(certificate),
        "tls_key": str(key),
        "kubeconfig": str(connections.kubeconfig(ACCOUNT, connections.token(ACCOUNT, NAMESPACE))),
        "inject_mode": "auto",
        "registrar_image": "registrar:1",
        "listen_address": "127.0.0.1",
        "port": "0",
        "health_port": "0",
    }
    lines = io.StringIO()
    server = Server(Settings.read(given, {}), Log(lines))
    await server.start()
    yield Webhook(server, ssl.create_default_context(cadata=ca.certificate.decode()), lines)
    await server.close()


@pytest.fixture
async def admin(connections: Connections) -> AsyncIterator[Api]:
    """Give who may do everything; nodes are removed before and after."""
    api = await connections.admin()
    for last in (False, True):
        for found in await api.list(NODES):
            with contextlib.suppress(ApiError):
                await api.delete(f"{NODES}/{found['metadata']['name']}")
        if not last:
            yield api


async def ready(webhook: Webhook) -> None:
    """Wait until it is."""
    async with asyncio.timeout(_SECONDS):
        while await webhook.readiness() != "ok":  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.1)


async def placed(webhook: Webhook, kind: str, node: str | None = None) -> None:
    """Wait until a registrar comes into this list."""
    async with asyncio.timeout(_SECONDS):
        while (await webhook.injected(node))[0] != kind:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.1)


async def test_new_pods_follow_the_kubelets_of_the_nodes(admin: Api, webhook: Webhook) -> None:
    """Nodes join, are upgraded and leave; a Windows node does not count; a bound pod has its node's mode."""
    await ready(webhook)
    await placed(webhook, "containers")  # there is no node
    await admin.create(NODES, node("new", "v1.34.1-gke.1829001"))
    await placed(webhook, "initContainers")
    await admin.create(NODES, node("windows", "v1.27.3", "windows"))
    await admin.create(NODES, node("old", "v1.31.5+k3s1"))
    await placed(webhook, "containers")
    assert (await webhook.injected("new"))[0] == "initContainers"
    assert (await webhook.injected("old"))[0] == "containers"
    await admin.merge(f"{NODES}/old/status", {"status": node("old", "v1.33.0+k3s1")["status"]})
    await placed(webhook, "initContainers")
    await admin.create(NODES, node("odd", "custom"))
    await placed(webhook, "containers")
    await admin.delete(f"{NODES}/odd")
    await placed(webhook, "initContainers")


async def test_a_cluster_that_nobody_names_is_called_by_its_uid(admin: Api, webhook: Webhook) -> None:
    """The registrar carries the uid of kube-system, as the webhook says in its log."""
    await ready(webhook)
    uid = (await admin.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"]
    _, registrar = await webhook.injected()
    assert {"name": "REGISTRAR_CLUSTER", "value": uid} in registrar["env"]
    assert f"This cluster is called by the uid of kube-system. cluster={uid}" in webhook.lines.getvalue()
    assert "PROBLEM" not in webhook.lines.getvalue()


async def test_the_last_known_mode_outlives_the_api_server(
    admin: Api, webhook: Webhook, api_server: ApiServer
) -> None:
    """It stays ready and injects as before; a node that joined meanwhile is seen afterwards."""
    await ready(webhook)
    await admin.create(NODES, node("new", "v1.34.1"))
    await placed(webhook, "initContainers")
    await asyncio.to_thread(api_server.stop)
    await until("line", lambda: "its last known state counts" in webhook.lines.getvalue())
    assert (await webhook.readiness(), (await webhook.injected())[0]) == ("ok", "initContainers")
    await asyncio.to_thread(api_server.start)
    await admin.create(NODES, node("old", "v1.30.0"))
    await placed(webhook, "containers")


async def test_the_broker_of_a_cluster_that_nobody_names_calls_it_by_its_uid(
    admin: Api, cluster: Cluster, tmp_path: Path
) -> None:
    """As the webhook does, and by the rights of its own ServiceAccount."""
    uid = (await admin.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"]
    broker = BrokerProcess(cluster, "http://127.0.0.1:1", "sk-test", tmp_path, "--cluster-id", "")
    await asyncio.to_thread(broker.start)
    try:
        lines = broker.lines()
    finally:
        await asyncio.to_thread(broker.stop)
    assert [line["cluster"] for line in lines if line["event"] == "started"] == [uid]
