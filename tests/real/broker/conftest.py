"""A LiteLLM as somebody else has configured it, the broker's way to it, and a broker with real tokens."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import httpx
import pytest

from tests.peers.broker import BrokerProcess, Caller, injected_caller
from tests.peers.cluster import Cluster
from tests.peers.proxy import LiteLLM, litellm
from tests.peers.require import require
from tests.peers.scripts import FOLDER, HOW_TO_GET, loopback_address, not_installed
from tests.real.clusters import granted
from webhook.broker.key_abilities import ROUTES
from webhook.broker.upstream import Upstream

# Nothing listens at this address: a request that reaches one of these rows fails there.
_ROWS: Final = """model_list:
- {model_name: gpt-4o, litellm_params: {model: openai/gpt-4o, api_key: none, api_base: "http://127.0.0.1:9/v1"}}
- {model_name: "openai/*", litellm_params: {model: "openai/*", api_key: none, api_base: "http://127.0.0.1:9/v1"}}
- {model_name: "team-*-x", litellm_params: {model: openai/x, api_key: none, api_base: "http://127.0.0.1:9/v1"}}
- model_name: named
  litellm_params: {model: openai/its-model, api_key: none, api_base: "http://127.0.0.1:9/v1"}
  model_info: {id: an-id-of-its-own}
router_settings:
  model_group_alias: {an-alias: named}
"""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def configured(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteLLM]:
    """Give one replica with rows, patterns and an alias in its configuration."""
    require(HOW_TO_GET, not_installed("litellm"))
    file = tmp_path_factory.mktemp("configured") / "config.yaml"
    shipped = (FOLDER / "litellm" / "config.yaml").read_text()
    file.write_text(shipped.replace("model_list: []\n", _ROWS))
    with litellm(logs, replicas=1, config=file) as proxy:
        yield proxy


class Way(Protocol):
    """Opens the broker's way to a replica."""

    def __call__(
        self, proxy: LiteLLM, key: str = "", replica: int = 0
    ) -> AbstractAsyncContextManager[Upstream]:
        """Open it with this key, or the narrowest that works."""


@pytest.fixture
def way() -> Way:
    """Give the means to ask as the broker does."""

    @asynccontextmanager
    async def opened(proxy: LiteLLM, key: str = "", replica: int = 0) -> AsyncIterator[Upstream]:
        async with Upstream(proxy.urls[replica]) as upstream:
            upstream.use(key or proxy.make_key(allowed_routes=[*ROUTES]))
            yield upstream

    return opened


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a control plane with its controllers, the project's rights, and a node that nobody looks after."""
    with granted(tmp_path_factory.mktemp("kube-broker")) as running:
        running.fake_node({})
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Give the test a namespace of its own, in which pods can be made."""
    name = cluster.namespace(f"tenant-{next(_numbers)}")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def shared_broker(
    cluster: Cluster, quick: LiteLLM, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrokerProcess]:
    """Run a broker with its own rights and certificates, and the narrowest key of the quick LiteLLM."""
    folder = tmp_path_factory.mktemp("broker")
    process = BrokerProcess(cluster, quick.urls[0], quick.make_key(allowed_routes=[*ROUTES]), folder)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def broker(shared_broker: BrokerProcess, proxy: LiteLLM) -> BrokerProcess:
    """Give that broker, before a LiteLLM with no row but foreign ones; these have not changed at the end."""
    assert proxy.urls
    return shared_broker


@pytest.fixture
def client(broker: BrokerProcess) -> Iterator[httpx.Client]:
    """Give a client as a registrar has it: it trusts the published bundle only."""
    with broker.client() as it:
        yield it


@pytest.fixture
def pod(cluster: Cluster, namespace: str, broker: BrokerProcess) -> Caller:
    """Give a pod with a registrar, an IP and a token of its own."""
    assert broker.cluster is cluster
    return injected_caller(cluster, namespace, "qwen", loopback_address())
