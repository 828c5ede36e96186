"""A registrar whose LiteLLM is a broker, on a clock of the test's: refusals, patience, outages, drains."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from sidecar.agent import Agent
from sidecar.broker_access import ByToken
from sidecar.broker_contract import POD_PATH, PodState, State
from sidecar.contract import Engine, PodIdentity, Settings
from sidecar.drain import Outcome, Stage
from sidecar.fate import Fate
from sidecar.keeper import Keeper
from sidecar.litellm import LiteLLM
from sidecar.log import Log
from sidecar.patience import REFUSED_MOST
from sidecar.problems import Problems
from sidecar.row_contract import pod_prefix
from sidecar.sockets import SocketSample
from sidecar.token_file import TokenFile
from sidecar.traffic import Traffic
from tests.standins.broker import TOKEN, URL, Broker, refusal
from tests.standins.clock import FakeClock, settle
from tests.standins.scripted import REFUSED, ScriptedServer, ScriptedSockets, serving

SETTINGS = Settings(cluster="c1", engine=Engine.VLLM, port=8000, nonce="n")
IDENTITY = PodIdentity(namespace="team", pod="qwen-0", pod_uid="u1", pod_ip="10.0.0.5", node="n1")
DOWN = httpx.ConnectError("All connection attempts failed")
ALIVE = PodState(deleting=False)
TAKEN = refusal("name_taken", "m: rows of namespace team-b have this name; choose another with model-name")


@dataclass
class Pod:
    """A registrar in its pod, its broker, its time, its log."""

    broker: Broker
    clock: FakeClock
    server: ScriptedServer
    sockets: ScriptedSockets
    agent: Agent
    lines: list[str]
    token: Path

    def said(self, text: str) -> int:
        """Count the lines with this text."""
        return sum(text in line for line in self.lines)

    async def serve(self) -> None:
        """Let the server answer and its model be registered."""
        self.server.seen = serving("m")
        await self.clock.advance(1)
        assert self.agent.state is State.SERVING

    async def drained(self, seconds: float = 37) -> Outcome:
        """Drain to the end."""
        draining = asyncio.ensure_future(self.agent.drain("preStop"))
        await self.clock.advance(seconds)
        return draining.result()

    async def restart(self) -> None:
        """Let the server go and come back."""
        self.server.seen = REFUSED
        await self.clock.advance(1)
        self.server.seen = serving("m")
        await self.clock.advance(1)


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    """Start a registrar; its pod is there to stay."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    prefix = pod_prefix("c1", "team", "u1")
    broker, clock, lines = Broker(pod=ALIVE, prefix=prefix), FakeClock(), list[str]()
    log = Log(lines.append, clock.today)
    problems = Problems(log, clock)
    server, sockets = ScriptedServer(), ScriptedSockets(SocketSample(0, 0))
    async with broker.client() as client:
        api = LiteLLM(client, ByToken(URL, TokenFile(str(token), log.conceal)))
        keeper = Keeper(api, problems=problems, log=log, clock=clock, random=lambda: 0.5)
        agent = Agent(
            SETTINGS,
            IDENTITY,
            server,
            keeper,
            Traffic(server, sockets, frozenset),
            fate=Fate(api.pod, clock),
            api_key=None,
            problems=problems,
            log=log,
            clock=clock,
        )
        running = asyncio.ensure_future(agent.run())
        yield Pod(broker, clock, server, sockets, agent, lines, token)
        running.cancel()
        await keeper.stop()
        await asyncio.gather(running, return_exceptions=True)


async def test_it_registers_through_a_broker_as_through_litellm(pod: Pod) -> None:
    """The same calls, and no line about any of it."""
    await pod.serve()
    (row,) = pod.broker.table.rows.values()
    assert row["model_info"]["registrar"]["pod_uid"] == "u1"
    assert not pod.said("PROBLEM")


async def test_a_row_that_is_refused_is_said_once_and_tried_ever_more_rarely(pod: Pod) -> None:
    """Rule and sentence in one line; an hour costs the broker some twenty calls, not thousands."""
    pod.broker.table.fail(10_000, TAKEN, "/model/new")
    pod.server.seen = serving("m")
    await pod.clock.advance(10)
    last = pod.agent.status()["last_problem"]
    assert (last["reason"], last["rule"]) == ("broker_refused_row", "name_taken")
    await pod.clock.advance(3590)
    assert pod.said("broker_refused_row") == 1
    assert pod.said('rule=name_taken name=m detail="m: rows of namespace team-b have this name') == 1
    assert 3600 / REFUSED_MOST <= pod.broker.table.calls["create"] <= 25
    assert pod.agent.state is State.WAITING


async def test_another_wish_is_tried_at_once(pod: Pod) -> None:
    """The row is another one now: no wait of minutes for what the old one was refused."""
    pod.broker.table.fail(6, TAKEN, "/model/new")
    pod.server.seen = serving("m")
    await pod.clock.advance(150)
    assert pod.broker.table.calls["create"] == 6
    assert not pod.broker.table.rows
    pod.server.seen = replace(serving("m"), version="0.33.0")
    await pod.clock.advance(SETTINGS.poll_interval)
    assert pod.agent.state is State.SERVING


async def test_a_row_that_is_let_through_later_is_told(pod: Pod) -> None:
    """The names file was changed: registered at the next try, and the problem is over."""
    pod.broker.table.fail(3, TAKEN, "/model/new")
    pod.server.seen = serving("m")
    await pod.clock.advance(60)
    assert pod.agent.state is State.SERVING
    assert pod.said("SOLVED") == 1


async def test_a_first_refusal_after_a_long_wait_is_tried_again_soon(pod: Pod) -> None:
    """Half a minute of a full queue does not make the next try wait for minutes."""
    pod.broker.table.fail(9, refusal("busy", "100 writes wait", 503, Retry_After="1"), "/model/new")
    pod.broker.table.fail(1, TAKEN, "/model/new")
    pod.server.seen = serving("m")
    while pod.broker.table.calls["create"] < 10:
        await pod.clock.advance(1)
    await pod.clock.advance(5)
    assert pod.agent.state is State.SERVING


async def test_refused_by_another_rule_is_said_again(pod: Pod) -> None:
    """One line a rule."""
    pod.broker.table.fail(2, TAKEN, "/model/new")
    pod.broker.table.fail(2, refusal("name_not_allowed", "m: not of this namespace's names"), "/model/new")
    pod.server.seen = serving("m")
    await pod.clock.advance(120)
    assert pod.said("PROBLEM") == 2


async def test_a_full_queue_is_waited_for_without_a_word(pod: Pod) -> None:
    """Half a minute of "busy" among a thousand starts: registered in the end, nothing said."""
    busy = refusal("busy", "100 writes wait", 503, Retry_After="3")
    pod.broker.table.fail(6, busy, "/model/new")
    pod.server.seen = serving("m")
    await pod.clock.advance(2)
    assert pod.broker.table.calls["create"] == 1
    await pod.clock.advance(40)
    assert pod.agent.state is State.SERVING
    assert not pod.said("PROBLEM")
    # It was never doubted that the row was not made: no PATCH had to settle it.
    assert pod.broker.table.calls["settle"] == 0


async def test_a_turn_that_comes_late_is_no_problem_either(pod: Pod) -> None:
    """The pod counts as ready after two minutes; that its turn has not come is said as what is waited for."""
    pod.broker.table.fail(10_000, refusal("busy", "500 writes wait", 503, Retry_After="1"), "/model/new")
    pod.server.seen = serving("m")
    await pod.clock.advance(SETTINGS.ready_timeout + 10)
    assert pod.agent.ready()
    assert pod.said("reason=ready_timeout") == 1
    assert not pod.said("PROBLEM")


async def test_a_server_that_is_ready_late_waits_its_turn_without_a_problem(pod: Pod) -> None:
    """The pod counts as ready while the queue has not been full for long enough to be worth a line itself."""
    pod.broker.table.fail(10_000, refusal("busy", "500 writes wait", 503, Retry_After="1"), "/model/new")
    await pod.clock.advance(SETTINGS.ready_timeout - 20)
    pod.server.seen = serving("m")
    await pod.clock.advance(30)
    assert pod.said("reason=ready_timeout") == 1
    assert not pod.said("broker_busy")
    assert not pod.said("PROBLEM")


async def test_a_queue_that_stays_full_is_said_after_a_minute(pod: Pod) -> None:
    """Patience has an end, not the tries; a line then says for what it waits, for nothing is wrong."""
    pod.broker.table.fail(10_000, refusal("rate", "60 writes a minute", 429, Retry_After="5"), "/model/new")
    pod.server.seen = serving("m")
    await pod.clock.advance(59)
    assert not pod.said("PROBLEM")
    await pod.clock.advance(20)
    assert pod.said("WAITING    The broker has asked for patience") == 1
    assert not pod.said("PROBLEM")


async def test_one_refused_connection_is_no_line(pod: Pod) -> None:
    """A Service refuses for a moment while the broker's pods change: the next try is within 0.25 s."""
    await pod.serve()
    pod.broker.table.fail(1, DOWN)
    pod.server.seen = serving("m", "n")
    await pod.clock.advance(SETTINGS.poll_interval + 0.25)
    assert len(pod.broker.table.rows) == 2
    assert not pod.said("PROBLEM")
    assert not pod.said("SOLVED")


async def test_a_broker_away_for_minutes_is_said_once_and_lived_through(pod: Pod) -> None:
    """Rows stay, models that come meanwhile are registered when it is back."""
    await pod.serve()
    pod.broker.table.faults.append(lambda _: DOWN)
    pod.server.seen = serving("m", "n")
    await pod.clock.advance(300)
    assert pod.said("broker_unreachable") == 1
    pod.broker.table.faults.clear()
    await pod.clock.advance(31)
    assert len(pod.broker.table.rows) == 2
    assert pod.said("SOLVED") == 1


async def test_a_look_that_meets_a_rollout_says_nothing(pod: Pod) -> None:
    """The look after a row once a minute fails once."""
    await pod.serve()
    pod.broker.table.fail(1, DOWN, "/v2/model/info")
    await pod.clock.advance(200)
    assert not pod.said("PROBLEM")


async def test_a_new_pods_address_that_the_api_server_does_not_show_yet(pod: Pod) -> None:
    """The kubelet reports it a second late: waited for, not said."""
    pod.broker.table.fail(3, refusal("pod_without_ip", "the pod has no address yet"), "/model/new")
    pod.server.seen = serving("m")
    await pod.clock.advance(2)
    assert pod.agent.state is State.SERVING
    assert not pod.said("PROBLEM")


async def test_a_token_that_is_gone_is_a_reason_and_its_return_the_end_of_it(pod: Pod) -> None:
    """The volume is broken for a while: named, and registered within seconds after."""
    pod.token.unlink()
    pod.server.seen = serving("m")
    await pod.clock.advance(10)
    assert pod.said("broker_no_token") == 1
    pod.token.write_text(TOKEN)
    await pod.clock.advance(30)
    assert pod.agent.state is State.SERVING


async def test_no_line_and_no_status_holds_a_token(pod: Pod) -> None:
    """Neither the one of now nor the one before it, whoever quotes them."""
    await pod.serve()
    pod.token.write_text("header.payload.signature-2")
    pod.broker.tokens.add("header.payload.signature-2")
    said = f"no pod has {TOKEN} or header.payload.signature-2"
    pod.broker.table.fail(10, refusal("model_name", said), "/model/new")
    pod.server.seen = serving("m", "n")
    await pod.clock.advance(10)
    assert pod.said('rule=model_name name=n detail="no pod has *** or ***"') == 1
    assert "signature" not in "\n".join([*pod.lines, str(pod.agent.status())])


async def test_a_pods_end_is_told_from_a_restart(pod: Pod) -> None:
    """Its drain says that the pod is being deleted; whoever answers in it then, nothing is registered."""
    await pod.serve()
    pod.broker.pod = PodState(deleting=True, grace=165)
    assert (await pod.drained()).end is Stage.DONE
    assert pod.said("The pod is being deleted. grace=165") == 1
    assert not pod.said("grace_shortened")
    await pod.restart()
    await pod.clock.advance(2 * SETTINGS.grace_period)
    assert not pod.broker.table.rows
    assert pod.agent.state is State.DRAINED


async def test_a_restart_is_told_from_a_pods_end(pod: Pod) -> None:
    """Its drain says so, and the models are back as soon as the server is."""
    await pod.serve()
    await pod.drained()
    assert pod.said("The pod is not being deleted") == 1
    await pod.restart()
    assert pod.agent.state is State.SERVING
    assert len(pod.broker.table.rows) == 1


async def test_a_pod_deleted_after_its_restarts_drain_does_not_come_back(pod: Pod) -> None:
    """Asked once more before anything is registered: the pod is deleted meanwhile."""
    await pod.serve()
    await pod.drained()
    pod.broker.pod = PodState(deleting=True, grace=165)
    await pod.restart()
    assert not pod.broker.table.rows
    assert pod.agent.state is State.DRAINED
    asked = pod.broker.asked(POD_PATH)
    await pod.clock.advance(60)
    assert pod.broker.asked(POD_PATH) == asked


async def test_a_cut_grace_is_said_at_once_and_kept_to(pod: Pod) -> None:
    """`kubectl delete --grace-period=30` of a pod made with 165 s: over 10 s before it, in any case."""
    await pod.serve()
    pod.server.gauge = 3
    pod.broker.pod = PodState(deleting=True, grace=30)
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(1)
    assert pod.said("grace_shortened") == 1
    assert pod.said("grace=30.0 instead_of=165.0") == 1
    await pod.clock.advance(18)
    assert not draining.done()
    await pod.clock.advance(1.5)
    assert draining.result().end is Stage.OVERDUE
    assert draining.result().cut == 3


async def test_a_deletion_during_a_restarts_drain_is_noticed(pod: Pod) -> None:
    """20 s into the drain the pod is deleted with 20 s: the drain ends 10 s before those are over."""
    await pod.serve()
    pod.server.gauge = 1
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(20)
    pod.broker.pod = PodState(deleting=True, grace=20)
    await pod.clock.advance(4)
    assert pod.said("The pod is being deleted") == 1
    assert pod.said("grace_shortened") == 1
    await pod.clock.advance(10)
    assert draining.result().end is Stage.OVERDUE
    assert not pod.broker.table.rows


async def test_a_drain_that_cannot_ask_goes_by_what_was_injected(pod: Pod) -> None:
    """No Kubernetes API behind the broker: neither said to be deleted nor not; restarts are seen as ever."""
    await pod.serve()
    pod.broker.pod = None
    assert (await pod.drained()).end is Stage.DONE
    assert not pod.said("being deleted")
    await pod.restart()
    assert pod.agent.state is State.SERVING


async def test_a_drain_in_progress_outlives_a_rollout_of_the_broker(pod: Pod) -> None:
    """Refused for ten seconds from its beginning: the row is deleted then, and the drain takes its course."""
    await pod.serve()
    pod.broker.table.faults.append(lambda _: DOWN)
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(10)
    assert pod.broker.table.rows
    pod.broker.table.faults.clear()
    await pod.clock.advance(50)
    assert draining.result().end is Stage.DONE
    assert draining.result().rows_left == 0
    assert not pod.broker.table.rows


async def test_at_rest_nobody_is_asked_about_the_pod(pod: Pod) -> None:
    """An hour of serving: one small call a row and minute, none of them about the pod."""
    await pod.serve()
    before = len(pod.broker.requests)
    await pod.clock.advance(3600)
    assert len(pod.broker.requests) - before <= 60
    assert not pod.broker.asked(POD_PATH)


async def test_siblings_of_others_starve_ours_and_it_is_said(pod: Pod) -> None:
    """A foreign row with rpm, shown by its numbers only: ours goes in without a weight, and starves."""
    pod.broker.table.rows["foreign"] = {
        "model_name": "m",
        "litellm_params": {"model": "openai/m", "rpm": 9, "api_base": "https://elsewhere"},
        "model_info": {"id": "foreign"},
        "blocked": False,
    }
    pod.server.seen = serving("m")
    await settle()
    await pod.clock.advance(1)
    own = next(row for key, row in pod.broker.table.rows.items() if key != "foreign")
    assert "weight" not in own["litellm_params"]
    assert pod.said("siblings_disagree") == 1
    assert pod.said("key=rpm lacking=1 rows=2") == 1


async def test_what_an_older_broker_leaves_out_is_said_once(pod: Pod) -> None:
    """The parameters it does not know, by name; over when a newer broker takes them."""
    pod.broker.left_out = "quantum"
    await pod.serve()
    pod.server.seen = replace(serving("m"), version="0.33.0")
    await pod.clock.advance(SETTINGS.poll_interval)
    assert pod.said("reason=broker_left_out name=m detail=quantum") == 1
    pod.broker.left_out = ""
    pod.server.seen = replace(serving("m"), version="0.34.0")
    await pod.clock.advance(SETTINGS.poll_interval)
    assert pod.said("SOLVED") == 1


async def test_a_block_that_the_broker_writes_otherwise_is_left_alone(pod: Pod) -> None:
    """An older broker leaves a key out: one write, and an hour of looks that find nothing to repair."""
    pod.broker.forgets = frozenset({"version"})
    await pod.serve()
    await pod.clock.advance(3600)
    assert pod.broker.table.calls["create"] == 1
    assert pod.broker.table.calls["settle"] == 0
    assert not pod.said("REPAIRED")
    assert not pod.said("row_contested")
