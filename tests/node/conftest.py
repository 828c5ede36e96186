"""One real node with the chart installed; outside it two real LiteLLM replicas. All for the whole session."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.node.outages import broker_away, litellm_away
from tests.node.release import BROKER, BROKER_AWAY, LITELLM_AWAY, WEBHOOK, Release
from tests.node.world import World, new_world
from tests.peers.cluster import Cluster, machine_address
from tests.peers.node_session import cluster, images, litellm_url, proxy, starting, work
from tests.peers.proxy import LiteLLM

__all__ = ["cluster", "images", "litellm_url", "proxy", "starting", "work"]

# Clocks of one machine are not off, and no webhook here needs a minute to hear of another CA.
_OVERLAP = {"WEBHOOK_TLS_OVERLAP": "2", "WEBHOOK_TLS_CLOCK_SKEW": "0.25"}
# A lost node is waited for as short as can be, and no test may be held back for what others had removed.
_REAPER = {"nodeGrace": 10, "atLeast": 100}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the outages last, which take long, and go on beside all others but the lost node's."""
    items.sort(key=lambda item: (item.path.name == "test_lost_node.py", _is_of_outages(item)))


def _is_of_outages(item: pytest.Item) -> bool:
    return "outages" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def release(cluster: Cluster, proxy: LiteLLM, litellm_url: str) -> Release:
    """Install the chart as most tests want it: broker mode, two replicas of all.

    It has LiteLLM's address without a name: a lost node takes the cluster's DNS with it.
    """
    made = Release(cluster, proxy)
    env = [{"name": name, "value": value} for name, value in _OVERLAP.items()]
    made.install(
        f"http://{machine_address()}:{litellm_url.rpartition(':')[2]}",
        {BROKER: {"extraEnv": env}, "reaper": _REAPER},
    )
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
