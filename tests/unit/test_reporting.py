"""How reports reach the broker: the latest wins, each once, with patience, and in nobody's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from sidecar.access import Failed
from sidecar.broker_contract import DrainReport, State, StateReport
from sidecar.log import Log
from sidecar.problems import Problems
from sidecar.reasons import Reason
from sidecar.reporting import AGAIN_AFTER, FIRST_AFTER, LAST_WORD, UNKNOWN_FIRST, UNKNOWN_MOST, Reporting
from tests.standins.clock import FakeClock, settle

WAITING = StateReport(State.WAITING)
SERVING = StateReport(State.SERVING, models=1, wanted=1, routable=0.7)
BLOCKED = StateReport(State.BLOCKED, "server_timeout", "no answer within 5 s", warning=True, wanted=1)
DRAINING = StateReport(State.DRAINING)
DRAINED = StateReport(State.DRAINED, drain=DrainReport("done", {"deleting": 0.1}, 0))
AWAY = Failed(Reason.BROKER_UNREACHABLE, "connection refused")
OLD = Failed(Reason.BROKER_REFUSED_ROW, "nothing that a registrar asks", "route_unknown")


class Bench:
    """A registrar that reports, and a broker that takes it, or not."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.now = WAITING
        self.told: list[StateReport] = []
        self.tries = 0
        self.answer: Failed | Exception | None = None
        self.slow = 0.0
        self.lines: list[str] = []
        self.problems = Problems(Log(self.lines.append, self.clock.today), self.clock)
        self.reporting = Reporting(
            lambda: self.now, self._take, problems=self.problems, clock=self.clock, random=lambda: 0.5
        )

    async def _take(self, report: StateReport) -> Failed | None:
        self.tries += 1
        if self.slow:
            await self.clock.sleep(self.slow)
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            self.told.append(report)
        return self.answer

    async def become(self, report: StateReport, after: float = 0.0) -> None:
        """Change, and let so much time pass."""
        self.now = report
        self.reporting.changed()
        await self.clock.advance(after)

    def states(self) -> list[State]:
        """Give the states that were told."""
        return [report.state for report in self.told]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Report for a while."""
        task = asyncio.create_task(self.reporting.run())
        await settle()
        yield
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Give a registrar that reports."""
    bench = Bench()
    async with bench.running():
        yield bench


async def test_each_change_is_told_once(bench: Bench) -> None:
    """At once, and what is the same to whoever reads it not again: a detail that is worded anew."""
    await bench.become(SERVING)
    for detail in ("no answer within 5 s", "no answer within 6 s"):
        await bench.become(replace(BLOCKED, message=detail), 10)
    await bench.become(SERVING, 10)
    assert bench.states() == [State.SERVING, State.BLOCKED, State.SERVING]


async def test_a_quick_server_is_never_told_as_waiting(bench: Bench) -> None:
    """Nor is a registrar that was restarted beside a server that serves: its pod was routable meanwhile."""
    await bench.clock.advance(FIRST_AFTER - 0.1)
    await bench.become(replace(WAITING, reason="server_loading"))
    await bench.become(SERVING)
    assert bench.states() == [State.SERVING]


async def test_who_waits_for_longer_says_so(bench: Bench) -> None:
    """With the reason as it is then."""
    await bench.become(replace(WAITING, reason="server_loading"), FIRST_AFTER)
    assert [(report.state, report.reason) for report in bench.told] == [(State.WAITING, "server_loading")]


async def test_the_latest_wins(bench: Bench) -> None:
    """What was so while the broker was away, and is not any more, is not told."""
    bench.answer = AWAY
    for report in (SERVING, BLOCKED, SERVING, DRAINING):
        await bench.become(report, 20)
    bench.answer = None
    await bench.clock.advance(30)
    assert bench.states() == [State.DRAINING]


async def test_the_time_to_routable_is_told_once(bench: Bench) -> None:
    """Also when the report that it came with was never taken; and not again with each that follows."""
    bench.answer = AWAY
    await bench.become(SERVING, 20)
    bench.answer = None
    await bench.become(replace(BLOCKED, routable=0.7))
    await bench.become(SERVING)
    assert [report.routable for report in bench.told] == [0.7, None]


async def test_one_report_at_a_time(bench: Bench) -> None:
    """A change while one is on its way waits for its answer: two could overtake each other."""
    bench.slow = 5.0
    await bench.become(SERVING, 1)
    await bench.become(BLOCKED, 1)
    await bench.become(DRAINING, 1)
    assert bench.tries == 1
    await bench.clock.advance(2)
    assert bench.tries == 2
    await bench.clock.advance(5)
    assert bench.states() == [State.SERVING, State.DRAINING]


async def test_a_change_does_not_wait_out_the_patience_of_the_one_before(bench: Bench) -> None:
    """A drain is told as soon as the broker is there again, not half a minute later."""
    bench.answer = AWAY
    await bench.become(SERVING, 300)
    bench.answer = None
    await bench.become(DRAINING)
    assert bench.states() == [State.DRAINING]


async def test_a_broker_that_is_away_is_asked_ever_more_rarely(bench: Bench) -> None:
    """And one problem is said of it, not before a minute, and that it is over."""
    bench.answer = AWAY
    await bench.become(SERVING, 50)
    assert not bench.lines
    await bench.clock.advance(3600)
    assert bench.tries < 200
    assert len(bench.lines) == 1
    assert "reason=broker_unreachable" in bench.lines[0]
    bench.answer = None
    await bench.clock.advance(60)
    assert "SOLVED" in bench.lines[1]


async def test_what_the_rows_have_said_is_not_said_again(bench: Bench) -> None:
    """A broker that is away is one problem of the registrar, not two."""
    bench.problems.say("litellm", Reason.BROKER_UNREACHABLE)
    bench.answer = AWAY
    await bench.become(SERVING, 600)
    assert len(bench.lines) == 1


async def test_a_broker_that_knows_no_reports_is_left_alone(bench: Bench) -> None:
    """However the state changes: asked ever more rarely, at most once an hour, and nothing is said of it."""
    bench.answer = OLD
    for minute in range(24 * 60):
        await bench.become((SERVING, BLOCKED)[minute % 2], 60)
    assert bench.tries < 24 + 10
    assert not bench.lines


async def test_a_broker_that_learns_of_reports_gets_them(bench: Bench) -> None:
    """While a release is rolled out the old broker is asked first: its pod would be silent for a year."""
    bench.answer = OLD
    await bench.become(SERVING)
    bench.answer = None
    await bench.clock.advance(UNKNOWN_FIRST)
    assert bench.states() == [State.SERVING]
    assert UNKNOWN_FIRST < UNKNOWN_MOST


async def test_a_report_is_repeated_now_and_then(bench: Bench) -> None:
    """Somebody may have changed what stands in the pod: once in half an hour or so."""
    await bench.become(SERVING, 10 * AGAIN_AFTER)
    assert bench.states() == 11 * [State.SERVING]


async def test_a_fault_of_our_own_ends_nothing(bench: Bench) -> None:
    """Whatever is raised, it is told again."""
    bench.answer = ValueError("odd")
    await bench.become(SERVING, 5)
    bench.answer = None
    await bench.clock.advance(30)
    assert bench.states() == [State.SERVING]


async def last_word(bench: Bench) -> timedelta:
    """Say the last word, and give how long that took."""
    began = bench.clock.today()
    ending = asyncio.create_task(bench.reporting.last_word())
    while not ending.done():
        await bench.clock.advance(0.05)
    return bench.clock.today() - began


async def test_the_last_word_is_told_before_the_end(bench: Bench) -> None:
    """SIGTERM comes right after the drain, or in its place."""
    await bench.become(SERVING)
    bench.slow = 0.2
    bench.now = DRAINED
    assert await last_word(bench) < timedelta(seconds=0.5)
    assert bench.told[-1].drain == DRAINED.drain


async def test_the_last_word_ends_the_patience(bench: Bench) -> None:
    """What failed a while ago is tried once more."""
    bench.answer = AWAY
    await bench.become(DRAINED, 60)
    bench.answer = None
    await last_word(bench)
    assert bench.states() == [State.DRAINED]


@pytest.mark.parametrize("slow", [0.0, 30.0])
async def test_the_last_word_takes_a_moment_at_most(slow: float, bench: Bench) -> None:
    """A broker that is away, or takes its time, holds no pod up."""
    bench.answer, bench.slow = AWAY, slow
    await bench.become(DRAINED, 60)
    assert await last_word(bench) <= timedelta(seconds=LAST_WORD + 0.1)


async def test_nothing_is_left_to_say_where_all_is_told_or_nobody_listens(bench: Bench) -> None:
    """Then the end is at once."""
    await bench.become(DRAINED, 1)
    assert await last_word(bench) <= timedelta(seconds=0.05)
    bench.answer = OLD
    await bench.become(SERVING, 1)
    assert await last_word(bench) <= timedelta(seconds=0.05)
