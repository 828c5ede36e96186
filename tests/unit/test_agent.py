"""The agent's life, played through on a clock of the test's: states, blocks, drains, returns, the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from sidecar.access import ByKey
from sidecar.agent import Agent, State
from sidecar.contract import Alias, Engine, PodIdentity, Probing, Settings
from sidecar.drain import Outcome, Stage
from sidecar.ending import LAST_TRY_SECONDS, Ending
from sidecar.fate import Fate
from sidecar.keeper import CHECK_EVERY, CHECK_JITTER, Keeper
from sidecar.litellm import LiteLLM
from sidecar.log import Log
from sidecar.problems import Problems
from sidecar.reasons import Reason
from sidecar.row_contract import row_id
from sidecar.servers.facts import Fact, Facts, Origin, abilities
from sidecar.servers.shapes import Ambiguous, Answer, Asleep, Model, Observation
from sidecar.sockets import SocketSample
from sidecar.traffic import Traffic
from tests.standins.clock import FakeClock, settle
from tests.standins.litellm_table import KEY, URL, Table
from tests.standins.scripted import REFUSED, ScriptedServer, ScriptedSockets, serving

SETTINGS = Settings(cluster="c1", engine=Engine.VLLM, port=8000, nonce="n")
IDENTITY = PodIdentity(namespace="team", pod="qwen-0", pod_uid="u1", pod_ip="10.0.0.5", node="n1")
SLOW = Ambiguous(Reason.SERVER_TIMEOUT, "no answer within 5 s")
LOADING = Ambiguous(Reason.SERVER_LOADING, "/v1/models: HTTP 503")
ASLEEP = Asleep("vllm says that it sleeps")
DOWN = httpx.ConnectError("All connection attempts failed")


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
        problems = Problems(log, self.clock)
        api = LiteLLM(self.client, ByKey(URL, KEY))
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
        ending = Ending(agent, keeper, problems=problems, log=log, clock=self.clock)
        self.alive.append((keeper, asyncio.ensure_future(agent.run())))
        return Pod(self.table, self.clock, server, sockets, keeper, agent, ending, lines)

    async def kill(self) -> None:
        """Kill -9: every registrar is gone, and nothing is written any more."""
        for keeper, running in self.alive:
            running.cancel()
            await keeper.stop()
            await asyncio.gather(running, return_exceptions=True)
        self.alive.clear()


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Give a LiteLLM and a clock."""
    table = Table()
    async with table.client() as client:
        here = Cluster(table, FakeClock(), client, [])
        yield here
        await here.kill()


@pytest.fixture
def pod(cluster: Cluster) -> Pod:
    """Give one registrar that has just started."""
    return cluster.start()


async def test_it_waits_and_says_for_what(pod: Pod) -> None:
    """While the server loads: polled four times a second, one line per reason, with how long."""
    await pod.clock.advance(10)
    assert 38 <= pod.server.looks <= 42
    pod.server.seen = LOADING
    await pod.clock.advance(10)
    assert pod.words() == ["WAITING", "WAITING"]
    assert pod.said("reason=server_refused url=http://10.0.0.5:8000 waited=0.0") == 1
    assert pod.said("reason=server_loading url=http://10.0.0.5:8000 waited=10.") == 1
    assert pod.agent.state is State.WAITING
    assert not pod.agent.ready()


async def test_a_ready_server_is_registered_without_delay(pod: Pod) -> None:
    """From the first good answer to the first POST no time passes."""
    await pod.clock.advance(100)
    assert pod.table.calls["create"] == 0
    pod.server.seen = serving("m")
    await pod.clock.advance(0.25)
    assert pod.table.calls["create"] == 1
    assert pod.state() is State.SERVING
    assert pod.agent.ready()
    assert pod.words() == ["WAITING", "FOUND", "FOUND", "REGISTERED", "SERVING"]
    assert pod.said("engine=vllm version=0.32.0 models=m") == 1
    assert pod.said("FOUND      A model is served. model=m context=1024(engine) unknown=mode,") == 1
    assert pod.said("1 of 1 models are routable") == 1


async def test_litellm_is_met_before_the_server_is_ready(pod: Pod) -> None:
    """A wrong address is named while the model still loads, and readiness is asked at once."""
    await settle()
    assert pod.table.calls["ready"] == 1
    assert pod.table.calls["read"] == 1


async def test_litellm_problems_are_named_before_the_server_is_ready(cluster: Cluster) -> None:
    """The connection is refused from the start: said while waiting."""
    cluster.table.fail(1000, DOWN)
    pod = cluster.start()
    await settle()
    assert pod.said("litellm_unreachable") == 1


async def test_several_models_are_several_rows(pod: Pod) -> None:
    """Two served names: two rows, one line that counts them."""
    pod.server.seen = serving("a", "b")
    await pod.clock.advance(1)
    assert pod.names() == {"a", "b"}
    assert pod.said("2 of 2 models are routable through LiteLLM. names=a,b") == 1


async def test_a_model_that_comes_and_one_that_goes(pod: Pod) -> None:
    """A new model is there after one poll, one that went is gone after three good answers."""
    pod.server.seen = serving("a", "b")
    await pod.clock.advance(1)
    pod.server.seen = serving("b", "c")
    await pod.clock.advance(6)
    assert pod.names() == {"a", "b", "c"}
    await pod.clock.advance(10)
    assert pod.names() == {"b", "c"}
    assert pod.state() is State.SERVING


async def test_each_alias_is_a_row_of_its_own(cluster: Cluster) -> None:
    """Alias and model come, go and are counted together."""
    pod = cluster.start(ScriptedServer(serving("m")), replace(SETTINGS, aliases=(Alias("fast"),)))
    await pod.clock.advance(1)
    assert pod.names() == {"m", "fast"}
    assert pod.said("2 of 2 models are routable through LiteLLM. names=m,fast") == 1
    pod.server.seen = serving("n")
    await pod.clock.advance(21)
    assert {row["litellm_params"]["model"] for row in pod.table.rows.values()} == {"hosted_vllm/n"}
    assert pod.names() == {"n", "fast"}


async def test_an_alias_without_a_model_is_said_until_its_model_comes(cluster: Cluster) -> None:
    """Once, not at each poll; an adapter that is loaded later ends it."""
    pod = cluster.start(ScriptedServer(serving("m")), replace(SETTINGS, aliases=(Alias("fast", "lora"),)))
    await pod.clock.advance(60)
    assert pod.said("reason=alias_without_model alias=fast model=lora") == 1
    assert pod.names() == {"m"}
    pod.server.seen = serving("lora", "m")
    await pod.clock.advance(6)
    assert pod.names() == {"m", "lora", "fast"}
    assert pod.said("SOLVED") == 1


async def test_filters_that_leave_nothing_are_a_named_reason(cluster: Cluster) -> None:
    """A typing error in `include` must not look like a server without models; it is polled in peace."""
    pod = cluster.start(ScriptedServer(serving("m")), replace(SETTINGS, include="^qwen"))
    await pod.clock.advance(60)
    assert pod.said("reason=all_left_out models=m") == 1
    assert pod.said("left_out=m") == 1
    assert pod.state() is State.WAITING
    assert pod.server.looks <= 14
    pod.server.seen = serving("m", "qwen3")
    await pod.clock.advance(5)
    assert pod.names() == {"qwen3"}
    assert pod.said("SOLVED") == 1


async def test_a_server_that_returns_with_another_model_keeps_its_names(cluster: Cluster) -> None:
    """`model_name` and an alias of the one model go to the new one at once, not when the old one is gone."""
    settings = replace(SETTINGS, model_name="gpt", aliases=(Alias("fast"),))
    pod = cluster.start(ScriptedServer(serving("m")), settings)
    await pod.clock.advance(1)
    pod.server.seen = serving("n")
    await pod.clock.advance(5)
    assert pod.names() == {"gpt", "fast"}
    assert len(pod.table.rows) == 4
    await pod.clock.advance(15)
    assert pod.names() == {"gpt", "fast"}
    assert len(pod.table.rows) == 2
    assert not pod.said("alias_ambiguous")


async def test_a_changed_fact_is_one_patch_and_one_line(pod: Pod) -> None:
    """What is found out later changes the row under its id; the log says it once, not at each poll."""
    await pod.serve()
    before = list(pod.table.rows)
    able = Facts(abilities=abilities(Origin.PROBE, function_calling=True))
    pod.server.seen = Answer("vllm", "0.32.0", (Model("m", facts=able, digest="d2"),), gauges=True)
    await pod.clock.advance(60)
    (row,) = pod.table.rows.values()
    assert list(pod.table.rows) == before
    assert row["model_info"]["supports_function_calling"] is True
    assert row["model_info"]["registrar"]["digest"] == "d2"
    assert (pod.table.calls["settle"], pod.table.calls["delete"]) == (1, 0)
    assert pod.said("More, or other, is known of a model. model=m digest=d2 yes=function_calling(probe)") == 1


async def test_facts_that_come_and_go_cannot_rewrite_the_row_at_each_look(pod: Pod) -> None:
    """Two servers behind one address: six writes and lines a minute, and the log says what is wrong, once."""
    await pod.serve()
    for turn in range(240):
        length = Facts(context=Fact(2048 if turn % 2 else 4096, Origin.ENGINE))
        pod.server.seen = Answer("vllm", "0.32.0", (Model("m", facts=length),), gauges=True)
        await pod.clock.advance(5)
    minutes = 20
    assert pod.table.calls["settle"] <= 6 * minutes
    assert pod.said("More, or other") <= 6 * minutes
    assert pod.said("reason=server_unsteady") == 1
    await pod.clock.advance(120)
    (row,) = pod.table.rows.values()
    assert row["model_info"]["max_input_tokens"] == 2048
    assert pod.said("SOLVED") == 1


async def test_a_model_that_is_gone_contradicts_itself_no_more(pod: Pod) -> None:
    """What was said of a model goes with it."""
    await pod.serve()
    for turn in range(20):
        other = Model("n", facts=Facts(context=Fact(turn + 1, Origin.ENGINE)))
        pod.server.seen = replace(serving("m"), models=(*serving("m").models, other))
        await pod.clock.advance(5)
    assert [problem["reason"] for problem in pod.agent.status()["problems"]] == [Reason.SERVER_UNSTEADY]
    pod.server.seen = serving("m")
    await pod.clock.advance(20)
    assert not pod.agent.status()["problems"]


async def test_a_list_that_comes_and_goes_is_said_once(pod: Pod) -> None:
    """A model that every second answer lacks is not gone, and no news."""
    await pod.serve()
    for turn in range(20):
        pod.server.seen = serving("m", "n") if turn % 2 else serving("m")
        await pod.clock.advance(5)
    assert pod.said("The server answers. engine=vllm version=0.32.0 models=m,n") == 1
    assert pod.said("The server answers") == 2


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


async def test_a_restarted_registrar_takes_its_rows_over(cluster: Cluster) -> None:
    """Killed -9 and started again: the same rows, no duplicate, no alarm."""
    pod = cluster.start(ScriptedServer(serving("a", "b")))
    await cluster.clock.advance(1)
    before = json.dumps(cluster.table.rows, sort_keys=True)
    await cluster.kill()
    again = cluster.start(pod.server)
    await cluster.clock.advance(2)
    assert json.dumps(cluster.table.rows, sort_keys=True) == before
    assert again.state() is State.SERVING
    assert not again.said("PROBLEM")


async def test_a_restarted_registrar_takes_its_aliases_over(cluster: Cluster) -> None:
    """While the server is away an alias is blocked like the model's own name, and comes back like it."""
    settings = replace(SETTINGS, aliases=(Alias("fast"),))
    pod = cluster.start(ScriptedServer(serving("m")), settings)
    await cluster.clock.advance(1)
    before = set(cluster.table.rows)
    await cluster.kill()
    again = cluster.start(settings=settings)
    await cluster.clock.advance(5)
    assert again.blocked() == [True, True]
    again.server.seen = pod.server.seen
    await cluster.clock.advance(5)
    assert again.blocked() == [False, False]
    assert set(cluster.table.rows) == before
    assert again.names() == {"m", "fast"}


@pytest.mark.parametrize("first", [REFUSED, serving("m", "n")])
async def test_an_alias_that_fits_no_more_goes(cluster: Cluster, first: Observation) -> None:
    """It was for the one base model; after the registrar's restart there are two, at once or later."""
    settings = replace(SETTINGS, aliases=(Alias("fast"),))
    cluster.start(ScriptedServer(serving("m")), settings)
    await cluster.clock.advance(1)
    await cluster.kill()
    again = cluster.start(ScriptedServer(first), settings)
    await cluster.clock.advance(5)
    again.server.seen = serving("m", "n")
    await cluster.clock.advance(6)
    assert again.names() == {"m", "n"}
    assert again.said("reason=alias_ambiguous") == 1


async def test_a_model_that_went_while_the_registrar_was_dead(cluster: Cluster) -> None:
    """Its row is found in the table at the start and goes after three good answers."""
    cluster.start(ScriptedServer(serving("a", "b")))
    await cluster.clock.advance(1)
    await cluster.kill()
    again = cluster.start(ScriptedServer(serving("b")))
    await cluster.clock.advance(1)
    assert again.names() == {"a", "b"}
    await cluster.clock.advance(20)
    assert again.names() == {"b"}


async def test_a_restarted_registrar_blocks_its_rows_while_the_server_is_away(cluster: Cluster) -> None:
    """Both were killed and the model loads again for minutes: LiteLLM must not go on sending."""
    cluster.start(ScriptedServer(serving("a")))
    await cluster.clock.advance(1)
    await cluster.kill()
    again = cluster.start()
    await cluster.clock.advance(5)
    assert again.blocked() == [True]
    assert again.state() is State.BLOCKED
    again.server.seen = serving("a")
    await cluster.clock.advance(2)
    assert again.blocked() == [False]
    assert again.state() is State.SERVING


async def test_the_table_is_read_once_in_a_life(cluster: Cluster) -> None:
    """Hours of serving, blocks and returns: the whole table is read once."""
    pod = cluster.start()
    await pod.serve()
    for _ in range(3):
        pod.server.seen = REFUSED
        await pod.clock.advance(600)
        await pod.serve()
    assert pod.table.calls["table"] == 1


async def test_rows_of_others_are_never_touched(cluster: Cluster) -> None:
    """Rows of people, of other pods and of other clusters stay byte for byte as they are."""
    foreign = {
        "ui": {"id": "ui"},
        "config": {"id": "config", "registrar": "text"},
        "pod": {"id": "pod", "registrar": {"cluster": "c1", "pod_uid": "u2", "model": "m"}},
        "cluster": {"id": "cluster", "registrar": {"cluster": "c2", "pod_uid": "u1", "model": "m"}},
    }
    for key, info in foreign.items():
        cluster.table.rows[key] = {
            "model_name": "m",
            "litellm_params": {"model": "x"},
            "model_info": info,
            "blocked": key == "ui",
        }
    before = json.dumps(cluster.table.rows, sort_keys=True)
    pod = cluster.start()
    await pod.serve()
    pod.server.seen = REFUSED
    await pod.clock.advance(10)
    await pod.serve()
    await pod.drained()
    assert json.dumps(cluster.table.rows, sort_keys=True) == before


async def test_a_leftover_under_another_id_is_removed(cluster: Cluster) -> None:
    """A row of this pod whose id is not the one we would give it now can only be a left-over."""
    cluster.table.rows["registrar-old"] = {
        "model_name": "m",
        "litellm_params": {"model": "x"},
        "model_info": {
            "id": "registrar-old",
            "registrar": {"cluster": "c1", "pod_uid": "u1", "model": "m"},
        },
        "blocked": False,
    }
    pod = cluster.start()
    await pod.serve()
    await pod.clock.advance(1)
    assert list(cluster.table.rows) == [row_id("c1", "team", "u1", "m")]


async def test_steady_state_is_one_small_call_a_minute(pod: Pod) -> None:
    """An hour of serving one model: at most one GET a minute, by id or by name, nothing else."""
    await pod.serve()
    await pod.clock.advance(1)
    pod.table.calls.clear()
    await pod.clock.advance(3600)
    assert set(pod.table.calls) == {"read", "named"}
    assert 3600 / (CHECK_EVERY + CHECK_JITTER) - 1 <= pod.table.calls.total() <= 60


async def test_no_line_is_written_while_nothing_changes(pod: Pod) -> None:
    """An hour of serving is silent."""
    await pod.serve()
    pod.lines.clear()
    await pod.clock.advance(3600)
    assert pod.lines == []


async def test_a_fault_of_our_own_is_said_and_survived(pod: Pod) -> None:
    """A registrar that exits makes its pod unready for ever: it goes on."""

    async def broken() -> Any:
        raise RuntimeError("surprise")

    await pod.serve()
    observe, pod.server.observe = pod.server.observe, broken  # type: ignore[method-assign]
    await pod.clock.advance(12)
    assert pod.said("internal_error") == 1
    pod.server.observe = observe  # type: ignore[method-assign]
    pod.server.seen = serving("m", "n")
    await pod.clock.advance(12)
    assert pod.names() == {"m", "n"}


async def test_status_tells_it_all(pod: Pod) -> None:
    """/status: state, since when, what is served, each row, what is wrong; JSON without secrets."""
    await pod.clock.advance(3)
    await pod.serve()
    status = json.loads(json.dumps(pod.agent.status()))
    facts = status["models"].pop("m")
    assert facts["context"] == {"value": 1024, "origin": "engine"}
    assert facts["supports_vision"] == {"value": None, "origin": None}
    assert status == {
        "state": "serving",
        "since": "2026-11-21T06:00:03.250Z",
        "ready": True,
        "server": "http://10.0.0.5:8000",
        "engine": "vllm",
        "version": "0.32.0",
        "models": {},
        "rows": [
            {"id": row_id("c1", "team", "u1", "m"), "model_name": "m", "model": "m", "state": "registered"}
        ],
        "waiting_for": None,
        "in_flight": None,
        "problems": [],
        "last_problem": {
            "reason": "server_refused",
            "detail": "/v1/models: connection refused",
            "since": "2026-11-21T06:00:00.000Z",
        },
    }
    pod.server.gauge = 2
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(1)
    status = pod.agent.status()
    assert not draining.done()
    assert (status["state"], status["waiting_for"], status["in_flight"]) == ("draining", "propagating", 2)


async def test_a_short_poll_interval_is_honoured(cluster: Cluster) -> None:
    """`poll-interval` below a second polls so often while serving."""
    pod = cluster.start(ScriptedServer(serving("m")), replace(SETTINGS, poll_interval=0.5))
    await pod.clock.advance(1)
    before = pod.server.looks
    await pod.clock.advance(10)
    assert pod.server.looks - before == 20
