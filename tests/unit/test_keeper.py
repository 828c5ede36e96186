"""Rows kept in LiteLLM as they are wanted: the decision table, blocks, repairs, backoff."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from sidecar.access import ByKey
from sidecar.keeper import AT_ONCE, CHECK_EVERY, CHECK_JITTER, Keeper
from sidecar.litellm import LiteLLM
from sidecar.log import Log
from sidecar.patience import BACKOFF_MOST
from sidecar.problems import Problems
from sidecar.registration import Row, adopted
from sidecar.registration import Stored as StoredRow
from sidecar.row_contract import row_id
from tests.standins import litellm_answers as answers
from tests.standins.clock import FakeClock, settle
from tests.standins.litellm_table import KEY, URL, Table

CUT = httpx.RemoteProtocolError("Server disconnected without sending a response.")
REFUSED = httpx.ConnectError("All connection attempts failed")
OWNER = {"cluster": "c1", "pod_uid": "u1"}
MARK = {"blocked_by": "registrar"}


def row(served: str = "m", **info: Any) -> Row:
    """Give the wanted row of a model."""
    key = row_id("c1", "team", "u1", served)
    params = {"model": f"openai/{served}", "api_key": "sk-server"}
    return Row(key, served, served, params, {"id": key, "mode": "chat", **info}, {**OWNER, "model": served})


@dataclass
class Bench:
    """A keeper, its LiteLLM, its time and its log."""

    table: Table
    clock: FakeClock
    keeper: Keeper
    problems: Problems
    lines: list[str]

    @property
    def stored(self) -> dict[str, Any]:
        """Give the one row there is."""
        (only,) = self.table.rows.values()
        return only

    def blocked(self) -> bool:
        """Tell whether the one row is blocked."""
        return bool(self.stored["blocked"])

    def said(self, text: str) -> int:
        """Count the lines with this text."""
        return sum(text in line for line in self.lines)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Set a keeper up, and let go of it afterwards."""
    table, clock, lines = Table(), FakeClock(), list[str]()
    log = Log(lines.append, clock.today)
    problems = Problems(log, clock)
    async with table.client() as client:
        api = LiteLLM(client, ByKey(URL, KEY))
        keeper = Keeper(api, problems=problems, log=log, clock=clock, random=lambda: 1.0)
        yield Bench(table, clock, keeper, problems, lines)
        await keeper.stop()


async def test_a_row_is_made_with_one_call(bench: Bench) -> None:
    """The fast way: a look at the rows of its name, POST, no delay, no look after."""
    bench.keeper.want([row()])
    await settle()
    assert bench.table.calls == {"named": 1, "create": 1}
    assert bench.stored["model_info"]["registrar"] == {**OWNER, "model": "m"}
    assert bench.said("REGISTERED") == 1
    assert bench.keeper.settled()


async def test_the_same_wish_again_costs_nothing(bench: Bench) -> None:
    """Every poll wishes again; LiteLLM hears of it once."""
    for _ in range(50):
        bench.keeper.want([row()])
        await settle()
    assert bench.table.calls == {"named": 1, "create": 1}


async def test_a_restarted_registrar_finds_its_row(bench: Bench) -> None:
    """The look at its name's rows shows it: PATCH puts it right at once, and nobody is alarmed."""
    bench.table.rows[row().id] = {
        "model_name": "m",
        "litellm_params": dict(row().params),
        "model_info": {**row().info, "registrar": row().owner},
        "blocked": False,
    }
    bench.keeper.want([row()])
    await settle()
    assert bench.table.calls == {"named": 1, "settle": 1}
    assert len(bench.table.rows) == 1
    assert not bench.said("PROBLEM")


async def test_a_row_that_no_replica_remembers_is_found_all_the_same(bench: Bench) -> None:
    """A duplicate answers 500 like a database that is down; PATCH tells at once, and nobody is alarmed."""
    bench.table.rows[row().id] = {
        "model_name": "m",
        "litellm_params": dict(row().params),
        "model_info": {**row().info, "registrar": row().owner},
        "blocked": False,
    }
    bench.table.fail(1, httpx.Response(200, json={"data": [], "total_pages": 0}), "/v2/model/info")
    bench.keeper.want([row()])
    await settle()
    assert bench.table.calls == {"named": 1, "create": 1, "settle": 1}
    assert len(bench.table.rows) == 1
    assert not bench.said("PROBLEM")


async def test_a_lost_answer_to_a_creation_is_settled(bench: Bench) -> None:
    """Saved, but the answer cut off: PATCH finds the row, there is no second one."""
    bench.table.fail(1, CUT, "/model/new", after=True)
    bench.keeper.want([row()])
    await bench.clock.advance(1)
    assert bench.table.calls == {"named": 1, "create": 1, "settle": 1}
    assert len(bench.table.rows) == 1
    assert bench.said("litellm_no_answer") == 2  # said, and said to be over
    assert bench.said("REGISTERED") == 1


async def test_a_request_that_was_lost_is_made_again(bench: Bench) -> None:
    """The connection broke before anything was saved: PATCH says absent, POST makes it."""
    bench.table.fail(1, CUT, "/model/new")
    bench.keeper.want([row()])
    await bench.clock.advance(1)
    assert bench.table.calls == {"named": 1, "create": 2, "settle": 1}
    assert len(bench.table.rows) == 1


async def test_a_litellm_that_is_not_there_is_asked_again(bench: Bench) -> None:
    """Refused connections: nothing was sent, so POST again, later and later, said once."""
    bench.table.fail(10, REFUSED)
    bench.keeper.want([row()])
    await bench.clock.advance(0.25 + 0.5 + 1 + 2)
    assert bench.table.calls == {"named": 5, "create": 5}
    await bench.clock.advance(4)
    assert bench.table.calls == {"named": 6, "create": 6}
    assert bench.said("PROBLEM") == 1
    assert bench.said("SOLVED") == 1
    assert len(bench.table.rows) == 1


async def test_a_success_makes_the_next_try_quick_again(bench: Bench) -> None:
    """After an outage and a good call, the first failure of the next outage waits a quarter of a second."""
    bench.table.fail(6, REFUSED)
    bench.keeper.want([row()])
    await bench.clock.advance(30)
    assert bench.table.rows
    bench.table.rows.clear()
    bench.table.fail(1, REFUSED, "/update")
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert bench.table.rows


async def test_a_row_that_can_neither_be_made_nor_found_is_no_hot_loop(bench: Bench) -> None:
    """POST says "not added", PATCH says absent, again and again: named, and tried later and later."""
    refused = answers.not_added()
    bench.table.fail(1000, httpx.Response(refused.status, json=refused.body), "/model/new")
    bench.keeper.want([row()])
    await bench.clock.advance(10)
    assert bench.table.calls["create"] <= 8
    assert bench.said("litellm_not_added") == 1


async def test_the_wait_between_tries_is_bounded(bench: Bench) -> None:
    """However long LiteLLM is away, it is asked every 30 s at the latest."""
    bench.table.fail(10_000, REFUSED)
    bench.keeper.want([row()])
    await bench.clock.advance(3600)
    before = bench.table.calls["create"]
    await bench.clock.advance(10 * BACKOFF_MOST)
    assert bench.table.calls["create"] == before + 10


async def test_a_database_that_is_down_while_registering(bench: Bench) -> None:
    """500 on POST and PATCH: one named reason, then one row when it is back."""
    bench.table.database = False
    bench.keeper.want([row()])
    await bench.clock.advance(20)
    assert bench.said("litellm_database_down") == 1
    assert bench.said("PROBLEM") == 1
    bench.table.database = True
    await bench.clock.advance(30)
    assert len(bench.table.rows) == 1
    assert bench.said("SOLVED") == 1


async def test_a_row_that_is_saved_but_not_live_is_not_made_again(bench: Bench) -> None:
    """A named reason, no loop, and not counted as registered."""
    refused = answers.not_live("create", row().id)
    bench.table.fail(1, httpx.Response(refused.status, json=refused.body), "/model/new", after=True)
    bench.keeper.want([row()])
    await bench.clock.advance(50)
    assert bench.table.calls == {"named": 1, "create": 1}
    assert bench.said("litellm_not_live") == 1
    assert [(entry.registered, entry.state) for entry in bench.keeper.entries] == [(False, "not_live")]


async def test_a_row_that_litellm_does_not_accept_is_named(bench: Bench) -> None:
    """422: said once with the row's name, tried again slowly, other rows unharmed."""
    refused = answers.missing_field("litellm_params")
    bench.table.faults.append(
        lambda request: httpx.Response(422, json=refused.body) if b'"bad"' in request.content else None
    )
    bench.keeper.want([row("bad"), row("good")])
    await bench.clock.advance(60)
    assert bench.said("litellm_refused_row") == 1
    assert list(bench.table.rows) == [row("good").id]


async def test_a_weak_key_is_named_until_a_write_succeeds(bench: Bench) -> None:
    """403: said once; only a successful write says that it is over."""
    refused = answers.role_not_allowed("internal_user")
    bench.table.fail(3, httpx.Response(403, json=refused.body), "/model/new")
    bench.keeper.want([row()])
    await bench.clock.advance(30)
    assert bench.said("PROBLEM") == 1
    assert bench.said("SOLVED") == 1
    assert bench.table.calls == {"named": 1, "create": 4}


async def test_one_look_per_row_and_minute(bench: Bench) -> None:
    """Steady state: a GET a minute at most, jittered, each tenth by name, and nothing else."""
    bench.keeper.want([row(str(n)) for n in range(20)])
    await settle()
    bench.table.calls.clear()
    await bench.clock.advance(10 * (CHECK_EVERY + CHECK_JITTER))
    assert bench.table.calls == {"read": 180, "named": 20}


async def test_few_calls_at_a_time(bench: Bench) -> None:
    """Twenty models do not send twenty writes at once."""
    running, most = 0, 0

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await bench.clock.sleep(1)
        running -= 1
        return bench.table.handle(request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(slow)) as client:
        log = Log(bench.lines.append, bench.clock.today)
        api = LiteLLM(client, ByKey(URL, KEY))
        keeper = Keeper(api, problems=bench.problems, log=log, clock=bench.clock, random=lambda: 0.5)
        keeper.want([row(str(n)) for n in range(20)])
        await bench.clock.advance(2 * 20 / AT_ONCE)
        assert len(bench.table.rows) == 20
        assert most == AT_ONCE
        await keeper.stop()


async def test_a_row_changed_by_hand_is_put_back(bench: Bench) -> None:
    """A changed key of ours is put back within two minutes, keys of others stay."""
    bench.keeper.want([row()])
    await settle()
    bench.stored["model_info"] |= {"mode": "embedding", "team": "blue"}
    bench.stored["model_name"] = "stolen"
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert bench.stored["model_name"] == "m"
    assert bench.stored["model_info"]["mode"] == "chat"
    assert bench.stored["model_info"]["team"] == "blue"
    assert bench.said("REPAIRED") == 1
    assert bench.said("differed=model_name,model_info.mode") == 1


async def test_a_row_that_will_not_stay_is_repaired_ever_more_rarely(bench: Bench) -> None:
    """A key that is changed after each repair costs six writes and lines an hour, and is named once."""
    bench.keeper.want([row()])
    await settle()
    for _ in range(10 * 60):
        bench.stored["model_info"]["mode"] = "embedding"
        await bench.clock.advance(60)
    assert bench.table.calls["settle"] == bench.said("REPAIRED") <= 10 + 10 * 6
    assert bench.said("reason=row_contested") == 1
    assert bench.said("keys=model_info.mode") == 1
    await bench.clock.advance(2 * 10 * (CHECK_EVERY + CHECK_JITTER))
    assert bench.stored["model_info"]["mode"] == "chat"
    assert bench.said("SOLVED") == 1
    bench.stored["model_info"]["mode"] = "embedding"
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert bench.stored["model_info"]["mode"] == "chat"


async def test_a_row_deleted_again_and_again_is_always_back_in_a_minute(bench: Bench) -> None:
    """Without its row a model is not served at all: nothing slows that down."""
    bench.keeper.want([row()])
    await settle()
    for _ in range(20):
        bench.table.rows.clear()
        await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
        assert list(bench.table.rows) == [row().id]


async def test_a_changed_owner_is_put_back(bench: Bench) -> None:
    """The ownership block is ours: without it the reaper would not know the row."""
    bench.keeper.want([row()])
    await settle()
    bench.stored["model_info"]["registrar"] = {}
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert bench.stored["model_info"]["registrar"] == {**OWNER, "model": "m"}


async def test_a_row_deleted_by_hand_comes_back(bench: Bench) -> None:
    """A look that finds nothing is settled by PATCH; absent, the row is made again under its id."""
    bench.keeper.want([row()])
    await settle()
    bench.table.rows.clear()
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert list(bench.table.rows) == [row().id]
    assert bench.said("REPAIRED") == 1


async def test_a_row_that_only_a_replica_remembers_is_made_again(bench: Bench) -> None:
    """400 "Cannot edit config-based model" for our own id: deleted elsewhere."""
    bench.keeper.want([row()])
    await settle()
    bench.table.rows.clear()
    bench.table.memory_only.add(row().id)
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert list(bench.table.rows) == [row().id]


async def test_a_replica_with_an_empty_router_proves_nothing(bench: Bench) -> None:
    """A look finds nothing, PATCH finds the row: no second creation, no alarm."""
    bench.keeper.want([row()])
    await settle()
    bench.table.fail(1, httpx.Response(200, json={"data": [], "total_pages": 0}), "/v2/model/info")
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert bench.table.calls == {"named": 1, "create": 1, "read": 1, "settle": 1}
    assert not bench.said("REPAIRED")
    assert not bench.said("PROBLEM")


async def test_a_look_that_fails_is_said_and_harms_nothing(bench: Bench) -> None:
    """LiteLLM away in steady state: one line, the row stays known, the end is said."""
    bench.keeper.want([row()])
    await settle()
    bench.table.fail(2, REFUSED)
    await bench.clock.advance(2 * (CHECK_EVERY + CHECK_JITTER))
    assert bench.said("PROBLEM") == 1
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert bench.said("SOLVED") == 1
    assert bench.table.calls == {"named": 1, "create": 1, "read": 3}


def sibling(key: str, *, blocked: bool = False, name: str = "m", **params: Any) -> dict[str, dict[str, Any]]:
    """Give a row of somebody else's, as LiteLLM holds it."""
    row = {"model_name": name, "litellm_params": {"model": "openai/m", **params}, "model_info": {"id": key}}
    return {key: {**row, "blocked": blocked}}


WEIGHTED = replace(row(), params={**row().params, "weight": 1}, our_weight=True)


async def test_our_weight_joins_siblings_that_have_one(bench: Bench) -> None:
    """Among rows with a weight, and alone, ours is sent with the first call."""
    bench.table.rows |= sibling("a", weight=2) | sibling("b", blocked=True) | sibling("c", name="other")
    bench.keeper.want([WEIGHTED])
    await settle()
    assert bench.table.rows[row().id]["litellm_params"]["weight"] == 1
    assert not bench.said("PROBLEM")


async def test_our_weight_starves_no_sibling_without(bench: Bench) -> None:
    """Rows of the name without a weight get their share on: ours is made without, and no poll adds it."""
    bench.table.rows |= sibling("a")
    for _ in range(3):
        bench.keeper.want([WEIGHTED])
        await settle()
    await bench.clock.advance(20 * (CHECK_EVERY + CHECK_JITTER))
    assert "weight" not in bench.table.rows[row().id]["litellm_params"]
    assert bench.table.calls["create"] == 1
    assert bench.table.calls["settle"] == 0
    assert not bench.said("PROBLEM")


async def test_a_weight_of_the_owners_is_sent_and_what_it_does_is_said(bench: Bench) -> None:
    """The owner wants it so: named once with the key and how many rows it starves, and its end too."""
    bench.table.rows |= sibling("a") | sibling("b")
    bench.keeper.want([replace(WEIGHTED, our_weight=False)])
    await bench.clock.advance(10 * (CHECK_EVERY + CHECK_JITTER))
    assert bench.table.rows[row().id]["litellm_params"]["weight"] == 1
    assert bench.said("PROBLEM") == 1
    assert bench.said("reason=siblings_disagree name=m key=weight lacking=2 rows=3") == 1
    for key in ("a", "b"):
        bench.table.rows[key]["litellm_params"]["weight"] = 1
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert bench.said("SOLVED") == 1


async def test_a_row_that_is_blocked_starves_nobody(bench: Bench) -> None:
    """A weight on a row of a server in ill health: LiteLLM shares out among the others."""
    bench.table.rows |= sibling("a")
    bench.keeper.want([replace(WEIGHTED, our_weight=False)], blocked=True)
    await bench.clock.advance(10 * (CHECK_EVERY + CHECK_JITTER))
    assert bench.table.calls["named"] == 2
    assert not bench.said("siblings_disagree")


async def test_a_row_that_went_has_nothing_against_its_siblings(bench: Bench) -> None:
    """What was said of it is no problem of the pod any more."""
    bench.table.rows |= sibling("a")
    bench.keeper.want([replace(WEIGHTED, our_weight=False)])
    await settle()
    assert bench.problems.current()
    bench.keeper.want([])
    await settle()
    assert not bench.problems.current()


async def test_a_row_that_others_starve_gets_our_weight(bench: Bench) -> None:
    """Made without, among rows without; then one of them gets a weight: ours follows within ten looks."""
    bench.table.rows |= sibling("a")
    bench.keeper.want([WEIGHTED])
    await settle()
    bench.table.rows["a"]["litellm_params"]["weight"] = 5
    await bench.clock.advance(10 * (CHECK_EVERY + CHECK_JITTER))
    assert bench.table.rows[row().id]["litellm_params"]["weight"] == 1
    assert not bench.said("REPAIRED")
    assert bench.keeper.settled()


async def test_an_rpm_that_somebody_gives_our_row_is_seen(bench: Bench) -> None:
    """Among rows without a weight it takes all requests: said by name, and the key of others stays."""
    bench.table.rows |= sibling("a")
    bench.keeper.want([WEIGHTED])
    await settle()
    bench.table.rows[row().id]["litellm_params"]["rpm"] = 100
    await bench.clock.advance(10 * (CHECK_EVERY + CHECK_JITTER))
    assert bench.said("reason=siblings_disagree name=m key=rpm lacking=1 rows=2") == 1
    assert bench.table.rows[row().id]["litellm_params"]["rpm"] == 100


async def test_a_restarted_registrar_takes_no_weight_for_granted(bench: Bench) -> None:
    """A row that an earlier life made without a weight is settled without one."""
    whole = {**WEIGHTED.info, "registrar": WEIGHTED.owner}
    stored = {"model_name": "m", "litellm_params": dict(row().params), "model_info": whole, "blocked": False}
    bench.table.rows |= {row().id: stored} | sibling("a")
    bench.keeper.want([WEIGHTED])
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert "weight" not in bench.table.rows[row().id]["litellm_params"]
    assert not bench.said("REPAIRED")


async def test_a_row_under_another_name_meets_other_siblings(bench: Bench) -> None:
    """Its weight was right where it was and cannot be taken back; under the new name it starves one: said."""
    bench.table.rows |= sibling("a", name="new")
    bench.keeper.want([WEIGHTED])
    await settle()
    bench.keeper.want([replace(WEIGHTED, name="new")])
    await settle()
    assert bench.table.rows[row().id]["model_name"] == "new"
    assert bench.table.calls == {"named": 2, "create": 1, "settle": 1}
    assert bench.said("reason=siblings_disagree name=new key=weight lacking=1 rows=2") == 1


async def test_a_large_group_does_not_hide_our_row(bench: Bench) -> None:
    """The page by name shows other rows only: ours is looked up by its id, and not taken for lost."""
    for number in range(60):
        bench.table.rows |= sibling(f"a{number}", weight=1)
    bench.keeper.want([WEIGHTED])
    await settle()
    bench.table.calls.clear()
    await bench.clock.advance(10 * (CHECK_EVERY + CHECK_JITTER))
    assert bench.table.calls == {"read": 10, "named": 1}


async def test_siblings_that_cannot_be_looked_at_hold_up_nothing(bench: Bench) -> None:
    """An odd answer to the look by name: the row is made all the same."""
    bench.table.faults.append(
        lambda request: httpx.Response(500, json={}) if "model" in request.url.params else None
    )
    bench.keeper.want([WEIGHTED])
    await settle()
    assert list(bench.table.rows) == [row().id]


async def test_block_and_unblock_carry_our_mark(bench: Bench) -> None:
    """Ill health blocks with the mark, recovery unblocks and takes it away."""
    bench.keeper.want([row()])
    await settle()
    bench.keeper.want([row()], blocked=True)
    await settle()
    assert bench.blocked()
    assert bench.stored["model_info"]["registrar"] == {**OWNER, "model": "m", **MARK}
    bench.keeper.want([row()])
    await settle()
    assert not bench.blocked()
    assert bench.stored["model_info"]["registrar"] == {**OWNER, "model": "m"}
    assert bench.table.calls == {"named": 1, "create": 1, "settle": 3}


async def test_a_block_of_a_person_is_never_undone(bench: Bench) -> None:
    """Blocked by hand between two looks: ill health puts no mark on it, recovery leaves it blocked."""
    bench.keeper.want([row()])
    await settle()
    bench.stored["blocked"] = True
    bench.keeper.want([row()], blocked=True)
    await settle()
    bench.keeper.want([row()])
    await bench.clock.advance(3 * (CHECK_EVERY + CHECK_JITTER))
    assert bench.blocked()
    assert bench.stored["model_info"]["registrar"] == {**OWNER, "model": "m"}
    assert bench.said("blocked_by_someone_else") == 1
    assert [entry.state for entry in bench.keeper.entries] == ["blocked_by_someone_else"]


async def test_the_end_of_a_persons_block_is_noticed(bench: Bench) -> None:
    """What a person blocked and unblocked again is said to be over."""
    bench.keeper.want([row()])
    await settle()
    bench.stored["blocked"] = True
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert bench.said("blocked_by_someone_else") == 1
    bench.stored["blocked"] = False
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert bench.said("SOLVED") == 1


async def test_our_block_survives_our_restart(bench: Bench) -> None:
    """Blocked with our mark by an earlier life: a healthy server unblocks it, by the mark alone."""
    bench.table.rows[row().id] = {
        "model_name": "m",
        "litellm_params": dict(row().params),
        "model_info": {**row().info, "registrar": {**row().owner, **MARK}},
        "blocked": True,
    }
    bench.keeper.want([row()])
    await settle()
    assert not bench.blocked()
    assert "blocked_by" not in bench.stored["model_info"]["registrar"]


async def test_a_persons_block_survives_our_restart(bench: Bench) -> None:
    """Blocked without the mark: settling at start does not touch it."""
    bench.table.rows[row().id] = {
        "model_name": "m",
        "litellm_params": dict(row().params),
        "model_info": {**row().info, "registrar": {**row().owner}},
        "blocked": True,
    }
    bench.keeper.want([row()])
    await settle()
    assert bench.blocked()
    assert bench.said("blocked_by_someone_else") == 1


async def test_a_litellm_without_blocked_is_named_once(bench: Bench) -> None:
    """An older LiteLLM ignores `blocked`: said once, no loop, and no mark left behind."""
    bench.table.has_blocked = False
    bench.keeper.want([row()])
    await settle()
    for _ in range(3):
        bench.keeper.want([row()], blocked=True)
        await bench.clock.advance(10)
        bench.keeper.want([row()])
        await bench.clock.advance(10)
    assert bench.said("litellm_without_block") == 1
    assert bench.stored["model_info"]["registrar"] == {**OWNER, "model": "m"}
    assert bench.table.calls["settle"] <= 3


async def test_a_litellm_that_refuses_blocked_is_named_too(bench: Bench) -> None:
    """A LiteLLM that answers `blocked` with 422 cannot block either."""
    bench.keeper.want([row()])
    await settle()
    bench.table.faults.append(
        lambda request: (
            httpx.Response(422, json={"detail": []}) if b'"blocked":true' in request.content else None
        )
    )
    bench.keeper.want([row()], blocked=True)
    await bench.clock.advance(20)
    assert bench.said("litellm_without_block") == 1


async def test_a_changed_model_is_updated_in_one_call(bench: Bench) -> None:
    """A new context length is one PATCH under the same id, without touching the block."""
    bench.keeper.want([row(max_tokens=10)])
    await settle()
    bench.keeper.want([row(max_tokens=20)])
    await settle()
    assert bench.table.calls == {"named": 1, "create": 1, "settle": 1}
    assert bench.stored["model_info"]["max_tokens"] == 20
    assert "blocked" not in bench.table.bodies[-1][1]


async def test_a_row_no_longer_wanted_is_removed(bench: Bench) -> None:
    """A model that went is deleted, the others stay."""
    bench.keeper.want([row("a"), row("b")])
    await settle()
    bench.keeper.want([row("b")])
    await settle()
    assert list(bench.table.rows) == [row("b").id]
    assert bench.said("REMOVED") == 1
    assert [entry.served for entry in bench.keeper.entries] == ["b"]


async def test_a_deletion_is_tried_until_it_is_certain(bench: Bench) -> None:
    """A database that is away answers 400: that is not "gone"."""
    bench.keeper.want([row()])
    await settle()
    bench.table.database = False
    bench.keeper.want([])
    await bench.clock.advance(10)
    assert bench.keeper.entries
    bench.table.database = True
    await bench.clock.advance(30)
    assert not bench.table.rows
    assert not bench.keeper.entries


async def test_a_deletion_whose_answer_was_lost(bench: Bench) -> None:
    """Deleted, but nobody said so: the repetition finds nothing, and that is success."""
    bench.keeper.want([row()])
    await settle()
    bench.table.fail(1, CUT, "/model/delete", after=True)
    bench.keeper.want([])
    await bench.clock.advance(1)
    assert bench.table.calls["delete"] == 2
    assert not bench.keeper.entries


async def test_a_row_that_appears_after_its_deletion_is_deleted_again(bench: Bench) -> None:
    """The answer to the creation was lost and LiteLLM saves it late: the second deletion removes it."""
    bench.table.fail(1, CUT, "/model/new")
    bench.keeper.want([row()])
    await settle()
    bench.keeper.want([])
    await settle()
    assert bench.table.calls["delete"] == 1
    bench.table.rows[row().id] = {"model_name": "m", "litellm_params": {}, "model_info": {}, "blocked": False}
    await bench.clock.advance(6)
    assert not bench.table.rows
    assert not bench.keeper.entries


async def test_a_wish_that_changes_during_a_call_is_followed(bench: Bench) -> None:
    """The drain begins while the creation is on its way: first it ends, then the row is deleted."""
    gate = asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/model/new":
            await gate.wait()
        return bench.table.handle(request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(slow)) as client:
        log = Log(bench.lines.append, bench.clock.today)
        api = LiteLLM(client, ByKey(URL, KEY))
        keeper = Keeper(api, problems=bench.problems, log=log, clock=bench.clock, random=lambda: 0.5)
        keeper.want([row()])
        await settle()
        assert keeper.had_rows(0)
        keeper.want([])
        await settle()
        assert bench.table.calls == {"named": 1}
        gate.set()
        await settle()
        assert bench.table.calls == {"named": 1, "create": 1, "delete": 1}
        assert not keeper.entries
        await keeper.stop()


async def test_a_change_of_mind_keeps_the_row(bench: Bench) -> None:
    """Unwanted and wanted again while LiteLLM is away: in the end the row is there once."""
    bench.keeper.want([row()])
    await settle()
    bench.table.fail(2, REFUSED)
    bench.keeper.want([])
    await settle()
    bench.keeper.want([row()])
    await bench.clock.advance(10)
    assert list(bench.table.rows) == [row().id]


async def test_an_adopted_row_is_settled_never_made(bench: Bench) -> None:
    """A row of an earlier life that is gone from the database meanwhile is not made out of its remains."""
    found = StoredRow(row().id, "m", {}, {"registrar": row().owner}, blocked=False)
    bench.keeper.adopt(adopted(found), keep=True)
    await bench.clock.advance(5)
    assert bench.table.calls == {"settle": 1}
    assert not bench.table.rows


async def test_an_adopted_row_is_blocked_and_then_made_whole(bench: Bench) -> None:
    """While the server is away its row of before is blocked; its model's return makes the row whole again."""
    key = row().id
    owner = dict(row().owner)
    bench.table.rows[key] = {
        "model_name": "m",
        "litellm_params": {"model": "openai/m", "api_base": "http://old"},
        "model_info": {"id": key, "mode": "chat", "registrar": owner},
        "blocked": False,
    }
    taken = adopted(StoredRow(key, "m", {}, {"registrar": owner}, blocked=False))
    bench.keeper.adopt(taken, keep=True)
    bench.keeper.want([taken], blocked=True)
    await settle()
    assert bench.blocked()
    assert bench.stored["litellm_params"]["api_base"] == "http://old"
    whole = replace(row(), params={**row().params, "api_base": "http://new"})
    bench.keeper.want([whole])
    await settle()
    assert not bench.blocked()
    assert bench.stored["litellm_params"]["api_base"] == "http://new"


async def test_a_leftover_is_removed(bench: Bench) -> None:
    """A row of this pod that is not wanted any more goes."""
    bench.table.rows["registrar-old"] = {
        "model_name": "m",
        "litellm_params": {},
        "model_info": {"id": "registrar-old"},
        "blocked": False,
    }
    old = StoredRow("registrar-old", "m", {}, {"registrar": row().owner}, blocked=None)
    bench.keeper.adopt(adopted(old), keep=False)
    await settle()
    assert not bench.table.rows


async def test_fifty_parallel_replays_make_one_row(bench: Bench) -> None:
    """Fifty registrars of one pod (a replay, fifty times): one row, all content."""
    async with bench.table.client() as client:
        log = Log(bench.lines.append, bench.clock.today)
        keepers = [
            Keeper(
                LiteLLM(client, ByKey(URL, KEY)),
                problems=bench.problems,
                log=log,
                clock=bench.clock,
                random=lambda: 0.5,
            )
            for _ in range(50)
        ]
        for keeper in keepers:
            keeper.want([row()])
        await bench.clock.advance(5)
        assert len(bench.table.rows) == 1
        assert all(keeper.settled() and keeper.entries[0].registered for keeper in keepers)
        for keeper in keepers:
            await keeper.stop()


async def test_litellm_is_greeted_until_it_answers(bench: Bench) -> None:
    """Problems are named before the server is ready, and then never asked about again."""
    bench.table.fail(2, REFUSED)
    bench.table.database = False
    greeting = asyncio.ensure_future(bench.keeper.greet("registrar-0"))
    await bench.clock.advance(5)
    assert bench.said("litellm_unreachable") == 1
    assert bench.said("litellm_database_down") == 1
    bench.table.database = True
    await bench.clock.advance(10)
    assert greeting.done()
    assert bench.said("SOLVED") == 1
    assert not bench.problems.current()


async def test_the_table_is_read_until_it_comes(bench: Bench) -> None:
    """A table that cannot be read is asked for again, and said once."""
    bench.table.fail(3, REFUSED)
    reading = asyncio.ensure_future(bench.keeper.table(lambda _: True))
    await bench.clock.advance(5)
    assert reading.result() == ()
    assert bench.said("PROBLEM") == 1


async def test_no_secret_is_ever_sent_where_it_does_not_belong(bench: Bench) -> None:
    """The server's key goes into litellm_params only, LiteLLM's own key into no body."""
    bench.keeper.want([row()])
    await settle()
    (body,) = [body for name, body in bench.table.bodies if name == "create"]
    assert body["litellm_params"].pop("api_key") == "sk-server"
    assert "sk-" not in str(body)
