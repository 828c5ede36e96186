"""A thousand pods that come and go before a real LiteLLM, a third of them without a word."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.bench.figures import Chart, Figure
from tests.peers.broker import grant
from tests.peers.cluster import Cluster, control_plane
from tests.peers.proxy import LiteLLM, litellm
from tests.real.churn.story import BOUNDED, WHOLE, Sample, Story, lead
from tests.real.churn.world import REAPING
from tests.real.foreign import Foreign, config

# Values of a chart.
_POINTS: Final = 40
# Of the run, after which a broker that has just started has its usual memory.
_SETTLED: Final = 0.25
_SHOWN: Final = 3


async def measure() -> list[Figure]:
    """Give churn, churn_memory and churn_calls, of one run."""
    with _peers() as (cluster, proxy, folder):
        foreign = Foreign(proxy)
        story = await lead(cluster, proxy, folder, WHOLE, "churn", *REAPING)
        foreign.check()
    wrong = story.wrong()
    lives = len(story.lives)
    return [
        Figure(
            "churn",
            len(wrong),
            "rows and writes",
            "= 0",
            f"of {lives} lives in {story.lived / 60:.0f} min: {story.told()}. {'; '.join(wrong[:_SHOWN])}",
        ),
        _memory(story),
        _calls(story),
    ]


async def measure_control() -> list[Figure]:
    """Give churn_control."""
    with _peers() as (cluster, proxy, folder):
        story = await lead(cluster, proxy, folder, BOUNDED, "churn")
    of = f"of {len(story.lives)} lives, without a reaper"
    return [Figure("churn_control", len(story.wrong()), "rows and writes", "> 0", of)]


@contextmanager
def _peers() -> Iterator[tuple[Cluster, LiteLLM, Path]]:
    with tempfile.TemporaryDirectory(prefix="churn-") as name:
        folder = Path(name)
        (folder / "kube").mkdir()
        with control_plane(folder / "kube") as cluster, litellm(config=config(folder)) as proxy:
            grant(cluster)
            yield cluster, proxy, folder


def _memory(story: Story) -> Figure:
    series = _evenly(story.samples)
    settled = series[int(len(series) * _SETTLED)].mib
    return Figure(
        "churn_memory",
        series[-1].mib - settled,
        "MiB",
        "<= 10",
        f"from {settled:.0f} MiB after a quarter of the run; at most {max(one.mib for one in series):.0f}",
        Chart("Memory of a broker", "MiB", series[-1].at / 60, tuple(one.mib for one in series)),
    )


def _calls(story: Story) -> Figure:
    series = _evenly(story.samples)
    rates = tuple((new.calls - old.calls) / (new.at - old.at) for old, new in pairwise(series))
    return Figure(
        "churn_calls",
        series[-1].calls / len(story.lives),
        "calls a life",
        "<= 25",
        f"{series[-1].calls} in all, brokers and reaper included; at most {max(rates):.0f} a second",
        Chart("Calls to LiteLLM", "calls a second", series[-1].at / 60, rates),
    )


def _evenly(samples: list[Sample]) -> list[Sample]:
    """Give some forty samples, evenly apart, the last one among them."""
    step = max(1, len(samples) // _POINTS)
    return samples[::-step][::-1]
