"""Rows are changed, removed and adopted, and what a keeper asks beside that."""

import asyncio
from dataclasses import replace

import httpx

from sidecar.access import ByKey
from sidecar.keeper import Keeper
from sidecar.litellm import LiteLLM
from sidecar.log import Log
from sidecar.registration import Stored as StoredRow
from sidecar.registration import adopted
from tests.standins.clock import settle
from tests.standins.litellm_table import KEY, URL
from tests.unit.keeper.bench import Bench, row

CUT = httpx.RemoteProtocolError("Server disconnected without sending a response.")
REFUSED = httpx.ConnectError("All connection attempts failed")


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
