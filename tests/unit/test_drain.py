"""The drain: what it waits for and how it ends, pure and played through."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx
import pytest

from sidecar.access import ByKey
from sidecar.contract import Engine, Settings
from sidecar.drain import Drain, Plan, Situation, Stage, plan, stage
from sidecar.fate import Fate
from sidecar.keeper import Keeper
from sidecar.litellm import LiteLLM
from sidecar.log import Log
from sidecar.problems import Problems
from sidecar.registration import Row
from sidecar.sockets import SocketSample
from sidecar.traffic import Quiet, Reading, Traffic, reading
from tests.standins.clock import FakeClock, settle
from tests.standins.litellm_table import KEY, URL, Table
from tests.standins.scripted import ScriptedServer, ScriptedSockets

SETTINGS = Settings(cluster="c1", engine=Engine.VLLM, port=8000, nonce="n")
ROW = Row("registrar-1", "m", "m", {"model": "openai/m"}, {"id": "registrar-1"}, {"cluster": "c1"})
IDLE = SocketSample(0, 0)


@pytest.mark.parametrize(
    ("settings", "longest"),
    [
        ({}, 155),
        ({"grace_period": 600}, 155),
        ({"grace_period": 60}, 50),
        ({"grace_period": 5}, 0),
        ({"propagation": 0, "drain_timeout": 30}, 30),
    ],
)
def test_the_drain_is_bounded(settings: dict[str, float], longest: float) -> None:
    """By propagation and drain timeout together, and by the grace period less 10 s."""
    times = plan(replace(SETTINGS, **settings), 1000, had_rows=True)  # type: ignore[arg-type]
    assert times.deadline == 1000 + longest


def test_without_rows_nothing_needs_to_be_noticed() -> None:
    """A pod that never registered waits for no LiteLLM replica."""
    assert plan(SETTINGS, 1000, had_rows=False).propagation == 0


PLAN = Plan(began=0, deadline=155, propagation=35, had_rows=True)
AT = Situation(
    now=40, deleted_at=1, tried=True, server_gone=False, quiet=Quiet(active=30, zeros=2), in_flight=0
)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (replace(AT, deleted_at=None, tried=False), Stage.DELETING),
        (replace(AT, now=35.9, quiet=Quiet(0, 99)), Stage.PROPAGATING),
        (AT, Stage.DONE),
        (replace(AT, quiet=Quiet(active=36, zeros=2)), Stage.IN_FLIGHT),
        (replace(AT, quiet=Quiet(active=30, zeros=1)), Stage.IN_FLIGHT),
        (replace(AT, in_flight=None, quiet=Quiet(active=40)), Stage.IN_FLIGHT),
        (replace(AT, now=155), Stage.OVERDUE),
        (replace(AT, now=155, deleted_at=None), Stage.OVERDUE),
        (replace(AT, now=2, server_gone=True), Stage.SERVER_GONE),
        (replace(AT, now=2, server_gone=True, deleted_at=None), Stage.SERVER_GONE),
        (replace(AT, now=2, server_gone=True, deleted_at=None, tried=False), Stage.DELETING),
    ],
)
def test_what_a_drain_waits_for(at: Situation, expected: Stage) -> None:
    """Deletion, then the minimum, then quiet; the deadline and a server that is gone end it."""
    assert stage(PLAN, at) is expected


def test_unknown_is_no_reason_to_hold_a_pod_that_never_served() -> None:
    """Without rows, and without any way to count requests, nothing is waited for."""
    at = replace(AT, in_flight=None, quiet=Quiet(40))
    assert stage(replace(PLAN, propagation=0, had_rows=False), at) is Stage.DONE


def test_the_two_sources_are_put_together() -> None:
    """The engine's gauges count what is in flight; without them the sockets do; unknown stays unknown."""
    assert reading(3, SocketSample(9, 9)) == Reading(3, spoken=True)
    assert reading(0, SocketSample(2, 0)) == Reading(0, spoken=False)
    assert reading(None, SocketSample(2, 3)) == Reading(2, spoken=True)
    assert reading(0, None) == Reading(0)
    assert reading(None, None) == Reading(None)


def test_quiet_is_zero_twice_and_long_enough() -> None:
    """Unknown and speech are not quiet, and one zero is not enough."""
    quiet = Quiet(0.0)
    assert not quiet.after(Reading(0), 10).reached(10, 5)
    twice = quiet.after(Reading(0), 10).after(Reading(0), 11)
    assert twice.reached(11, 5)
    assert not twice.reached(11, 12)
    assert not twice.after(Reading(0, spoken=True), 12).reached(12, 5)
    assert not twice.after(Reading(1), 12).after(Reading(0), 13).after(Reading(0), 14).reached(14, 5)
    assert not twice.after(Reading(None), 12).reached(12, 5)


@dataclass
class Bench:
    """A drain with everything around it."""

    table: Table
    clock: FakeClock
    server: ScriptedServer
    sockets: ScriptedSockets
    keeper: Keeper
    lines: list[str]
    drain: Drain
    gone: bool = False

    def said(self, text: str) -> int:
        """Count the lines with this text."""
        return sum(text in line for line in self.lines)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Register one row and get ready to drain."""
    table, clock, lines = Table(), FakeClock(), list[str]()
    log = Log(lines.append, clock.today)
    problems = Problems(log, clock)
    server, sockets = ScriptedServer(), ScriptedSockets(IDLE)
    async with table.client() as client:
        api = LiteLLM(client, ByKey(URL, KEY))
        keeper = Keeper(api, problems=problems, log=log, clock=clock, random=lambda: 1.0)
        traffic = Traffic(server, sockets, frozenset)
        drain = Drain(
            SETTINGS,
            keeper,
            traffic,
            fate=Fate(None, clock),
            server_gone=lambda: here.gone,
            problems=problems,
            log=log,
            clock=clock,
        )
        here = Bench(table, clock, server, sockets, keeper, lines, drain)
        keeper.want([ROW])
        await settle()
        lines.clear()
        yield here
        await keeper.stop()


async def test_a_quiet_server_is_held_for_the_propagation_only(bench: Bench) -> None:
    """Rows deleted at once, 35 s waited, nothing in flight: done."""
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    await settle()
    assert not bench.table.rows
    await bench.clock.advance(34.9)
    assert not running.done()
    await bench.clock.advance(1.6)
    outcome = running.result()
    assert (outcome.end, outcome.cut, outcome.rows_left) == (Stage.DONE, 0, 0)
    assert 35 <= outcome.seconds <= 36.5
    assert [line.split()[1] for line in bench.lines] == ["DRAINING", "REMOVED", "DRAINING", "GONE"]
    assert bench.said("cut=0") == 1


async def test_requests_in_flight_are_waited_for(bench: Bench) -> None:
    """A stream that runs until 80 s holds the drain until 5 s after it."""
    bench.server.gauge = 3
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    await bench.clock.advance(80)
    assert not running.done()
    assert bench.drain.in_flight == 3
    assert bench.said("waiting_for=in_flight in_flight=3") == 1
    bench.server.gauge = 0
    await bench.clock.advance(6)
    assert running.result().cut == 0


async def test_arrivals_hold_the_drain(bench: Bench) -> None:
    """Between short requests nothing is in flight, but somebody still sends: not done."""
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    bench.sockets.now = SocketSample(0, 1)
    await bench.clock.advance(60)
    assert not running.done()
    bench.sockets.now = IDLE
    await bench.clock.advance(1)
    assert running.result().end is Stage.DONE


async def test_closed_connections_leave_no_trace_but_hold_for_five_seconds(bench: Bench) -> None:
    """Without gauges, requests of 0.1 s every 4 s on connections that close are arrivals all the same."""
    bench.server.gauge = None
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    for _ in range(20):
        bench.sockets.now = SocketSample(1, 1)
        await bench.clock.advance(0.2)
        bench.sockets.now = IDLE
        await bench.clock.advance(3.8)
    assert not running.done()
    await bench.clock.advance(2)
    assert running.result().end is Stage.DONE


async def test_gauges_alone_need_five_seconds_of_zero(bench: Bench) -> None:
    """Where sockets cannot be read, arrivals are over when the gauges were zero for 5 s."""
    bench.sockets.now = None
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    for _ in range(20):
        bench.server.gauge = 1
        await bench.clock.advance(1)
        bench.server.gauge = 0
        await bench.clock.advance(3)
    assert not running.done()
    await bench.clock.advance(3)
    assert running.result().end is Stage.DONE


async def test_unknown_is_not_zero(bench: Bench) -> None:
    """With no way to tell what is in flight, the drain takes all the time it has, and says "unknown"."""
    bench.server.gauge, bench.sockets.now = None, None
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    await bench.clock.advance(154)
    assert not running.done()
    await bench.clock.advance(1.5)
    outcome = running.result()
    assert (outcome.end, outcome.cut) == (Stage.OVERDUE, None)
    assert bench.said("cut=unknown") == 1


async def test_a_request_longer_than_the_drain_timeout_is_let_go_and_counted(bench: Bench) -> None:
    """At the deadline the number cut is said, with its reason."""
    bench.server.gauge = 2
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    await bench.clock.advance(156)
    assert running.result().cut == 2
    assert bench.said("drain_timeout") == 1
    assert bench.said("cut=2") == 1


async def test_a_server_that_is_gone_is_not_held(bench: Bench) -> None:
    """Nothing answers any more: rows deleted, answered at once."""
    bench.gone = True
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    await bench.clock.advance(1)
    assert running.result().end is Stage.SERVER_GONE
    assert not bench.table.rows


async def test_a_server_that_dies_during_the_drain_ends_it(bench: Bench) -> None:
    """Killed while others are still waited for: over."""
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    await bench.clock.advance(10)
    bench.gone = True
    await bench.clock.advance(1)
    assert running.result().end is Stage.SERVER_GONE


async def test_a_dead_server_is_not_held_by_a_dead_litellm(bench: Bench) -> None:
    """Each deletion is tried once; what is left is said and tried on."""
    bench.gone = True
    bench.table.fail(1000, httpx.ConnectError("refused"))
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    await bench.clock.advance(1)
    assert running.result().rows_left == 1
    assert bench.said("rows_left=1") == 1


async def test_propagation_counts_from_the_deletion(bench: Bench) -> None:
    """LiteLLM is away for the first 20 s: the 35 s begin when the rows are really gone."""
    bench.table.database = False
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    await bench.clock.advance(20)
    assert bench.said("waiting_for=deleting") == 1
    bench.table.database = True
    await bench.clock.advance(35)
    assert not running.done()
    await bench.clock.advance(40)
    assert running.result().end is Stage.DONE
    assert running.result().seconds >= 55


async def test_a_litellm_that_never_comes_back_is_not_waited_for_for_ever(bench: Bench) -> None:
    """The deadline holds whatever LiteLLM does."""
    bench.table.fail(1000, httpx.ReadTimeout("slow"))
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    await bench.clock.advance(156)
    outcome = running.result()
    assert (outcome.end, outcome.rows_left) == (Stage.OVERDUE, 1)


async def test_the_seconds_of_each_phase_are_told_and_add_up(bench: Bench) -> None:
    """20 s until LiteLLM is back, 35 s of propagation, then until 5 s after a stream of 40 s more."""
    bench.table.database = False
    bench.server.gauge = 1
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    await bench.clock.advance(20)
    assert bench.drain.phases == {Stage.DELETING: pytest.approx(20)}
    bench.table.database = True
    await bench.clock.advance(75)
    bench.server.gauge = 0
    await bench.clock.advance(10)
    outcome = running.result()
    assert list(outcome.phases) == [Stage.DELETING, Stage.PROPAGATING, Stage.IN_FLIGHT]
    assert outcome.phases[Stage.PROPAGATING] == pytest.approx(35, abs=0.5)
    assert sum(outcome.phases.values()) == pytest.approx(outcome.seconds)
    assert bench.drain.phases == outcome.phases


@pytest.mark.parametrize(("why", "then"), [("SIGTERM", 4), ("preStop", 2)])
async def test_what_is_in_flight_when_the_server_gets_sigterm(bench: Bench, why: str, then: int) -> None:
    """A signal comes to all containers at once; a hook that drains holds it up until the drain is over."""
    bench.server.gauge = 4
    running = asyncio.ensure_future(bench.drain.run(why))
    await bench.clock.advance(100)
    bench.server.gauge = 2
    await bench.clock.advance(56)
    assert running.result().cut == 2
    assert bench.drain.at_sigterm == then


async def test_no_line_repeats_while_nothing_changes(bench: Bench) -> None:
    """However the number in flight wavers, each stage is said once."""
    running = asyncio.ensure_future(bench.drain.run("preStop"))
    for gauge in range(1, 41):
        bench.server.gauge = gauge % 3
        await bench.clock.advance(1)
    bench.server.gauge = 0
    await bench.clock.advance(10)
    assert running.done()
    assert bench.said("DRAINING") == 3
