"""Two brokers before a real LiteLLM of two replicas, nodes that say they are well, and what befalls them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.bench.counting import CountingProxy
from tests.bench.fleet import Way
from tests.injected import CLUSTER
from tests.peers.balancer import ADDRESS, balancer
from tests.peers.broker import BrokerProcess
from tests.peers.cluster import Cluster
from tests.peers.proxy import LiteLLM
from tests.real.churn.ledger import Ledger
from webhook.broker.key_abilities import ROUTES
from webhook.kube.api import Api, ApiError

NODES: Final = ("churn-0", "churn-1", "churn-2")
# A third of these pods is killed without a drain: the brake on a share of rows is for other worlds.
REAPING: Final = ("--lease", "litellm-registrar-broker", "--reap-at-least", "100000")
# A node whose status is not renewed for 40 to 50 s counts as dead (`node-monitor-grace-period` of
# kube-controller-manager).
_BEAT_EVERY: Final = 8.0
# A Lease lasts 15 s: another broker leads before one that was stopped goes on.
_FROZEN: Final = 20.0
_AWAY: Final = 3.0
# Of so many troubles one is the pause of the broker that is never killed; the others kill its replica.
_FREEZE_EACH: Final = 3


@dataclass
class World:
    """What registrars live in. `shown` are the rows that LiteLLM showed before; `calm` ends the trouble."""

    cluster: Cluster
    api: Api
    proxy: LiteLLM
    before: CountingProxy
    brokers: tuple[BrokerProcess, BrokerProcess]
    way: Way
    ledger: Ledger
    shown: frozenset[str]
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    silent: set[str] = field(default_factory=set)
    kills: int = 0
    pauses: int = 0

    async def trouble(self, every: float) -> None:
        """Kill the one broker and start it again, pause the other, in turn, until it shall be calm."""
        steady, killed = self.brokers
        for number in itertools.count(1):
            if await self._is_calm_within(every):
                return
            if number % _FREEZE_EACH:
                self.kills += 1
                await asyncio.to_thread(killed.kill)
                await asyncio.sleep(_AWAY)
                await asyncio.to_thread(killed.start)
            else:
                self.pauses += 1
                os.kill(steady.pid, signal.SIGSTOP)
                try:
                    await asyncio.sleep(_FROZEN)
                finally:
                    os.kill(steady.pid, signal.SIGCONT)

    async def lose_a_node(self, after: float, seconds: float) -> None:
        """Let one node be silent for so long, its pods running on, unless it is calm before."""
        if not await self._is_calm_within(after):
            self.silent.add(NODES[-1])
            await self._is_calm_within(seconds)
            self.silent.clear()

    async def _is_calm_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.calm.wait()
        return False

    async def beat(self) -> None:
        """Say of each node that it is ready, for ever, as its kubelet would."""
        while True:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now}
            for node in NODES:
                if node not in self.silent:
                    status = {"status": {"conditions": [ready]}}
                    with contextlib.suppress(ApiError):  # the next one comes in time
                        await self.api.merge(f"/api/v1/nodes/{node}/status", status)
            await asyncio.sleep(_BEAT_EVERY)


@asynccontextmanager
async def world(cluster: Cluster, proxy: LiteLLM, folder: Path, *flags: str) -> AsyncIterator[World]:
    """Make it; every row that there is now is somebody else's. `flags` are of both brokers."""
    ledger = Ledger(CLUSTER, await asyncio.to_thread(proxy.stored))
    shown = frozenset(str(row["model_info"]["id"]) for row in await asyncio.to_thread(proxy.rows))
    api = await Api.connect(str(cluster.work / "kubeconfig"))
    key = await asyncio.to_thread(lambda: proxy.make_key(allowed_routes=[*ROUTES]))

    def writes(method: str, path: str, body: bytes) -> None:
        ledger.wrote(method, path, body, time.monotonic())

    async with CountingProxy(*proxy.urls, writes=writes) as before:
        pair = []
        for place in ("steady", "killed"):
            (folder / place).mkdir()
            pair.append(BrokerProcess(cluster, before.url, key, folder / place, *flags))
        steady, killed = pair
        async with balancer([broker.port for broker in pair]) as balanced:
            try:
                # the first one leads
                for broker in (killed, steady):
                    await asyncio.to_thread(broker.start)
                way = Way(f"https://{ADDRESS}:{balanced.port}", steady.bundle(), folder)
                made = World(cluster, api, proxy, before, (steady, killed), way, ledger, shown)
                for node in NODES:
                    await api.create("/api/v1/nodes", {"metadata": {"name": node}})
                beating = asyncio.create_task(made.beat())
                try:
                    yield made
                finally:
                    beating.cancel()
                for broker in pair:
                    await asyncio.to_thread(broker.stop)
            finally:
                for broker in pair:
                    broker.kill()
                for node in NODES:
                    with contextlib.suppress(ApiError):  # it was not made yet
                        await api.delete(f"/api/v1/nodes/{node}")
                await api.close()
