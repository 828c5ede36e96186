"""A certificate, and a webhook that serves with it on loopback."""

import io
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from sidecar.contract import LogFormat
from tests.certificates import make_ca, make_leaf
from tests.server.running import PATIENCE, Running, Serving, Tls
from webhook.log import Log
from webhook.server import Server
from webhook.settings import Settings


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Give the certificate of all these tests."""
    folder, ca = tmp_path_factory.mktemp("tls"), make_ca()
    certificate, key = make_leaf(ca, ["127.0.0.1", "localhost"]).write(folder)
    _, other_key = make_leaf(ca, ["127.0.0.1"]).write(folder, "other")
    text = ca.certificate.decode()
    return Tls(certificate, key, other_key, text, ssl.create_default_context(cadata=text))


@pytest.fixture
def serving(tls: Tls) -> Serving:
    """Give a function that serves with the given settings, on free ports."""

    @asynccontextmanager
    async def serve(**settings: str) -> AsyncIterator[Running]:
        given = {
            "tls_cert": str(tls.certificate),
            "tls_key": str(tls.key),
            "cluster_id": "test",
            "registrar_image": "registry.example.com/registrar:1",
            "listen_address": "127.0.0.1",
            "port": "0",
            "health_port": "0",
            "stop_delay": "0",
        }
        stream = io.StringIO()
        server = Server(Settings.read(given | settings, {}), Log(stream, LogFormat.JSON))
        await server.start()
        try:
            async with (
                httpx.AsyncClient(
                    base_url=f"https://{server.address}", verify=tls.client, timeout=PATIENCE
                ) as client,
                httpx.AsyncClient(base_url=f"http://{server.health_address}", timeout=PATIENCE) as health,
            ):
                yield Running(server, client, health, stream)
        finally:
            await server.close()

    return serve


@pytest.fixture
async def running(serving: Serving) -> AsyncIterator[Running]:
    """Give a webhook that serves with the defaults."""
    async with serving() as it:
        yield it
