"""A broker that is to ask a cluster for its id which does not answer."""

import asyncio
import io
import json
from pathlib import Path

import httpx

from tests.server.test_cluster_unknown import AWAY
from tests.standins.listening import free_port
from webhook.broker.server import broker
from webhook.broker.settings import Settings
from webhook.log import Log


async def readiness(health: httpx.AsyncClient) -> httpx.Response:
    """Give what /readyz says, once somebody listens."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await health.get("/readyz")
            except httpx.ConnectError:
                await asyncio.sleep(0.01)


async def test_it_is_alive_not_ready_and_says_why(tmp_path: Path) -> None:
    """A kubelet does not restart it, no Service leads to it, and a person sees what it waits for."""
    kubeconfig, port = tmp_path / "kubeconfig", free_port("127.0.0.1")
    kubeconfig.write_text(json.dumps(AWAY))
    given: dict[str, str | None] = {
        "tls_secret": "broker-tls",
        "service": "broker",
        "namespace": "litellm-registrar",
        "litellm_url": "http://127.0.0.1:1",
        "litellm_key_file": str(tmp_path / "key"),
        "kubeconfig": str(kubeconfig),
        "listen_address": "127.0.0.1",
        "health_port": str(port),
    }
    lines = io.StringIO()
    task = asyncio.create_task(broker(Settings.read(given, {}), Log(lines)))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as health:
            answer = await readiness(health)
            assert (answer.status_code, answer.text) == (503, "cluster_unknown\n")
            assert (await health.get("/healthz")).status_code == 200
        assert "This cluster's id is not known, --cluster-id gives one" in lines.getvalue()
    finally:
        task.cancel()
        await asyncio.wait([task])
