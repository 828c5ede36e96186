"""A broker that serves, and a pod that calls it."""

import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from sidecar.contract import LogFormat
from tests.injected import CLUSTER
from tests.server.broker.brokering import Brokering, Broking, Kubernetes, Pod
from tests.server.running import PATIENCE, Tls
from tests.standins.litellm import LiteLLM
from tests.standins.litellm_store import MASTER_KEY
from webhook.broker.server import Server
from webhook.broker.settings import Settings
from webhook.log import Log
from webhook.tls.issue import Pair
from webhook.tls.live import Live

# A model of LiteLLM's own configuration, which belongs to nobody here.
CONFIGURED = {
    "model_name": "gpt-4o",
    "litellm_params": {"model": "openai/gpt-4o", "api_key": "sk-of-openai"},
    "model_info": {"id": "configured-1", "db_model": False},
}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Give the file with LiteLLM's key."""
    path = tmp_path / "key"
    path.write_text(f"{MASTER_KEY}\n")
    return path


@pytest.fixture
def broking(tls: Tls, key_file: Path) -> Broking:
    """Give a function that serves with the given settings, on free ports."""

    @asynccontextmanager
    async def serve(**settings: str) -> AsyncIterator[Brokering]:
        given = {
            "tls_secret": "broker-tls",
            "service": "broker",
            "cluster_id": CLUSTER,
            "namespace": "litellm-registrar",
            "litellm_key_file": str(key_file),
            "listen_address": "127.0.0.1",
            "port": "0",
            "health_port": "0",
            "stop_delay": "0",
        }
        stream, kube = io.StringIO(), Kubernetes()
        async with LiteLLM(1, config_models=[CONFIGURED]) as litellm:
            read = Settings.read({**given, "litellm_url": litellm.url, **settings}, {})
            live = Live()
            live.use(Pair(tls.certificate.read_bytes(), tls.key.read_bytes()), time.time())
            server = Server(read, Log(stream, LogFormat.JSON), kube, live)
            await server.start()
            try:
                async with (
                    httpx.AsyncClient(
                        base_url=f"https://{server.address}", verify=tls.client, timeout=PATIENCE
                    ) as client,
                    httpx.AsyncClient(base_url=f"http://{server.health_address}", timeout=PATIENCE) as health,
                ):
                    yield Brokering(server, kube, litellm, client, health, stream)
            finally:
                await server.close()
            told = stream.getvalue() + repr(kube.events())
            assert not [secret for secret in (MASTER_KEY, *kube.issued) if secret in told]

    return serve


@pytest.fixture
async def broker(broking: Broking) -> AsyncIterator[Brokering]:
    """Give a broker that serves with the defaults."""
    async with broking() as it:
        yield it


@pytest.fixture
def pod(broker: Brokering) -> Pod:
    """Give a pod that runs, with a registrar and a token."""
    return broker.kube.run_pod("shop")
