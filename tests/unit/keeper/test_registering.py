"""Rows are made, found again and settled: the decision table, lost answers, backoff."""

import httpx

from sidecar.access import ByKey
from sidecar.keeper import AT_ONCE, CHECK_EVERY, CHECK_JITTER, Keeper
from sidecar.litellm import LiteLLM
from sidecar.log import Log
from sidecar.patience import BACKOFF_MOST
from tests.standins import litellm_answers as answers
from tests.standins.clock import settle
from tests.standins.litellm_table import KEY, URL
from tests.unit.keeper.bench import OWNER, Bench, row

CUT = httpx.RemoteProtocolError("Server disconnected without sending a response.")
REFUSED = httpx.ConnectError("All connection attempts failed")


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
