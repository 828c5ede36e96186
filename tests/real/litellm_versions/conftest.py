"""The contract suite's LiteLLM: each test runs against every version there is, two replicas of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest

from sidecar.access import ByKey
from sidecar.litellm import LiteLLM as Client
from tests.peers.proxy import VERSION, VERSIONS, LiteLLM, litellm, version_missing
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET
from tests.real.conftest import QUICK
from tests.real.foreign import Foreign, config


@pytest.fixture(scope="session", params=VERSIONS)
def versioned(request: pytest.FixtureRequest) -> Iterator[tuple[LiteLLM, Foreign]]:
    """Give two replicas of a version, and rows that nobody may touch; the usual one is other tests' too."""
    if request.param == VERSION:
        yield request.getfixturevalue("quick"), request.getfixturevalue("foreign")
        return
    require(HOW_TO_GET, version_missing(request.param))
    made = request.getfixturevalue("tmp_path_factory").mktemp("config")
    logs = request.getfixturevalue("logs") / request.param
    with litellm(logs, reload_seconds=QUICK, config=config(made), version=request.param) as proxy:
        yield proxy, Foreign(proxy)


@pytest.fixture
def proxy(versioned: tuple[LiteLLM, Foreign]) -> Iterator[LiteLLM]:
    """Give a version with no row but the foreign ones; these must not have changed at the end."""
    running, foreign = versioned
    yield running
    running.remove_own_rows()
    foreign.check()


Ask = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def ask(proxy: LiteLLM) -> Ask:
    """Give the registrar's own client of a replica: `ask(replica, key)`; the master key, if none is given."""

    @asynccontextmanager
    async def asking(replica: int = 0, key: str = proxy.key) -> AsyncIterator[Client]:
        async with httpx.AsyncClient(trust_env=False) as client:
            yield Client(client, ByKey(proxy.urls[replica], key))

    return asking
