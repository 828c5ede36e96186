"""The stand-in LiteLLM is as slow as the real one was."""

import asyncio

import pytest

from tests.standins.litellm_pace import Pace
from tests.virtual_time import now, run


async def slowest(pace: Pace, *paths: str, rows: int = 0, **query: str) -> float:
    """Give how long the last of these calls takes, all made at once."""
    begun = now()
    await asyncio.gather(*(pace.work(path, query, finds=True, rows=rows) for path in paths))
    return now() - begun


@pytest.mark.parametrize(("at_once", "seconds"), [(1, 0.1), (4, 0.4), (8, 0.8), (16, 2.2), (20, 4.1)])
def test_creations_at_once_take_as_long_as_measured(at_once: int, seconds: float) -> None:
    """Each more holds up all others."""
    took = run(slowest(Pace(), *["/model/new"] * at_once))
    assert took == pytest.approx(seconds, rel=0.1)


def test_a_reading_takes_longer_the_more_rows_there_are() -> None:
    """8 ms with few, 50 ms with a thousand, of which a page of all takes 0.2 s; by id it does not matter."""
    times = [
        run(slowest(Pace(), "/v2/model/info", rows=rows, **query))
        for rows, query in ((0, {}), (1000, {"model": "x"}), (1000, {"page": "1"}), (1000, {"modelId": "x"}))
    ]
    assert times == pytest.approx([0.008, 0.05, 0.198, 0.008])


def test_a_reading_is_not_behind_whole_writes() -> None:
    """LiteLLM works on all calls by turns."""

    async def both() -> float:
        pace = Pace()
        writing = asyncio.create_task(slowest(pace, *["/model/new"] * 4))
        await asyncio.sleep(0)
        took = await slowest(pace, "/v2/model/info")
        await writing
        return took

    assert run(both()) < 0.1
