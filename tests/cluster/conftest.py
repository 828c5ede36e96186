"""One real node with our images, and LiteLLM outside of it, for the whole session."""

import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.lifecycle import tag_other
from tests.cluster.release import Release
from tests.peers.cluster import JSON, Cluster
from tests.peers.helm import NAMESPACE, Helm, broker_values, make_key
from tests.peers.node_session import cluster, helm, images, litellm_url, proxy, starting, work
from tests.peers.proxy import LiteLLM
from tests.real.apiserver.manifests import policy_file
from webhook.kube.api import Api

__all__ = ["cluster", "helm", "images", "litellm_url", "proxy", "starting", "work"]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def other_image(cluster: Cluster) -> None:
    """Have the webhook's image on the node as if it were a release later, too."""
    tag_other(cluster)


@pytest.fixture
async def admin(cluster: Cluster) -> AsyncIterator[Api]:
    """Ask the API server as its administrator."""
    api = await Api.connect(str(cluster.work / "kubeconfig"))
    yield api
    await api.close()


@pytest.fixture
def busy(cluster: Cluster) -> Iterator[str]:
    """Give a namespace for pods."""
    name = cluster.namespace(f"busy-{next(_numbers)}")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


Releases = Callable[..., Release]


@contextmanager
def releases(cluster: Cluster, proxy: LiteLLM, litellm_url: str) -> Iterator[Releases]:
    """Give the means to have a release: `release(values, ..., helm=...)`; at the end nothing of it stays."""
    make_key(cluster, proxy.key)

    def make(*values: JSON, helm: Helm | None = None) -> Release:
        return Release(helm or Helm(cluster, 4), (broker_values(litellm_url), *values))

    try:
        yield make
    finally:
        Helm(cluster, 4).uninstall(flags=("--wait", "--ignore-not-found", "--no-hooks"))
        print(cluster.kubectl("get", "events", "-n", NAMESPACE).out)
        cluster.kubectl("delete", "namespace", NAMESPACE)


@pytest.fixture
def release(cluster: Cluster, proxy: LiteLLM, litellm_url: str) -> Iterator[Releases]:
    """Give a test a release of its own."""
    with releases(cluster, proxy, litellm_url) as make:
        yield make


@pytest.fixture(scope="module")
def policed(cluster: Cluster, proxy: LiteLLM, litellm_url: str) -> Iterator[str]:
    """Give a namespace in which the policy of a release forbids things, for all tests of a module."""
    policy = {"policy": {"document": json.loads(policy_file())}}
    with releases(cluster, proxy, litellm_url) as make:
        ours = make(policy)
        ours.install()
        ours.until_enforced()
        name = cluster.namespace(f"policed-{next(_numbers)}")
        ours.until_injecting()
        yield name
        cluster.kubectl("delete", "namespace", name, "--wait=false")
