"""One real node with the chart installed; outside it two real LiteLLM replicas. All for the whole session."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.node.outages import broker_away, litellm_away
from tests.node.release import BROKER, BROKER_AWAY, LITELLM_AWAY, WEBHOOK, Release
from tests.node.world import World, new_world
from tests.peers.cluster import Cluster
from tests.peers.node_session import cluster, images, litellm_url, proxy, starting, work
from tests.peers.proxy import LiteLLM

__all__ = ["cluster", "images", "litellm_url", "proxy", "starting", "work"]

# Clocks of one machine are not off, and no webhook here needs a minute to hear of another CA.
_OVERLAP = {"WEBHOOK_TLS_OVERLAP": "2", "WEBHOOK_TLS_CLOCK_SKEW": "0.25"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the outages last: these take long, and go on beside all others."""
    items.sort(key=_is_of_outages)


def _is_of_outages(item: pytest.Item) -> bool:
    return "outages" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def release(cluster: Cluster, proxy: LiteLLM, litellm_url: str) -> Release:
    """Install the chart as most tests want it: broker mode, two replicas of all."""
    made = Release(cluster, proxy)
    env = [{"name": name, "value": value} for name, value in _OVERLAP.items()]
    made.install(litellm_url, {BROKER: {"extraEnv": env}})
    return made


@pytest.fixture(scope="session")
def outages(
    cluster: Cluster, proxy: LiteLLM, litellm_url: str, work: Path
) -> Iterator[dict[str, Future[None]]]:
    """Begin the two outages of five minutes, each with a release of its own, beside all other tests."""
    with ThreadPoolExecutor(2) as pool:
        yield {
            BROKER_AWAY: pool.submit(broker_away, cluster, proxy, litellm_url, work),
            LITELLM_AWAY: pool.submit(litellm_away, cluster, work),
        }


@pytest.fixture(scope="session", autouse=True)
def _early(request: pytest.FixtureRequest) -> None:
    """Begin the outages with the session, if a test will ask for them."""
    if any(map(_is_of_outages, request.session.items)):
        request.getfixturevalue("outages")


@pytest.fixture
def world(release: Release, work: Path) -> Iterator[World]:
    """Give an empty namespace; afterwards print what the chart's processes said (seen on failure)."""
    with new_world(release, work) as made:
        yield made
    for part in (WEBHOOK, BROKER):
        print(release.log(part)[-5000:])
