"""A control plane of its own for each folder of tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.broker import grant
from tests.peers.cluster import CONTROL_PLANE, CONTROL_PLANE_PROGRAMS, Cluster, control_plane, missing
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET


@contextmanager
def granted(folder: Path) -> Iterator[Cluster]:
    """Run a control plane with its controllers, and the project's ServiceAccounts with their rights."""
    require(HOW_TO_GET, missing(CONTROL_PLANE, CONTROL_PLANE_PROGRAMS))
    with control_plane(folder) as running:
        grant(running)
        yield running
