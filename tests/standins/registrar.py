"""A registrar as it is put together for a pod, against a table of rows, on a clock of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx

from sidecar.access import ByKey
from sidecar.agent import Agent
from sidecar.broker_contract import State
from sidecar.contract import Engine, PodIdentity, Settings
from sidecar.drain import Outcome
from sidecar.ending import Ending
from sidecar.fate import Fate
from sidecar.keeper import Keeper
from sidecar.litellm import LiteLLM
from sidecar.log import Log
from sidecar.metrics import Metrics
from sidecar.problems import Problems
from sidecar.sockets import SocketSample
from sidecar.traffic import Traffic
from tests.standins.clock import FakeClock
from tests.standins.litellm_table import KEY, URL, Table
from tests.standins.scripted import ScriptedServer, ScriptedSockets, serving

SETTINGS: Final = Settings(cluster="c1", engine=Engine.VLLM, port=8000, nonce="n")
IDENTITY: Final = PodIdentity(namespace="team", pod="qwen-0", pod_uid="u1", pod_ip="10.0.0.5", node="n1")


@dataclass
class Pod:
    """A registrar in its pod."""

    table: Table
    clock: FakeClock
    server: ScriptedServer
    sockets: ScriptedSockets
    keeper: Keeper
    agent: Agent
    ending: Ending
    metrics: Metrics
    problems: Problems
    lines: list[str]

    def said(self, text: str) -> int:
        """Count the lines with this text."""
        return sum(text in line for line in self.lines)

    def words(self) -> list[str]:
        """Give the first word of each line."""
        return [line.split()[1] for line in self.lines]

    def names(self) -> set[str]:
        """Give the names that LiteLLM has."""
        return {row["model_name"] for row in self.table.rows.values()}

    def blocked(self) -> list[bool]:
        """Give the block of each row."""
        return [row["blocked"] for row in self.table.rows.values()]

    def state(self) -> State:
        """Give the state now."""
        return self.agent.state

    async def serve(self) -> None:
        """Let the server answer and its model be registered."""
        self.server.seen = serving("m")
        await self.clock.advance(0.25)
        assert self.agent.state is State.SERVING

    async def drained(self) -> Outcome:
        """Drain to the end."""
        draining = asyncio.ensure_future(self.agent.drain("preStop"))
        await self.clock.advance(37)
        return draining.result()


@dataclass
class Cluster:
    """Starts registrars of the same pod against one LiteLLM and one clock."""

    table: Table
    clock: FakeClock
    client: httpx.AsyncClient
    alive: list[tuple[Keeper, asyncio.Task[None]]]

    def start(self, server: ScriptedServer | None = None, settings: Settings = SETTINGS) -> Pod:
        """Start the registrar."""
        lines: list[str] = []
        server, sockets = server or ScriptedServer(), ScriptedSockets(SocketSample(0, 0))
        log = Log(lines.append, self.clock.today)
        problems, metrics = Problems(log, self.clock), Metrics()
        problems.tell(metrics.said)
        api = LiteLLM(self.client, ByKey(URL, KEY))
        api.tell(metrics.answered)
        keeper = Keeper(api, problems=problems, log=log, clock=self.clock, random=lambda: 0.5)
        traffic = Traffic(server, sockets, frozenset)
        agent = Agent(
            settings,
            IDENTITY,
            server,
            keeper,
            traffic,
            fate=Fate(None, self.clock),
            api_key=None,
            problems=problems,
            log=log,
            clock=self.clock,
        )
        agent.tell(metrics.drained)
        metrics.follow(agent, keeper)
        ending = Ending(agent, keeper, problems=problems, log=log, clock=self.clock)
        self.alive.append((keeper, asyncio.ensure_future(agent.run())))
        return Pod(self.table, self.clock, server, sockets, keeper, agent, ending, metrics, problems, lines)

    async def kill(self) -> None:
        """Kill -9: every registrar is gone, and nothing is written any more."""
        for keeper, running in self.alive:
            running.cancel()
            await keeper.stop()
            await asyncio.gather(running, return_exceptions=True)
        self.alive.clear()


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """Give a LiteLLM and a clock; its registrars are killed at the end."""
    table = Table()
    async with table.client() as client:
        here = Cluster(table, FakeClock(), client, [])
        yield here
        await here.kill()
