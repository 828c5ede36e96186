"""What the agent does as its server starts anew, sleeps, hangs, is gone, or could be asked more."""

import asyncio
from dataclasses import replace

import httpx

from sidecar.broker_contract import State
from sidecar.contract import Probing
from sidecar.drain import Stage
from sidecar.reasons import Reason
from sidecar.servers.facts import Fact, Facts, Origin
from sidecar.servers.shapes import Ambiguous, Answer, Asleep, Model, Observation
from tests.standins.registrar import SETTINGS, Cluster, Pod
from tests.standins.scripted import REFUSED, ScriptedServer, serving

SLOW = Ambiguous(Reason.SERVER_TIMEOUT, "no answer within 5 s")
LOADING = Ambiguous(Reason.SERVER_LOADING, "/v1/models: HTTP 503")
ASLEEP = Asleep("vllm says that it sleeps")
DOWN = httpx.ConnectError("All connection attempts failed")


async def test_a_server_restarted_during_a_look_is_looked_at_again(pod: Pod) -> None:
    """Half of what was told then may be of the former server: it never gets into a row."""
    await pod.serve()
    news = Answer("vllm", "0.32.0", (Model("m", facts=Facts(context=Fact(7, Origin.ENGINE))),), gauges=True)

    async def mixed() -> Observation:
        del pod.server.observe
        pod.sockets.listeners = frozenset({2})
        pod.server.seen = news
        return serving("m", "half")

    pod.server.observe = mixed  # type: ignore[method-assign]
    await pod.clock.advance(5)
    assert pod.names() == {"m"}
    assert next(iter(pod.table.rows.values()))["model_info"]["max_input_tokens"] == 7


async def test_a_sleeping_server_is_blocked_at_once_and_unblocked_awake(pod: Pod) -> None:
    """It says itself that it sleeps: no thirty seconds of doubt, no model gone, and the reason is named."""
    await pod.serve()
    pod.server.seen = ASLEEP
    await pod.clock.advance(5.1)
    assert pod.blocked() == [True]
    await pod.clock.advance(600)
    assert pod.names() == {"m"}
    assert pod.said("BLOCKED    The server sleeps; LiteLLM is told to send it nothing until it wakes") == 1
    pod.server.seen = serving("m")
    await pod.clock.advance(1.1)
    assert pod.blocked() == [False]
    assert pod.state() is State.SERVING


async def test_a_server_asleep_from_the_start_is_waited_for(pod: Pod) -> None:
    """Nothing is registered of it, and the log says why."""
    pod.server.seen = ASLEEP
    await pod.clock.advance(60)
    assert (pod.state(), pod.names()) == (State.WAITING, set())
    assert pod.said("WAITING    The server sleeps") == 1
    await pod.serve()


async def test_a_sleeping_server_is_drained_like_any_other(pod: Pod) -> None:
    """It is there and may still be sent to: the drain takes its time and ends normally."""
    await pod.serve()
    pod.server.seen = ASLEEP
    await pod.clock.advance(6)
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(34)
    assert not draining.done()
    await pod.clock.advance(3)
    assert draining.result().end is Stage.DONE
    assert not pod.table.rows


async def test_a_server_restarted_between_two_polls_is_asked_anew(pod: Pod) -> None:
    """Nobody was refused, but another socket listens: what is kept of the old one is forgotten, once."""
    await pod.serve()
    await pod.clock.advance(60)
    assert pod.server.forgotten == 0
    pod.sockets.listeners = frozenset()
    await pod.clock.advance(10)
    pod.sockets.listeners = frozenset({2})
    await pod.clock.advance(60)
    assert pod.server.forgotten == 1
    assert pod.said("was started anew") == 1
    assert pod.blocked() == [False]


async def test_a_worker_that_is_replaced_is_no_restart_of_the_server(pod: Pod) -> None:
    """Of several listening sockets one after the other goes and comes: never all at once."""
    for listeners in ({1, 2}, {2, 3}, {3, 4}):
        pod.sockets.listeners = frozenset(listeners)
        await pod.clock.advance(10)
    assert pod.server.forgotten == 0


async def test_questions_that_cost_are_put_one_by_one_when_nothing_is_in_flight(cluster: Cluster) -> None:
    """With `probe: active`: one per poll interval, never beside a request; its answer is used at once."""
    pod = cluster.start(ScriptedServer(serving("m"), gauge=1), replace(SETTINGS, probing=Probing.ACTIVE))
    pod.server.lessons = [serving("m", "b"), serving("m", "b", "c")]
    await pod.clock.advance(60)
    assert pod.names() == {"m"}
    pod.server.gauge = 0
    await pod.clock.advance(5)
    assert pod.names() == {"m", "b"}
    await pod.clock.advance(5)
    assert pod.names() == {"m", "b", "c"}


async def test_by_default_nothing_is_asked_that_costs(pod: Pod) -> None:
    """Without `probe: active` no such question is put."""
    await pod.serve()
    pod.server.lessons = [serving("m", "b")]
    await pod.clock.advance(60)
    assert pod.server.lessons


async def test_no_question_is_put_during_a_drain(cluster: Cluster) -> None:
    """A drain counts what is in flight; a question of ours would hold it."""
    pod = cluster.start(ScriptedServer(serving("m")), replace(SETTINGS, probing=Probing.ACTIVE))
    await pod.clock.advance(1)
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    pod.server.lessons = [serving("m", "b")]
    await pod.clock.advance(30)
    assert pod.server.lessons
    assert not draining.done()


async def test_a_question_under_way_ends_with_the_drain_that_begins(cluster: Cluster) -> None:
    """Its answer may take 30 s: the connection is closed, so that the drain counts others' requests only."""
    pod = cluster.start(ScriptedServer(serving("m")), replace(SETTINGS, probing=Probing.ACTIVE))
    pod.server.lessons = [serving("m", "b")]
    pod.server.taught.clear()
    await pod.clock.advance(6)
    assert pod.server.gauge == 1
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(37)
    assert draining.result().end is Stage.DONE
    assert pod.server.lessons


async def test_a_hiccup_deletes_and_blocks_nothing(pod: Pod) -> None:
    """29 s of timeouts, errors, empty lists: LiteLLM hears nothing of it."""
    await pod.serve()
    before = dict(pod.table.calls)
    for seen in (SLOW, LOADING, serving(), Ambiguous(Reason.SERVER_UNAUTHORIZED, "")):
        pod.server.seen = seen
        await pod.clock.advance(6)
    pod.server.seen = serving("m")
    await pod.clock.advance(6)
    assert {name: pod.table.calls[name] for name in ("create", "settle", "delete")} == {
        "create": before["create"],
        "settle": 0,
        "delete": 0,
    }
    assert pod.state() is State.SERVING


async def test_a_killed_server_is_blocked_within_seconds_and_unblocked_when_back(pod: Pod) -> None:
    """Refused twice a second apart: blocked with the mark; the first good answer unblocks."""
    await pod.serve()
    pod.server.seen = REFUSED
    await pod.clock.advance(6.5)
    assert pod.state() is State.BLOCKED
    assert pod.blocked() == [True]
    pod.server.seen = serving("m")
    await pod.clock.advance(0.25)
    assert pod.state() is State.SERVING
    assert pod.blocked() == [False]
    assert pod.words()[-3:] == ["PROBLEM", "BLOCKED", "SERVING"]
    assert pod.table.calls["delete"] == 0


async def test_a_server_that_hangs_is_blocked_after_thirty_seconds(pod: Pod) -> None:
    """Ambiguous signs for 30 s block."""
    await pod.serve()
    pod.server.seen = SLOW
    await pod.clock.advance(5 + 29)
    assert pod.blocked() == [False]
    await pod.clock.advance(2)
    assert pod.blocked() == [True]
    assert pod.said("BLOCKED") == 1
    assert pod.said("reason=server_timeout") == 2


async def test_a_model_that_is_gone_when_the_server_is_back(pod: Pod) -> None:
    """Restarted with another model: the old row goes after three good answers, the new one comes at once."""
    await pod.serve()
    pod.server.seen = REFUSED
    await pod.clock.advance(7)
    pod.server.seen = serving("n")
    await pod.clock.advance(1)
    assert pod.names() == {"m", "n"}
    await pod.clock.advance(11)
    assert pod.names() == {"n"}


async def test_an_ollama_whose_last_model_is_removed(pod: Pod) -> None:
    """Its empty list is an answer: after three of them the row goes, and it waits for a model."""
    pod.server.seen = serving("m", engine="ollama")
    await pod.clock.advance(1)
    pod.server.seen = serving(engine="ollama")
    await pod.clock.advance(16)
    assert not pod.table.rows
    assert pod.state() is State.WAITING
    pod.server.seen = serving("n", engine="ollama")
    await pod.clock.advance(1)
    assert pod.names() == {"n"}


async def test_a_vllm_with_an_empty_list_loses_nothing(pod: Pod) -> None:
    """An empty list from another engine is doubtful: blocked after 30 s, never deleted."""
    await pod.serve()
    pod.server.seen = serving()
    await pod.clock.advance(60)
    assert pod.blocked() == [True]


async def test_litellm_away_at_the_start(cluster: Cluster) -> None:
    """Found but not registered: waiting, the reason named once, ready by time, registered when it is back."""
    cluster.table.fail(10_000, DOWN)
    pod = cluster.start(ScriptedServer(serving("m")))
    await pod.clock.advance(119)
    assert not pod.agent.ready()
    await pod.clock.advance(7)
    assert pod.agent.ready()
    assert pod.state() is State.WAITING
    assert pod.said("litellm_unreachable") == 1
    assert pod.said("reason=ready_timeout") == 1
    cluster.table.faults.clear()
    await pod.clock.advance(31)
    assert pod.state() is State.SERVING
    assert pod.names() == {"m"}


async def test_readiness_stays_open(pod: Pod) -> None:
    """Once registered, the pod stays ready whatever happens later."""
    await pod.serve()
    pod.server.seen = REFUSED
    await pod.clock.advance(20)
    assert pod.agent.ready()
