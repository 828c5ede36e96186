"""The chart on a real node: how long its install takes, what rollouts cost, how large its processes get."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.bench.figures import Figure
from tests.load import Tally, examples
from tests.node import rollouts
from tests.node.manifests import OPENAI, container, deployment, pod
from tests.node.release import BROKER, WEBHOOK, Release
from tests.node.world import new_world
from tests.peers import cluster as kubernetes
from tests.peers.node_session import IMAGES
from tests.peers.proxy import litellm
from tests.peers.scripts import FOLDER
from webhook.kube.api import Api

RATE: Final = 12.0
REVIEWS: Final = 2000
AT_A_TIME: Final = 32
CONNECTIONS: Final = 1000
# What is done to a Deployment of its own, all at a time.
CHANGES: Final = {"restart": rollouts.restart, "scale": rollouts.scale}


async def measure() -> list[Figure]:
    """Give install_time, node_rollout, webhook_memory and broker_memory, in that order on one node."""
    with _node() as (release, url, work):
        seconds = await asyncio.to_thread(_install, release, url, work)
        tallies = await asyncio.to_thread(_roll, release, work)
        webhook = await _reviewed(release)
        broker = await _connected(release)
    lost = sum(tally.failed() for tally in tallies.values())
    told = "; ".join(
        f"{name}: {tally.failed()} of {tally.sent} requests{_examples(tally)}"
        for name, tally in tallies.items()
    )
    return [
        Figure("install_time", seconds, "s", "> 0", "recorded; images loaded, with `helm test`"),
        Figure("node_rollout", lost, "requests", "= 0", told),
        webhook,
        broker,
    ]


@contextmanager
def _node() -> Iterator[tuple[Release, str, Path]]:
    """Run a node with the images, and two LiteLLM replicas; give a release that is not installed yet."""
    done = subprocess.run(
        [FOLDER / "images" / "build.sh", *IMAGES], check=True, stdout=subprocess.PIPE, text=True
    )
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="litellm-registrar-node-")))
        proxy = stack.enter_context(litellm(work))
        cluster = stack.enter_context(kubernetes.node(work / "kube"))
        cluster.script("image-load.sh", *done.stdout.split())
        port = proxy.urls[0].rsplit(":", 1)[1]
        cluster.script("forward.sh", port)
        yield Release(cluster, proxy), f"http://outside.test:{port}", work


def _install(release: Release, url: str, work: Path) -> float:
    """Install the chart and then a labelled Deployment; give the time until its row is there, in seconds."""
    with new_world(release, work) as world:
        begun = time.monotonic()
        release.install(url)
        world.cluster.create(deployment(world.namespace, container(alias="first"), labels=OPENAI))
        world.until_rows("first", 1, seconds=120)
        seconds = time.monotonic() - begun
        world.ready_pods(1)
        return seconds


def _roll(release: Release, work: Path) -> dict[str, Tally]:
    with ExitStack() as stack, ThreadPoolExecutor(len(CHANGES)) as pool:
        worlds = {name: stack.enter_context(new_world(release, work)) for name in CHANGES}
        running = {
            name: pool.submit(rollouts.under_load, world, f"bench-{name}", CHANGES[name], RATE)
            for name, world in worlds.items()
        }
        return {name: one.result().tally for name, one in running.items()}


async def _reviewed(release: Release) -> Figure:
    """Have the API server ask for many pods, which are not made, and look at the webhook after it."""
    before = max(release.resident_mib(WEBHOOK))
    namespace = release.new_namespace()
    path = f"/api/v1/namespaces/{namespace}/pods"
    api = await Api.connect(str(release.cluster.work / "kubeconfig"))
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(number: int) -> None:
        async with turns:
            await api.rehearse(path, pod(namespace, f"p{number}", container(), OPENAI))

    try:
        await asyncio.gather(*map(one, range(REVIEWS)))
    finally:
        await api.close()
    after = max(release.resident_mib(WEBHOOK))
    return Figure(
        "webhook_memory",
        after,
        "MiB",
        "<= 110",
        f"the larger of two replicas after {REVIEWS} pods, {AT_A_TIME} at a time; before: {before:.0f}",
    )


async def _connected(release: Release) -> Figure:
    """Open many connections to the broker at a time, and look at it after these have been closed again."""
    before = max(release.resident_mib(BROKER))
    address = release.pods(BROKER)[0]["status"]["podIP"]
    context = ssl.create_default_context()
    context.check_hostname = False  # by its own address: a Service would spread them over two
    context.verify_mode = ssl.CERT_NONE
    opened = await asyncio.gather(*(_asked(address, context) for _ in range(CONNECTIONS)))
    most = max(release.resident_mib(BROKER))
    for writer in opened:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in opened), return_exceptions=True)
    await asyncio.sleep(10)
    after = max(release.resident_mib(BROKER))
    return Figure(
        "broker_memory",
        after,
        "MiB",
        "<= 110",
        f"the larger of two replicas, after {CONNECTIONS} connections at a time to it; before: {before:.0f}, "
        f"with all of them open: {most:.0f}",
    )


async def _asked(address: str, context: ssl.SSLContext) -> asyncio.StreamWriter:
    """Open a connection and ask something on it, without a token."""
    reader, writer = await asyncio.open_connection(address, 8443, ssl=context, ssl_handshake_timeout=300)
    writer.write(f"GET /v2/model/info HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    return writer


def _examples(tally: Tally) -> str:
    return f" ({examples(tally.lost)})" if tally.failed() else ""
