"""A real control plane in front of two replicas of the webhook that make their own certificates."""

from collections.abc import Iterator

import pytest

from tests.peers.cluster import CONTROL_PLANE, CONTROL_PLANE_PROGRAMS, Cluster, control_plane, missing
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a control plane for this test alone."""
    require(HOW_TO_GET, missing(CONTROL_PLANE, CONTROL_PLANE_PROGRAMS))
    with control_plane(tmp_path_factory.mktemp("kube-tls")) as running:
        yield running
