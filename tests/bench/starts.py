"""A thousand registrars that start within ten seconds before one broker, a hundred with a real LiteLLM."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.bench import fleet
from tests.bench.figures import Figure
from tests.bench.fleet import Member, Planned
from tests.bench.pod import ROOT
from tests.peers.broker import BrokerProcess, grant
from tests.peers.cluster import Cluster, control_plane
from tests.peers.proxy import MASTER_KEY, litellm

CROWD: Final = "crowd"
# Pods of the crowded namespace, and of each of the others.
SIZES: Final = (700, *[30] * 10)
REAL_SIZES: Final = (70, *[3] * 10)
WITHIN: Final = 10.0
PROCESSES: Final = 5
# Seconds: the registrars' own readyTimeout is 120.
MOST: Final = 240.0
_SHOWN: Final = 3


async def measure() -> list[Figure]:
    """Give thousand_starts."""
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as cluster:
        grant(cluster)
        cluster.fake_node({})
        async with _paced() as url:
            many = await _starts(cluster, Path(folder), url, "fake", SIZES)
        with litellm(replicas=1) as proxy:
            hundred = await _starts(cluster, Path(folder), proxy.urls[0], "real", REAL_SIZES)
    bad = [line for members in (many, hundred) for line in _bad(members)]
    return [
        Figure(
            "thousand_starts",
            len(bad),
            "registrars and errors",
            "= 0",
            f"of {len(many)}, {_times(many)}; of {len(hundred)} with a real LiteLLM, {_times(hundred)}. "
            f"{'; '.join(bad[:_SHOWN])}",
        )
    ]


def _bad(members: list[Member]) -> list[str]:
    missing = [f"{member.planned} is not registered" for member in members if member.registered is None]
    return [*missing, *fleet.problems(members)]


def _times(members: list[Member]) -> str:
    began = min(member.started for member in members)
    small = [member for member in members if not member.planned.namespace.endswith(CROWD)]
    told = sum(bool(member.waited) for member in members)
    return (
        f"all after {_last(members, began):.0f} s, all of the small namespaces after "
        f"{_last(small, began):.0f} s, {told} told that they wait for the broker"
    )


def _last(members: list[Member], began: float) -> float:
    return max((member.registered or float("inf")) - began for member in members)


def _plan(prefix: str, sizes: tuple[int, ...]) -> Iterator[Planned]:
    """Plan namespaces of these sizes, the first one crowded; a third of the pods have a name in common."""
    for number, size in enumerate(sizes):
        namespace = f"{prefix}-{CROWD}" if number == 0 else f"{prefix}-team-{number}"
        for pod in range(size):
            shared = pod % 3 == 0
            name = f"{namespace}/shared-{pod % 10}" if shared else f"{namespace}/model-{pod}"
            yield Planned(namespace, f"pod-{pod}", name)


async def _starts(
    cluster: Cluster, folder: Path, url: str, prefix: str, sizes: tuple[int, ...]
) -> list[Member]:
    plan = fleet.shuffled(_plan(prefix, sizes))
    for namespace in sorted({planned.namespace for planned in plan}):
        await asyncio.to_thread(cluster.namespace, namespace)
    room = folder / prefix
    room.mkdir()
    broker = BrokerProcess(cluster, url, MASTER_KEY, room)
    with contextlib.ExitStack() as stack:
        stack.callback(broker.stop)
        await asyncio.to_thread(broker.start)
        members = await fleet.members(cluster, plan, room, broker)
        await fleet.run(
            members,
            members[:: len(members) // PROCESSES],
            WITHIN,
            lambda: all(member.registered is not None for member in members),
            MOST,
        )
    return members


@asynccontextmanager
async def _paced() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.paced"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()
