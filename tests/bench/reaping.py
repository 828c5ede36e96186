"""How long a crashed pod's row outlives the pod."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.bench import fleet
from tests.bench.figures import Figure, percentile
from tests.bench.fleet import Member, Planned
from tests.peers.broker import BrokerProcess, grant
from tests.peers.cluster import control_plane
from tests.peers.proxy import LiteLLM, litellm
from webhook.broker.key_abilities import ROUTES

PODS: Final = 40
# Seconds within which they are started, and between two crashes on average.
_STARTED_WITHIN: Final = 40.0
_EVERY: Final = 4.0
# Seconds after which a row is said to have stayed.
_MOST: Final = 180.0
_LOOK_EVERY: Final = 0.5
# All crash in turn, which is more than a share; nodes without a kubelet count as lost.
_FLAGS: Final = ("--lease", "litellm-registrar-broker", "--reap-at-least", "1000", "--node-grace", "3600")


async def measure() -> list[Figure]:
    """Give reap_time."""
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder) / "kube") as cluster:
        grant(cluster)
        cluster.fake_node({})
        namespace = cluster.namespace("models")
        with litellm(Path(folder)) as proxy:
            key = proxy.make_key(allowed_routes=[*ROUTES])
            broker = BrokerProcess(cluster, proxy.urls[0], key, Path(folder), *_FLAGS)
            broker.start()
            try:
                plan = [Planned(namespace, f"pod-{number}", f"model-{number}") for number in range(PODS)]
                members = await fleet.members(cluster, plan, Path(folder), broker)
                took = await _crash(members, proxy)
            finally:
                broker.stop()
    about = (
        f"{len(took)} pods, median {percentile(took, 0.5):.1f} s, slowest {max(took):.1f} s; grace 20 s, "
        "LiteLLM's table read at most each 15 s"
    )
    return [Figure("reap_time", percentile(took, 0.99), "s", "<= 60", about)]


async def _crash(members: list[Member], proxy: LiteLLM) -> list[float]:
    """Start the registrars, crash them one after the other, and give how long each one's row stayed."""
    rows = {member.caller.id(member.planned.model): member for member in members}
    gone_at: dict[str, float] = {}
    took: dict[str, float] = {}

    async def life(number: int, key: str, member: Member) -> None:
        await asyncio.sleep(_STARTED_WITHIN * number / len(members))
        async with fleet.registrar_process(member):
            while member.registered is None:  # noqa: ASYNC110 - it says so in a line of its log
                await asyncio.sleep(_LOOK_EVERY)
            registered.release()
            await crash.wait()
            await asyncio.sleep(random.uniform(0, _EVERY * len(members)))  # noqa: S311 - no secret
        await asyncio.to_thread(member.caller.delete)
        gone_at[key] = time.monotonic()

    async def look() -> None:
        while len(took) < len(rows):
            stored = await asyncio.to_thread(proxy.stored)
            now = time.monotonic()
            took.update({key: now - at for key, at in gone_at.items() if key not in stored | took})
            await asyncio.sleep(_LOOK_EVERY)

    registered, crash = asyncio.Semaphore(0), asyncio.Event()
    async with asyncio.TaskGroup() as together:
        for number, (key, member) in enumerate(rows.items()):
            together.create_task(life(number, key, member))
        async with asyncio.timeout(_MOST):
            for _ in rows:
                await registered.acquire()
        crash.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EVERY * len(rows) + _MOST):
                await look()
    stayed = [key for key in rows if key not in took]
    return [*took.values(), *(_MOST for _ in stayed)]
