"""One real node; outside it two real LiteLLM replicas and the webhook. All for the whole session."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.node.manifests import secret
from tests.node.world import World, new_world
from tests.peers import cluster as kubernetes
from tests.peers.proxy import LiteLLM, litellm
from tests.peers.require import require
from tests.peers.scripts import not_installed
from tests.peers.webhook import Webhook

INSTALL = "`make test-node` installs it (tests/peers/install.sh node)"


def _missing() -> list[str]:
    root = [] if os.geteuid() == 0 else ["root"]
    tools = kubernetes.missing(kubernetes.NODE, kubernetes.NODE_PROGRAMS)
    return [*root, *tools, *not_installed("litellm", "llama-server")]


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for everything; nothing runs without what the node needs."""
    require(INSTALL, _missing())
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="session")
def starting(work: Path) -> Iterator["Future[LiteLLM]"]:
    """Begin to start LiteLLM, which takes as long as the images and the node."""
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        yield pool.submit(stack.enter_context, litellm(work))


@pytest.fixture(scope="session")
def images(work: Path, starting: "Future[LiteLLM]") -> list[Path]:  # noqa: ARG001 - at the same time
    """Build the images: the registrar's, and a real llama-server's."""
    subprocess.run([Path(__file__).with_name("images.sh"), work], check=True)
    return [work / "sidecar.tar", work / "llama-server.tar"]


@pytest.fixture(scope="session")
def cluster(work: Path, images: list[Path]) -> Iterator[kubernetes.Cluster]:
    """Run the node, with the images in it."""
    with kubernetes.node(work / "kube") as running:
        running.script("image-load.sh", *map(str, images))
        for image in images:
            image.unlink()
        yield running


@pytest.fixture(scope="session")
def proxy(starting: "Future[LiteLLM]") -> LiteLLM:
    """Give two LiteLLM replicas on the machine's loopback, with the reload interval as shipped."""
    return starting.result()


@pytest.fixture(scope="session")
def litellm_url(cluster: kubernetes.Cluster, proxy: LiteLLM) -> str:
    """Give the address at which pods reach the first replica."""
    port = proxy.urls[0].rsplit(":", 1)[1]
    cluster.script("forward.sh", port)
    return f"http://outside.test:{port}"


@pytest.fixture(scope="session")
def webhook(cluster: kubernetes.Cluster) -> Iterator[Webhook]:
    """Serve admission on the machine's address as the node sees it."""
    process = Webhook(cluster, kubernetes.machine_address())
    process.start()
    process.configure()
    yield process
    process.stop()


@pytest.fixture
def world(
    cluster: kubernetes.Cluster, proxy: LiteLLM, litellm_url: str, webhook: Webhook, work: Path
) -> Iterator[World]:
    """Give a namespace with LiteLLM's Secret; afterwards print what its registrars said (seen on failure)."""
    with new_world(cluster, proxy, work) as made:
        cluster.create(secret(made.namespace, litellm_url, proxy.key))
        yield made
    print(webhook.log.read_text()[-5000:])
