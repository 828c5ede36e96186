"""The agent's drain, and its return when the pod lives on."""

import asyncio

import httpx

from sidecar.broker_contract import State
from sidecar.drain import Stage
from sidecar.reasons import Reason
from sidecar.servers.shapes import Ambiguous
from tests.standins.registrar import SETTINGS, Cluster, Pod
from tests.standins.scripted import REFUSED, ScriptedServer, serving


async def test_a_drain_and_a_second_call_that_joins(pod: Pod) -> None:
    """All hooks of a pod call at once: one drain, one outcome."""
    await pod.serve()
    first = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(10)
    second = asyncio.ensure_future(pod.agent.drain("preStop"))
    assert pod.state() is State.DRAINING
    assert not pod.table.rows
    await pod.clock.advance(27)
    assert first.result() is second.result()
    assert pod.state() is State.DRAINED
    assert pod.said("GONE") == 1
    assert (await pod.agent.drain("preStop")).end is Stage.DONE


async def test_nothing_is_registered_during_or_after_a_drain(pod: Pod) -> None:
    """The server still answers, new models even: LiteLLM hears nothing of them."""
    await pod.serve()
    await pod.drained()
    pod.server.seen = serving("m", "n")
    await pod.clock.advance(60)
    assert not pod.table.rows
    assert pod.state() is State.DRAINED


async def test_a_hook_that_gives_up_does_not_stop_the_drain(pod: Pod) -> None:
    """The kubelet's connection breaks: the drain goes on."""
    await pod.serve()
    call = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(5)
    call.cancel()
    assert pod.state() is State.DRAINING
    await pod.clock.advance(35)
    assert pod.state() is State.DRAINED
    assert pod.said("GONE") == 1


async def test_a_server_that_answers_again_during_a_drain_changes_nothing(pod: Pod) -> None:
    """Refused once and answering again in the middle of it: the drain goes to its end first."""
    await pod.serve()
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    pod.server.seen = REFUSED
    await pod.clock.advance(0.5)
    pod.server.seen = serving("m")
    await pod.clock.advance(30)
    assert pod.state() is State.DRAINING
    assert not pod.table.rows
    await pod.clock.advance(7)
    assert draining.result().end is Stage.DONE
    assert pod.state() is State.SERVING


async def test_a_drain_looks_at_the_server_at_once(pod: Pod) -> None:
    """A server that died unseen between two polls is found out in a second, and its hook not held."""
    await pod.serve()
    pod.server.seen = REFUSED
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(1.2)
    assert draining.result().end is Stage.SERVER_GONE


async def test_a_row_found_after_the_drain_is_removed(cluster: Cluster) -> None:
    """The look back at an earlier life comes when the drain is over: what it finds goes, too."""
    cluster.start(ScriptedServer(serving("m")))
    await cluster.clock.advance(1)
    await cluster.kill()
    cluster.table.faults.append(
        lambda request: httpx.Response(500, json={}) if "page" in request.url.params else None
    )
    again = cluster.start()
    await cluster.clock.advance(3)
    outcome = asyncio.ensure_future(again.agent.drain("preStop"))
    await cluster.clock.advance(1)
    assert outcome.result().end is Stage.SERVER_GONE
    assert cluster.table.rows
    cluster.table.faults.clear()
    await cluster.clock.advance(31)
    assert not cluster.table.rows
    assert again.state() is State.DRAINED


async def test_a_server_that_returns_with_another_model(pod: Pod) -> None:
    """After a drain nothing of before is wanted: only what the server lists now."""
    await pod.serve()
    await pod.drained()
    pod.server.seen = REFUSED
    await pod.clock.advance(1)
    pod.server.seen = serving("n")
    await pod.clock.advance(1)
    assert pod.names() == {"n"}


async def test_it_serves_again_when_only_the_server_was_restarted(pod: Pod) -> None:
    """Seen refused and then answering: the hook was for a container restart."""
    await pod.serve()
    await pod.drained()
    pod.server.seen = REFUSED
    await pod.clock.advance(3)
    assert pod.state() is State.DRAINED
    await pod.serve()
    assert pod.names() == {"m"}
    assert pod.said("The pod lives on") == 1
    assert "waited=0" in next(line for line in reversed(pod.lines) if "The server answers" in line)


async def test_a_server_restarted_between_two_looks_serves_again(pod: Pod) -> None:
    """It was never seen refused, but another socket listens now."""
    await pod.serve()
    await pod.drained()
    await pod.clock.advance(3)
    assert pod.state() is State.DRAINED
    pod.sockets.listeners = frozenset({2})
    await pod.clock.advance(1)
    assert pod.state() is State.SERVING
    assert pod.names() == {"m"}


async def test_a_worker_that_ends_is_no_restart(pod: Pod) -> None:
    """Of two sockets that listen one is closed: the server is the same one, on its way out."""
    pod.sockets.listeners = frozenset({1, 2})
    await pod.serve()
    await pod.drained()
    pod.sockets.listeners = frozenset({2})
    await pod.clock.advance(3)
    assert pod.state() is State.DRAINED


async def test_a_server_restarted_during_its_drain_is_not_waited_for(pod: Pod) -> None:
    """The kubelet gave up on the hook and started the server anew: nothing of the old one is in flight."""
    await pod.serve()
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(10)
    assert not draining.done()
    pod.sockets.listeners = frozenset({2})
    await pod.clock.advance(2)
    assert draining.result().end is Stage.SERVER_GONE
    assert pod.state() is State.SERVING


async def test_an_answer_alone_is_no_proof_of_life(pod: Pod) -> None:
    """A vLLM that ends slowly answers to its end: only after the whole grace period is it believed."""
    await pod.serve()
    await pod.drained()
    await pod.clock.advance(SETTINGS.grace_period - 37 - 1)
    assert pod.state() is State.DRAINED
    await pod.clock.advance(2)
    assert pod.state() is State.SERVING
    assert pod.names() == {"m"}


async def test_a_server_refused_during_its_drain_comes_back(pod: Pod) -> None:
    """A liveness failure: the server was dead before its hook, is restarted, and serves again."""
    await pod.serve()
    pod.server.seen = REFUSED
    await pod.clock.advance(7)
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(1)
    assert draining.result().end is Stage.SERVER_GONE
    await pod.clock.advance(5)
    await pod.serve()
    assert pod.names() == {"m"}


async def test_a_server_in_ill_health_that_still_works_is_held(pod: Pod) -> None:
    """Its readiness probe fails, but it may be answering somebody: the drain waits as ever."""
    await pod.serve()
    pod.server.seen = Ambiguous(Reason.SERVER_NOT_READY, "probe of /ready: HTTP 500")
    await pod.clock.advance(40)
    assert pod.state() is State.BLOCKED
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(34)
    assert not draining.done()


async def test_a_second_drain_after_a_return(pod: Pod) -> None:
    """Drained, lived on, drained again: a whole new drain."""
    await pod.serve()
    await pod.drained()
    pod.server.seen = REFUSED
    await pod.clock.advance(1)
    await pod.serve()
    outcome = await pod.drained()
    assert outcome.end is Stage.DONE
    assert not pod.table.rows
    assert pod.said("GONE") == 2
    # What was seen of the first restart proves nothing about this one.
    await pod.clock.advance(60)
    assert pod.state() is State.DRAINED
