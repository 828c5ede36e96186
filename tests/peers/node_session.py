"""What suites on the real node share: the images, the node, and outside of it two real LiteLLM replicas.

Fixtures of a whole session; a suite's conftest imports those that it wants.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.peers import cluster as kubernetes
from tests.peers.helm import PROGRAMS, Helm
from tests.peers.proxy import LiteLLM, litellm
from tests.peers.require import require
from tests.peers.scripts import FOLDER, not_installed

INSTALL: Final = "`make test-node` and `make test-cluster` install it (tests/peers/install.sh node, cluster)"
IMAGES: Final = ("webhook", "sidecar", "llama-server", "ollama")


def missing() -> list[str]:
    """Name what the node, its images and LiteLLM need and this machine has not."""
    root = [] if os.geteuid() == 0 else ["root"]
    tools = kubernetes.missing((*kubernetes.NODE, *PROGRAMS.values()), kubernetes.NODE_PROGRAMS)
    return [*root, *tools, *not_installed("litellm", "llama-server", "ollama")]


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for everything; nothing runs without what the node needs."""
    require(INSTALL, missing())
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="session")
def starting(work: Path) -> Iterator[Future[LiteLLM]]:
    """Begin to start LiteLLM, which takes as long as the images and the node."""
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        yield pool.submit(stack.enter_context, litellm(work))


@pytest.fixture(scope="session")
def images(work: Path, starting: Future[LiteLLM]) -> list[str]:  # noqa: ARG001 - at the same time
    """Build the images: our own two, a real llama-server's and a real Ollama's; give their archives."""
    done = subprocess.run(
        [FOLDER / "images" / "build.sh", *IMAGES], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.split()


@pytest.fixture(scope="session")
def cluster(work: Path, images: list[str]) -> Iterator[kubernetes.Cluster]:
    """Run the node, with the images in it."""
    with kubernetes.node(work / "kube") as running:
        running.script("image-load.sh", *images)
        yield running


@pytest.fixture(scope="session")
def proxy(starting: Future[LiteLLM]) -> LiteLLM:
    """Give two LiteLLM replicas on the machine's loopback, with the reload interval as shipped."""
    return starting.result()


@pytest.fixture(scope="session")
def litellm_url(cluster: kubernetes.Cluster, proxy: LiteLLM) -> str:
    """Give the address at which pods reach the first replica."""
    port = proxy.urls[0].rsplit(":", 1)[1]
    cluster.script("forward.sh", port)
    return f"http://outside.test:{port}"


@pytest.fixture(scope="session", params=sorted(PROGRAMS), ids=lambda major: f"helm{major}")
def helm(cluster: kubernetes.Cluster, request: pytest.FixtureRequest) -> Helm:
    """Give Helm, each major version in turn."""
    return Helm(cluster, request.param)
