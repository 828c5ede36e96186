"""Two replicas of the webhook that make their own certificates, and a real API server that calls them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.peers.balancer import ADDRESS, Balancer, balancer
from tests.peers.broker import NAMESPACE, grant
from tests.peers.cluster import Cluster
from tests.peers.learned import configurations
from tests.peers.webhook import CONFIGURATION, ServeProcess, change_ca
from webhook.kube.api import Api, ApiError

ACCOUNT: Final = "litellm-registrar-webhook"
SECRET: Final = "litellm-registrar-webhook-tls"
SERVICE: Final = "litellm-registrar-webhook"
METRIC: Final = "litellm_registrar_webhook_tls"
# Lives of under a minute, a third of which is longer than a Lease; clocks of one machine are not off. In an
# overlap whoever has read what is published shakes hands by it, on a machine that does other work too.
TIMES: Final = (
    *("--tls-leaf-lifetime", "45", "--tls-overlap", "8", "--tls-clock-skew", "0.25"),
    *("--tls-ca-lifetime", "3600"),
)
# So many pods are made at once, more than the connections that the API server keeps (client-go's transport:
# 25 to each host): some handshakes are made each time.
BURST: Final = 32
_PAUSE: Final = 0.7
_EYE: Final = 0.1
# Several lives of certificates.
_SECONDS: Final = 300
MUTATING: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/litellm-registrar"


@dataclass
class Tally:
    """What was asked of the webhook, and how often it failed."""

    sent: int = 0
    failed: list[str] = field(default_factory=list)


class Rotating:
    """The replicas behind one port, pods that are made all the time, and an eye on every handshake.

    `pods` counts those that were made: one without a registrar is a failed call, for the configuration has
    `failurePolicy: Ignore`. `handshakes` are made with each replica ten times a second, as an API server
    makes them that has just read the configuration.
    """

    def __init__(self, cluster: Cluster, api: Api, replicas: list[ServeProcess], front: Balancer) -> None:
        self.cluster = cluster
        self.replicas = replicas
        self.front = front
        self.pods = Tally()
        self.handshakes = Tally()
        self._api = api
        self._going = asyncio.Event()
        self._going.set()
        self._burst = asyncio.Lock()
        self._looks = {replica.port: asyncio.Lock() for replica in replicas}

    async def create_for_ever(self, namespace: str) -> None:
        """Make pods in bursts."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        while True:
            await self._going.wait()
            async with self._burst:
                if self._going.is_set():
                    await asyncio.gather(*(self._create(path, namespace) for _ in range(BURST)))
            await asyncio.sleep(_PAUSE)

    async def watch_for_ever(self, replica: ServeProcess) -> None:
        """Shake hands with a replica by what is published at that moment, again and again."""
        while True:
            await self._going.wait()
            async with self._looks[replica.port]:
                if replica.runs and self._going.is_set():
                    await self._handshake(replica)
            await asyncio.sleep(_EYE)

    @asynccontextmanager
    async def rest(self) -> AsyncIterator[None]:
        """Have nothing asked while inside: what happens there fails what is in hand."""
        self._going.clear()
        for hand in (self._burst, *self._looks.values()):
            async with hand:  # what was in hand has ended, and nothing new begins
                pass
        yield
        self._going.set()

    async def until_learned(self) -> None:
        """Wait until the API server goes by what is published now."""
        await asyncio.to_thread(configurations, self.cluster)

    async def until_left(self, replica: ServeProcess) -> None:
        """Wait until nobody has a connection any more to a replica that has ended."""
        async with asyncio.timeout(_SECONDS):
            while self.front.carried[replica.port]:  # noqa: ASYNC110 - counted from outside
                await asyncio.sleep(_EYE)
        await self.until_learned()  # a moment, and the API server does not stand still

    async def until_verified(self) -> None:
        """Wait until every replica finds that what it serves verifies against what is published."""
        async with asyncio.timeout(_SECONDS):
            for replica in self.replicas:
                while replica.metric(f"{METRIC}_leaf_verifies") != 1:  # noqa: ASYNC110 - the same
                    await asyncio.sleep(_EYE)

    async def bundle(self) -> bytes:
        """Give what is published now."""
        found = (await self._api.get(MUTATING))["webhooks"][0]["clientConfig"].get("caBundle", "")
        return base64.b64decode(found)

    async def secret(self, key: str) -> bytes:
        """Give one key of the Secret."""
        found = await self._api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{SECRET}")
        return base64.b64decode(found["data"].get(key, ""))

    async def change_ca(self) -> str:
        """Ask for another CA as a person would, and give what the command says."""
        return await asyncio.to_thread(change_ca, self.cluster.work / "kubeconfig", NAMESPACE, SECRET)

    async def leader(self, seconds: float = _SECONDS) -> ServeProcess:
        """Wait until a replica that runs leads, and give it."""
        async with asyncio.timeout(seconds):
            while True:
                for replica in self.replicas:
                    if replica.runs and replica.metric(f"{METRIC}_leading") == 1:
                        return replica
                await asyncio.sleep(0.2)

    async def until_renewed(self, seconds: float = _SECONDS) -> None:
        """Wait until every replica that runs serves another certificate than now, the same one."""
        before = {replica.port: _ends(replica) for replica in self.replicas if replica.runs}
        async with asyncio.timeout(seconds):
            while True:
                now = {port: _ends(replica) for replica in self.replicas if (port := replica.port) in before}
                if len(set(now.values())) == 1 and all(now[port] > before[port] for port in before):
                    return
                await asyncio.sleep(0.2)

    async def until_published(self, count: int, seconds: float = _SECONDS) -> None:
        """Wait until so many certificates are published."""
        async with asyncio.timeout(seconds):
            while True:
                if (await self.bundle()).count(b"BEGIN CERTIFICATE") == count:
                    return
                await asyncio.sleep(0.1)

    async def _create(self, path: str, namespace: str) -> None:
        self.pods.sent += 1
        try:
            made = await self._api.create(path, _pod(namespace))
        except ApiError as error:
            self.pods.failed.append(f"{_clock()} {error}")
            return
        if "registrar" not in [one["name"] for one in made["spec"].get("initContainers", ())]:
            self.pods.failed.append(f"{_clock()} made without a registrar")

    async def _handshake(self, replica: ServeProcess) -> None:
        try:
            bundle = await self.bundle()
        except ApiError:  # no answer, so there is nothing to shake hands by
            return
        self.handshakes.sent += 1
        try:
            trust = ssl.create_default_context(cadata=bundle.decode())
            _, writer = await asyncio.open_connection(ADDRESS, replica.port, ssl=trust)
        except (OSError, ValueError) as error:
            self.handshakes.failed.append(f"{_clock()} {error}")
            return
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def configuration(url: str) -> str:
    """Give the example's webhook configurations for this URL, without a bundle: as they are installed."""
    lines = CONFIGURATION.read_text().replace("${WEBHOOK_URL}", url).splitlines()
    return "\n".join(line for line in lines if "${CA_BUNDLE}" not in line)


@asynccontextmanager
async def rotating(cluster: Cluster, folder: Path) -> AsyncIterator[Rotating]:
    """Run two replicas with the rights of `examples/rbac.yaml`, and call them all the time while inside."""
    grant(cluster)
    kubeconfig = cluster.kubeconfig_of(NAMESPACE, ACCOUNT)
    flags = ("--tls-secret", SECRET, "--namespace", NAMESPACE, "--service", SERVICE, "--tls-names", ADDRESS)
    replicas = [
        ServeProcess(folder / f"{name}.log", ADDRESS, *flags, "--kubeconfig", str(kubeconfig), *TIMES)
        for name in ("one", "other")
    ]
    async with balancer([replica.port for replica in replicas]) as front:
        path = folder / "configuration.yaml"
        path.write_text(configuration(f"https://{ADDRESS}:{front.port}"))
        cluster.kubectl("apply", "-f", str(path))
        api = await Api.connect(str(cluster.work / "kubeconfig"))
        it = Rotating(cluster, api, replicas, front)
        tasks = []
        try:
            for replica in replicas:
                await asyncio.to_thread(replica.start)
            await it.until_published(1)
            await it.until_learned()
            namespace = cluster.namespace("busy")
            tasks = [
                asyncio.create_task(it.create_for_ever(namespace)),
                *(asyncio.create_task(it.watch_for_ever(replica)) for replica in replicas),
            ]
            yield it
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            for replica in replicas:
                await asyncio.to_thread(replica.stop)
            await api.close()


def _ends(replica: ServeProcess) -> float:
    return replica.metric(f'{METRIC}_not_after_seconds{{certificate="leaf"}}')


def _pod(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "qwen-",
            "namespace": namespace,
            "labels": {"litellm-registrar.io/server": "vllm"},
        },
        "spec": {
            "containers": [
                {
                    "name": "vllm",
                    "image": "vllm/vllm-openai:v0.32.0",
                    "args": ["--model", "Qwen/Qwen3-0.6B", "--port", "8000"],
                    "ports": [{"containerPort": 8000}],
                }
            ]
        },
    }


def _clock() -> str:
    return time.strftime("%H:%M:%S")
