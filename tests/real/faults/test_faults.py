"""Faults, each met by pods that register, serve, are updated and drain: no row is wrong after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.cluster import CONTROL_PLANE, CONTROL_PLANE_PROGRAMS, missing
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET, not_installed
from tests.real.faults.control import leaves_behind
from tests.real.faults.fault import Fault, meet
from tests.real.faults.table import FAULTS
from tests.real.faults.world import World, world

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, logs: Path) -> Iterator[World]:
    """Give the one world that all faults happen in, one after the other."""
    require(HOW_TO_GET, not_installed("litellm"))
    require(HOW_TO_GET, missing(CONTROL_PLANE, CONTROL_PLANE_PROGRAMS))
    with world(tmp_path_factory.mktemp("faults"), logs) as made:
        yield made


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=fault.name, marks=() if fault.bounded else pytest.mark.soak) for fault in FAULTS],
)
def test_a_fault_leaves_every_row_right(fault: Fault, shared: World) -> None:
    """The rows are those of the pods that live, foreign ones are as they were, a line names the reason."""
    verdict = meet(shared, fault)
    assert verdict.rows == []
    assert verdict.unsaid == []


@pytest.mark.soak
def test_what_is_left_behind_is_counted(shared: World) -> None:
    """A registrar that takes every end of a deletion for a success leaves a row, and the matrix says so."""
    verdict = leaves_behind(shared)
    assert len(verdict.rows) == 1
    assert "is nobody's" in verdict.rows[0]
