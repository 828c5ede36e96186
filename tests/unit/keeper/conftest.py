"""A keeper for each test."""

from collections.abc import AsyncIterator

import pytest

from sidecar.access import ByKey
from sidecar.keeper import Keeper
from sidecar.litellm import LiteLLM
from sidecar.log import Log
from sidecar.problems import Problems
from tests.standins.clock import FakeClock
from tests.standins.litellm_table import KEY, URL, Table
from tests.unit.keeper.bench import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Set a keeper up, and let go of it afterwards."""
    table, clock, lines = Table(), FakeClock(), list[str]()
    log = Log(lines.append, clock.today)
    problems = Problems(log, clock)
    async with table.client() as client:
        api = LiteLLM(client, ByKey(URL, KEY))
        keeper = Keeper(api, problems=problems, log=log, clock=clock, random=lambda: 1.0)
        yield Bench(table, clock, keeper, problems, lines)
        await keeper.stop()
