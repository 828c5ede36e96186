"""Pods come and go, some without a word, before brokers that are killed and paused, and a real LiteLLM."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.broker import grant
from tests.peers.cluster import CONTROL_PLANE, CONTROL_PLANE_PROGRAMS, Cluster, control_plane, missing
from tests.peers.proxy import LiteLLM
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET
from tests.real.churn.story import BOUNDED, WHOLE, Course, lead
from tests.real.churn.world import REAPING

pytestmark = [
    pytest.mark.real,
    pytest.mark.kube,
    # Of a connection whose TLS handshake is cancelled httpcore 1.0 leaves the socket to the collector; these
    # registrars are killed by cancelling them.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Run a control plane with its controllers and the project's rights."""
    require(HOW_TO_GET, missing(CONTROL_PLANE, CONTROL_PLANE_PROGRAMS))
    folder = tmp_path / "kube"
    folder.mkdir()
    with control_plane(folder) as running:
        grant(running)
        yield running


@pytest.mark.parametrize(
    "course",
    [
        pytest.param(BOUNDED, id="bounded", marks=pytest.mark.timeout(900)),
        pytest.param(WHOLE, id="whole", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
async def test_nothing_is_left_of_pods_that_came_and_went(
    cluster: Cluster, proxy: LiteLLM, tmp_path: Path, course: Course
) -> None:
    """However they ended: no row is left of them, none is anybody else's, and those that live have theirs."""
    story = await lead(cluster, proxy, tmp_path, course, "churn", *REAPING)
    gc.collect()  # what of them is collected later would count as other tests'
    assert story.wrong() == []
