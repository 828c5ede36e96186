"""Whole registrars, played through on a clock of the test's."""

from collections.abc import AsyncIterator

import pytest

from tests.standins import registrar
from tests.standins.registrar import Cluster, Pod


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Give a LiteLLM and a clock."""
    async with registrar.cluster() as here:
        yield here


@pytest.fixture
def pod(cluster: Cluster) -> Pod:
    """Give one registrar that has just started."""
    return cluster.start()
