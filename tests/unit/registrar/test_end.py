"""SIGTERM, before, during and after a drain."""

import asyncio

import httpx

from sidecar.broker_contract import State
from sidecar.drain import Outcome, Stage
from sidecar.ending import LAST_TRY_SECONDS
from tests.standins.clock import settle
from tests.standins.registrar import Pod

DOWN = httpx.ConnectError("All connection attempts failed")


async def test_sigterm_drains_and_ends(pod: Pod) -> None:
    """Nothing drained before: SIGTERM does, and then it is over."""
    await pod.serve()
    over = asyncio.ensure_future(pod.ending.over())
    await settle()
    pod.ending.signal()
    await pod.clock.advance(20)
    assert pod.state() is State.DRAINING
    assert not over.done()
    await pod.clock.advance(17)
    assert over.done()
    assert pod.words()[-2:] == ["GONE", "STOPPED"]
    assert not pod.said("grace_cut")


async def test_sigterm_after_the_drain_ends_at_once(pod: Pod) -> None:
    """The hook has drained: exit, without another wait."""
    await pod.serve()
    await pod.drained()
    over = asyncio.ensure_future(pod.ending.over())
    await settle()
    pod.ending.signal()
    await settle()
    assert over.done()


async def test_sigterm_during_a_hooks_drain_means_the_grace_was_cut(pod: Pod) -> None:
    """The kubelet sends SIGTERM to all at once: said with the number in flight, and gone."""
    await pod.serve()
    pod.server.gauge = 4
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    over = asyncio.ensure_future(pod.ending.over())
    await pod.clock.advance(10)
    pod.ending.signal()
    await settle()
    assert over.done()
    assert not draining.done()
    assert pod.said("grace_cut") == 1
    assert pod.said("cut=4") == 1
    assert not pod.table.rows


async def test_a_drain_that_is_cut_is_told_once(pod: Pod) -> None:
    """How it went is what was so when the grace was over, even if it comes to its end after that."""
    told: list[Outcome] = []
    pod.agent.tell(told.append)
    await pod.serve()
    pod.server.gauge = 4
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    over = asyncio.ensure_future(pod.ending.over())
    await pod.clock.advance(10)
    pod.ending.signal()
    await settle()
    pod.server.gauge = 0
    await pod.clock.advance(60)
    assert over.done()
    assert draining.result().end is Stage.DONE
    assert [(one.end, one.cut) for one in told] == [(Stage.GRACE_CUT, 4)]
    assert told[0].phases == {Stage.DELETING: 0.5, Stage.PROPAGATING: 9.5}
    assert pod.agent.outcome == told[0]


async def test_a_second_sigterm_ends_the_drain_of_the_first(pod: Pod) -> None:
    """Somebody is in a hurry: cut, said, over."""
    await pod.serve()
    over = asyncio.ensure_future(pod.ending.over())
    await settle()
    pod.ending.signal()
    await pod.clock.advance(10)
    pod.ending.signal()
    await pod.clock.advance(0.2)
    assert over.done()
    assert pod.said("grace_cut") == 1


async def test_a_cut_grace_with_litellm_away_leaves_after_a_last_try(pod: Pod) -> None:
    """What cannot be deleted in 5 s is said and left to the reaper."""
    await pod.serve()
    pod.table.fail(1000, DOWN)
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    over = asyncio.ensure_future(pod.ending.over())
    await pod.clock.advance(10)
    pod.ending.signal()
    await pod.clock.advance(LAST_TRY_SECONDS - 0.5)
    assert not over.done()
    await pod.clock.advance(1)
    assert over.done()
    assert not draining.done()
    assert pod.said("The registrar ends. rows_left=1") == 1


async def test_sigterm_before_anything_was_registered(pod: Pod) -> None:
    """A pod deleted while its model loads is not held."""
    await pod.clock.advance(2)
    over = asyncio.ensure_future(pod.ending.over())
    await settle()
    pod.ending.signal()
    await pod.clock.advance(1)
    assert over.done()
