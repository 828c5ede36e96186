"""The whole of it: lives, what befalls the brokers meanwhile, and what there is at the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.steady import resident_mib
from tests.peers.cluster import Cluster
from tests.peers.proxy import LiteLLM
from tests.real.churn.ledger import Ledger
from tests.real.churn.living import Lives
from tests.real.churn.plan import Life, lives, namespaces, places
from tests.real.churn.world import World, world

# Seconds between two looks at all of it.
_LOOK_EVERY: Final = 3.0
# Seconds after the last end in which everything may become as it should be.
_MOST: Final = 120.0
# Seconds until a node is lost.
_LOST_AFTER: Final = 60.0


@dataclass(frozen=True, slots=True)
class Course:
    """How many lives, in so many slots, of `mean` seconds; something befalls a broker `trouble` s apart.

    At the end `staying` more pods live on. `node_lost` is for how many seconds a node is
    silent (None: none is).
    """

    lives: int
    slots: int
    mean: float
    staying: int
    trouble: float
    node_lost: float | None = None


# Two lives a second: LiteLLM makes some ten rows a second at best.
WHOLE: Final = Course(lives=1000, slots=48, mean=14.0, staying=8, trouble=45.0, node_lost=170.0)
BOUNDED: Final = Course(lives=60, slots=20, mean=10.0, staying=4, trouble=15.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at a time (seconds since the beginning): memory of the steady broker, calls so far."""

    at: float
    mib: float
    calls: int
    rows: int


@dataclass(slots=True)
class Story:
    """What came of it. `left` is what differs at the end; `settled` how long that took (seconds)."""

    lives: list[Life]
    ledger: Ledger
    samples: list[Sample] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    kills: int = 0
    pauses: int = 0
    lived: float = 0.0
    settled: float = 0.0

    def wrong(self) -> list[str]:
        """Name every foreign write and duplicate, and what is not as it should be at the end."""
        return [*self.ledger.wrong(), *(f"at the end: {one}" for one in self.left)]

    def told(self) -> str:
        """Say what has happened, in a line."""
        ends = Counter(life.end for life in self.lives)
        outlived = self.ledger.outlived.values()
        return (
            f"{', '.join(f'{count} {end}' for end, count in ends.items())}; "
            f"{sum(life.restart is not None for life in self.lives)} registrars killed and started again; "
            f"a broker killed {self.kills} times, the other paused {self.pauses} times; "
            f"{self.ledger.reaped} deletions after the end of a pod, of which a row was seen for up to "
            f"{max(outlived, default=0.0):.0f} s ({self.ledger.late()} for over two minutes); all as it "
            f"should be {self.settled:.0f} s after the last end"
        )


async def lead(
    cluster: Cluster, proxy: LiteLLM, folder: Path, course: Course, prefix: str, *flags: str
) -> Story:
    """Live it all; `flags` are the brokers', `prefix` is how its namespaces are called."""
    for namespace in namespaces(prefix):
        await asyncio.to_thread(cluster.namespace, namespace)
    slots, all_lives = places(course.slots, prefix), lives(course.lives, course.mean)
    async with world(cluster, proxy, folder, *flags) as made, contextlib.AsyncExitStack() as stack:
        living = Lives(made, slots, all_lives, course.staying, stack)
        story = Story(living.lived, made.ledger)
        looking = asyncio.create_task(_look(made, story, time.monotonic()))
        try:
            await _live(made, living, course, story)
            await _settle(made, story)
        finally:
            looking.cancel()
    return story


async def _live(made: World, living: Lives, course: Course, story: Story) -> None:
    began = time.monotonic()
    befalling = [asyncio.create_task(made.trouble(course.trouble))]
    if course.node_lost:
        befalling.append(asyncio.create_task(made.lose_a_node(_LOST_AFTER, course.node_lost)))
    try:
        await living.run()
    finally:
        made.calm.set()  # also with a broker or a node away: both come back
        await asyncio.gather(*befalling)
    story.kills, story.pauses, story.lived = made.kills, made.pauses, time.monotonic() - began


async def _settle(made: World, story: Story) -> None:
    """Wait until each living pod has its row and there is no other one, at most for as long as is allowed."""
    began = time.monotonic()
    while True:
        story.left = await asyncio.to_thread(_left, made)
        story.settled = time.monotonic() - began
        if not story.left or story.settled > _MOST:
            return
        await asyncio.sleep(_LOOK_EVERY)


def _left(made: World) -> list[str]:
    """Name what is not as it should be in the database and in the memory of LiteLLM's replicas."""
    stored = made.proxy.stored()
    found = made.ledger.astray(stored)
    for replica in range(len(made.proxy.urls)):
        known = {str(row["model_info"]["id"]) for row in made.proxy.rows(replica=replica)}
        found += [f"replica {replica} knows {key}" for key in known - stored.keys() - made.shown]
    return found


async def _look(made: World, story: Story, began: float) -> None:
    """Look at the table, and at the broker that lives through it all, again and again."""
    while True:
        asked = time.monotonic()
        stored = await asyncio.to_thread(made.proxy.stored)
        made.ledger.saw(stored, asked)
        mib = resident_mib(made.brokers[0].pid)
        story.samples.append(Sample(asked - began, mib, made.before.calls.total(), len(stored)))
        await asyncio.sleep(_LOOK_EVERY)
