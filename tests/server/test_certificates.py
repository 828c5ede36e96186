"""The webhook's certificate changes while it serves: no request fails, no connection is lost."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.certificates import Mount, Pair, make_ca, make_leaf
from tests.handshakes import der
from tests.server.reviews import dump, pod, review
from tests.server.running import PATIENCE, Running, Serving, until
from tests.standins.kube import UNREACHABLE, FakeApi
from webhook.flags import SettingsError
from webhook.kube.api import Api
from webhook.tls import files
from webhook.tls.publication import ADMISSION

CA = make_ca()
CLIENT = ssl.create_default_context(cadata=CA.certificate.decode())
PARALLEL = 200
BODY = dump(review(pod()))


def made() -> Pair:
    """Make a pair of 127.0.0.1."""
    return make_leaf(CA, ["127.0.0.1"])


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    """Give a mounted Secret."""
    return Mount(tmp_path, made())


@pytest.fixture
async def running(serving: Serving, mount: Mount, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """Give a webhook that serves with files of its own, and looks at them often."""
    monkeypatch.setattr(files, "_LOOK_EVERY", 0.01)
    async with serving(tls_cert=str(mount.certificate), tls_key=str(mount.key)) as it:
        yield it


async def shown(running: Running) -> bytes:
    """Give the certificate that a new connection is shown, DER."""
    host, port = running.server.address.split(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=CLIENT)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return found


async def until_shown(running: Running, pair: Pair) -> None:
    """Open connections until one is shown this pair's certificate."""
    while await shown(running) != der(pair.certificate):
        pass


async def post(client: httpx.AsyncClient, **extensions: Any) -> int:
    """Have a pod reviewed; give the status."""
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/mutate", content=BODY, headers=headers, extensions=extensions)
    assert answer.json()["response"]["allowed"] is True
    return answer.status_code


async def test_200_requests_in_parallel_over_rotations_all_succeed(running: Running, mount: Mount) -> None:
    """100 clients keep their connections and 100 open one for each request while the certificate changes."""
    url, done = f"https://{running.server.address}", asyncio.Event()

    async def kept() -> list[int]:
        found = []
        async with httpx.AsyncClient(base_url=url, verify=CLIENT, timeout=PATIENCE) as client:
            while not done.is_set():
                found.append(await post(client))
        return found

    async def fresh() -> list[int]:
        found = []
        while not done.is_set():
            async with httpx.AsyncClient(base_url=url, verify=CLIENT, timeout=PATIENCE) as client:
                found.append(await post(client))
        return found

    async def rotate() -> None:
        for _ in range(3):
            pair = made()
            mount.renew(pair)
            await until_shown(running, pair)
        done.set()

    clients = [kept() for _ in range(PARALLEL // 2)] + [fresh() for _ in range(PARALLEL // 2)]
    answers, _ = await asyncio.gather(asyncio.gather(*clients), rotate())
    assert [set(found) for found in answers] == [{200}] * PARALLEL


async def test_an_open_connection_outlives_its_certificate(running: Running, mount: Mount) -> None:
    """A client that keeps its connection, as the API server does, is answered on it after a rotation."""
    opened = 0

    async def count(name: str, _: object) -> None:
        nonlocal opened
        opened += name == "connection.connect_tcp.started"

    async with httpx.AsyncClient(
        base_url=f"https://{running.server.address}", verify=CLIENT, timeout=PATIENCE
    ) as client:
        await post(client, trace=count)
        second = made()
        mount.renew(second)
        await until_shown(running, second)
        assert await post(client, trace=count) == 200
    assert opened == 1


async def test_a_mismatched_pair_keeps_the_old_one_until_a_good_one_comes(
    running: Running, mount: Mount
) -> None:
    """It is said and counted, and nobody is refused meanwhile; the pod stays ready."""
    first = await shown(running)
    second = made()
    mount.renew(Pair(second.certificate, made().key))
    await until(lambda: running.log[-1]["event"] == "problem")
    assert "certificate and key do not belong together" in running.log[-1]["message"]
    assert await shown(running) == first
    metrics = (await running.health.get("/metrics")).text
    assert "litellm_registrar_webhook_tls_bad_pairs_total 1.0" in metrics
    assert (await running.health.get("/readyz")).status_code == 200
    mount.renew(second)
    await until_shown(running, second)


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """Give the Kubernetes in memory that every process connects to; the configuration has no bundle yet."""
    api = FakeApi()
    webhook = {"name": "pods.litellm-registrar.io", "clientConfig": {"url": "https://127.0.0.1:1"}}
    for kind in ("mutating", "validating"):
        api.put(f"{ADMISSION}/{kind}webhookconfigurations/litellm-registrar", {"webhooks": [webhook]})

    async def connect(_kubeconfig: str = "", _context: str = "") -> FakeApi:
        return api

    monkeypatch.setattr(Api, "connect", connect)
    return api


async def until_ready(running: Running) -> None:
    """Ask until it is ready."""
    while (await running.health.get("/readyz")).text != "ok\n":
        pass


def published(kube: FakeApi) -> str:
    """Give what is published."""
    found = kube.objects[f"{ADMISSION}/mutatingwebhookconfigurations/litellm-registrar"]
    return base64.b64decode(found["webhooks"][0]["clientConfig"]["caBundle"]).decode()


# What is 1 while all is well.
SHOWN = ("leading", "leaf_verifies", "bundle_published")
OWN = {
    "tls_cert": "",
    "tls_key": "",
    "tls_secret": "webhook-tls",
    "namespace": "shop",
    "service": "webhook",
    "tls_names": "127.0.0.1",
}


async def test_with_a_secret_of_its_own_it_serves_what_is_published(serving: Serving, kube: FakeApi) -> None:
    """From an empty cluster to a review over TLS, and the Lease is given back at the end."""
    async with serving(**OWN) as running:
        await until_ready(running)
        trust = ssl.create_default_context(cadata=published(kube))
        async with httpx.AsyncClient(
            base_url=f"https://{running.server.address}", verify=trust, timeout=PATIENCE
        ) as client:
            assert await post(client) == 200
        wanted = {f"litellm_registrar_webhook_tls_{name} 1.0" for name in SHOWN}
        while not wanted <= set((await running.health.get("/metrics")).text.splitlines()):
            pass
    lease = kube.objects["/apis/coordination.k8s.io/v1/namespaces/shop/leases/webhook-tls"]
    assert lease["spec"]["holderIdentity"] == ""


async def test_before_there_is_a_certificate_it_is_not_ready(serving: Serving, kube: FakeApi) -> None:
    """While the API server is away nothing is served; once it answers, all goes its way."""
    kube.fail[""] = UNREACHABLE
    async with serving(**OWN) as running:
        answer = await running.health.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "no_certificate\n")
        assert (await running.health.get("/healthz")).status_code == 200
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(running)
        kube.fail.clear()
        await until_ready(running)


async def test_without_a_way_to_the_api_it_does_not_start(serving: Serving, tmp_path: Path) -> None:
    """A kubeconfig that is not there is a bad setting."""
    with pytest.raises(SettingsError, match="the Kubernetes API is needed"):
        async with serving(**OWN, kubeconfig=str(tmp_path / "missing")):
            raise AssertionError("it serves")
