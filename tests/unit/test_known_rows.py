"""What the broker knows of LiteLLM's rows, on a LiteLLM in memory."""

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.row_contract import pod_prefix, row_id
from webhook.broker import table
from webhook.broker.known_rows import KnownRows
from webhook.broker.shapes import Call, Caller, Holder, RefusedError, Reply, Rule
from webhook.broker.upstream import FaultError
from webhook.log import Log

OURS = Holder("here", "shop")
ELSEWHERE = Holder()
CALLER = Caller("shop", "qwen-1", "uid-1")
PREFIX = pod_prefix("here", "shop", "uid-1")
NEW_NAME = ["table", "wildcard_only", "/v1/models", "model", "/model/registrar-nobody/update"]
DONE = Reply(200, b"{}")


def row(name: str, key: str = "", **info: Any) -> dict[str, Any]:
    """Give somebody's row, as LiteLLM shows it."""
    info = {"id": key or f"id-{name}", **info}
    return {"model_name": name, "litellm_params": {"model": f"openai/of-{name}"}, "model_info": info}


def own(name: str, namespace: str = "shop", uid: str = "uid-1") -> dict[str, Any]:
    """Give a row of a pod."""
    block = {"cluster": "here", "namespace": namespace, "pod_uid": uid}
    return row(name, row_id("here", namespace, uid, name), registrar=block)


class Table:
    """A LiteLLM: what one replica remembers, and what only the database has yet."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.memory = list(rows)
        self.database: list[dict[str, Any]] = []
        self.has_database = True
        self.listed: list[str] = []
        self.fault: Reply | RefusedError | None = None
        self.calls: list[str] = []
        self.between_pages: Callable[[], None] = lambda: None

    async def send(self, call: Call, _: float) -> Reply:
        """Answer as /v2/model/info and /v1/models do."""
        query = call.query
        self.calls.append(_kind(call))
        if isinstance(self.fault, RefusedError):
            raise self.fault
        if self.fault is not None:
            return self.fault
        if call.method == "PATCH":
            return Reply(404 if self.has_database else 500, b"{}")
        if call.path == "/v1/models":
            return Reply(200, json.dumps({"data": [{"id": name} for name in self.listed]}).encode())
        rows = self.memory
        if "modelId" in query:
            rows = [each for each in rows if each["model_info"]["id"] == query["modelId"]]
        if "wildcard_only" in query:
            rows = [each for each in rows if "*" in each["model_name"]]
        if "model" in query:
            # an empty router answers before it looks at the database
            found = rows and [*rows, *self.database]
            rows = [each for each in found if each["model_name"] == query["model"] == query["search"]]
        page, size = int(query.get("page", "1")), int(query["size"])
        shown = {"data": rows[(page - 1) * size : page * size], "total_count": len(rows)}
        self.between_pages()
        return Reply(200, json.dumps(shown).encode())


def _kind(call: Call) -> str:
    if call.path != "/v2/model/info":
        return call.path
    return next((key for key in ("modelId", "wildcard_only", "model") if key in call.query), "table")


class World:
    """A broker's knowledge of a table, and its clock."""

    def __init__(self, *rows: dict[str, Any], believed: float = 35.0) -> None:
        self.time = 1000.0
        self.table = Table(*rows)
        self.log = io.StringIO()
        self.known = KnownRows(
            self.table, "here", Log(self.log), believed=believed, now=lambda: self.time, sleep=self.sleep
        )
        self.naps = 0

    async def sleep(self, seconds: float) -> None:
        """Let the time go on; ends the task after a few times."""
        self.time += seconds
        self.naps -= 1
        if self.naps < 0:
            raise asyncio.CancelledError

    async def read(self, times: int = 1) -> None:
        """Have the whole table read so often, a minute apart."""
        self.naps = times - 1
        with pytest.raises(asyncio.CancelledError):
            await self.known.follow()


async def test_a_name_of_nobody_is_of_nobody() -> None:
    """It was looked for in the table, in what else can be asked for, and by itself."""
    world = World(row("gpt-4o"))
    assert await world.known.holders("qwen") == ()
    assert world.table.calls == NEW_NAME


async def test_a_name_that_is_held_costs_no_call() -> None:
    """What the last reading showed is enough to go on, and to refuse."""
    world = World(row("gpt-4o"), own("qwen"))
    await world.read()
    world.table.calls.clear()
    assert await world.known.holders("gpt-4o") == (ELSEWHERE,)
    assert await world.known.holders("qwen") == (OURS,)
    assert world.table.calls == []


async def test_that_nobody_had_a_name_counts_for_as_long_as_the_asker_says() -> None:
    """Who asks for what is so now has it looked up, and then what is found counts for all."""
    world = World(row("gpt-4o"))
    assert await world.known.holders("qwen") == ()
    world.table.database.append(row("qwen"))
    world.time += 9
    assert await world.known.holders("qwen", oldest=10) == ()
    assert not world.known.held("qwen")
    assert await world.known.holders("qwen") == (ELSEWHERE,)
    assert await world.known.holders("qwen", oldest=10) == (ELSEWHERE,)


async def test_of_many_new_names_the_database_is_not_asked_about_each() -> None:
    """That LiteLLM has it counts for a second."""
    world = World(row("gpt-4o"))
    await asyncio.gather(*(world.known.holders(f"new-{number}") for number in range(20)))
    assert world.table.calls.count("/model/registrar-nobody/update") == 1
    world.time += 1
    await world.known.holders("another")
    assert world.table.calls.count("/model/registrar-nobody/update") == 2


async def test_many_who_ask_for_a_new_name_at_once_cost_one_look() -> None:
    """A thousand pods of a new name."""
    world = World(row("gpt-4o"))
    await asyncio.gather(*(world.known.holders("qwen") for _ in range(1000)))
    assert world.table.calls == NEW_NAME


async def test_new_names_are_looked_up_a_few_at_a_time() -> None:
    """However many new names come at once, LiteLLM has two looks in hand, and every name is answered."""
    world = World(row("gpt-4o"))
    await world.read()
    send, in_hand, most = world.table.send, 0, 0

    async def counting(call: Call, _: float) -> Reply:
        nonlocal in_hand, most
        in_hand, most = in_hand + 1, max(most, in_hand + 1)
        await asyncio.sleep(0)
        in_hand -= 1
        return await send(call, _)

    world.table.send = counting  # type: ignore[method-assign]
    told = await asyncio.gather(*(world.known.holders(f"new-{number}") for number in range(100)))
    assert set(told) == {()}
    assert most == 2


async def test_a_namespace_with_many_new_names_holds_up_no_other() -> None:
    """While hundreds of its names wait to be looked up, the one name of another namespace is next."""
    world = World(row("gpt-4o"))
    await world.read()
    send, order = world.table.send, list[str]()

    async def noted(call: Call, _: float) -> Reply:
        order.append(call.query.get("model", ""))
        await asyncio.sleep(0)
        return await send(call, _)

    world.table.send = noted  # type: ignore[method-assign]
    await asyncio.gather(
        *(world.known.holders(f"new-{number}", asker="greedy") for number in range(200)),
        world.known.holders("the-other", asker="modest"),
    )
    looked = [name for name in order if name]
    assert looked.index("the-other") < 10


async def test_a_row_that_a_lagging_replica_does_not_know_is_found_in_the_database() -> None:
    """A hand-made row of a second ago, seen by the database alone, holds its name."""
    world = World(row("gpt-4o"))
    await world.read()
    world.table.database.append(row("qwen"))
    assert await world.known.holders("qwen") == (ELSEWHERE,)


async def test_a_new_pattern_is_seen_soon() -> None:
    """What catches names is read again before a new name is given, if that is ten seconds old."""
    world = World(row("gpt-4o"))
    await world.known.holders("first")
    world.table.memory.append(row("team/*"))
    world.time += 10
    assert await world.known.holders("team/qwen") == (ELSEWHERE,)


async def test_a_name_that_litellm_lists_without_a_row_is_held() -> None:
    """An alias of the router, or a group."""
    world = World(row("gpt-4o"))
    world.table.listed = ["gpt-4o", "gpt-4"]
    assert await world.known.holders("gpt-4") == (ELSEWHERE,)


async def test_a_name_that_is_listed_before_its_row_is_known_is_its_makers() -> None:
    """LiteLLM lists the name of a row that another pod of the namespace is just making."""
    world = World(row("gpt-4o"))
    world.table.listed = ["gpt-4o", "qwen"]
    await world.known.holders("another")
    world.table.memory.append(own("qwen", uid="uid-2"))
    assert await world.known.holders("qwen") == (OURS,)


async def test_a_key_that_may_not_list_names_still_works() -> None:
    """Rows and patterns are known without it."""
    world = World(row("gpt-4o"))
    send = world.table.send

    async def forbidding(call: Call, _: float) -> Reply:
        return Reply(403, b"{}") if call.path == "/v1/models" else await send(call, _)

    world.table.send = forbidding  # type: ignore[method-assign]
    assert await world.known.holders("qwen") == ()


@pytest.mark.parametrize(
    "fault",
    [RefusedError(Rule.CANNOT_ASK_LITELLM, "refused", 502), Reply(503, b"no_db_connection"), Reply(401, b"")],
)
async def test_no_new_name_is_given_while_litellm_cannot_be_asked(fault: Reply | RefusedError) -> None:
    """Never a wrong yes: whoever asks is answered what LiteLLM answered; names that are held go on."""
    world = World(own("qwen"))
    await world.read()
    world.table.fault = fault
    with pytest.raises((RefusedError, FaultError)):
        await world.known.holders("new")
    assert await world.known.holders("qwen") == (OURS,)


async def test_a_replica_without_its_database_gives_no_new_name() -> None:
    """It goes on answering from its memory, which may lack the row of a moment ago."""
    world = World(row("gpt-4o"))
    world.table.has_database = False
    with pytest.raises(FaultError) as fault:
        await world.known.holders("qwen")
    assert fault.value.reply.status == 500


async def test_what_is_no_list_of_rows_is_no_answer() -> None:
    """A page of some proxy in between says nothing about names."""
    world = World(own("qwen"))
    world.table.fault = Reply(200, b"<html>")
    with pytest.raises(RefusedError) as refused:
        await world.known.holders("new")
    assert refused.value.rule is Rule.CANNOT_ASK_LITELLM


async def test_an_empty_table_is_not_believed_at_once() -> None:
    """A replica that has not read its database shows no row either, and will have read it soon."""
    world = World()
    with pytest.raises(RefusedError) as refused:
        await world.known.holders("qwen")
    assert (refused.value.rule, refused.value.status) == (Rule.CANNOT_ASK_LITELLM, 503)
    world.time += 35
    assert await world.known.holders("qwen") == ()


async def test_a_replica_that_forgot_everything_does_not_free_names() -> None:
    """A reading without rows after one with rows takes nothing away until another one agrees."""
    world = World(row("gpt-4o"))
    await world.read()
    remembered, world.table.memory = world.table.memory, []
    await world.read()
    assert await world.known.holders("gpt-4o") == (ELSEWHERE,)
    world.table.memory = remembered
    await world.read(3)
    assert await world.known.holders("gpt-4o") == (ELSEWHERE,)


async def test_a_row_that_is_gone_frees_its_name() -> None:
    """After two readings without it."""
    world = World(row("gpt-4o"), row("old"))
    await world.read()
    world.table.memory.pop()
    await world.read()
    assert world.known.count == 2
    await world.read()
    assert world.known.count == 1
    assert await world.known.holders("old") == ()


async def test_a_row_written_here_counts_before_any_replica_shows_it() -> None:
    """And it survives the readings of replicas that lag."""
    world = World(row("gpt-4o"))
    await world.read()
    world.known.wrote(Call("POST", "/model/new", body=own("qwen")), DONE, CALLER)
    await world.read()
    assert world.known.own(PREFIX) == {row_id("here", "shop", "uid-1", "qwen"): "qwen"}
    assert world.known.in_namespace("shop") == 1
    assert await world.known.holders("qwen") == (OURS,)


async def test_a_row_is_known_by_all_its_names() -> None:
    """By its model at the server too, which LiteLLM takes for a name; of a row that is unknown by none."""
    world = World(row("gpt-4o"))
    world.known.wrote(Call("POST", "/model/new", body=own("qwen")), DONE, CALLER)
    assert "openai/of-qwen" in world.known.names(row_id("here", "shop", "uid-1", "qwen"))
    assert set(world.known.exactly("openai/of-qwen")) == {OURS}
    assert not world.known.names("registrar-other")


@pytest.mark.parametrize(
    ("reply", "there"),
    [
        (DONE, True),
        (Reply(500, b"Model create was saved to the database, but the model id(s) [..] are not live"), True),
        (Reply(500, b"Failed to add model to db"), False),
        (Reply(403, b""), False),
    ],
)
async def test_only_what_is_stored_is_known(reply: Reply, there: bool) -> None:  # noqa: FBT001 - a table
    """A row that LiteLLM cannot serve is stored; one that it did not add is not."""
    world = World(row("gpt-4o"))
    world.known.wrote(Call("POST", "/model/new", body=own("qwen")), reply, CALLER)
    assert bool(world.known.own(PREFIX)) is there


async def test_a_change_without_a_block_keeps_the_row_its_pods() -> None:
    """The caller may change its own rows only, so that the row is its own."""
    world = World(own("qwen"))
    await world.read()
    key = row_id("here", "shop", "uid-1", "qwen")
    body = {"model_name": "qwen", "litellm_params": {}, "model_info": {"id": key}, "blocked": True}
    world.known.wrote(Call("PATCH", f"/model/{key}/update", body=body), DONE, CALLER)
    assert await world.known.holders("qwen") == (OURS,)
    assert await world.known.holders("openai/of-qwen") == (OURS,)


DELETED = Reply(200, f"Model: {row_id('here', 'shop', 'uid-1', 'qwen')} deleted successfully".encode())
NO_ROW = Reply(400, b"{'error': 'Model with id=x not found in db'}")


@pytest.mark.parametrize("reply", [DELETED, NO_ROW])
async def test_a_row_deleted_here_is_the_pods_no_more(reply: Reply) -> None:
    """Its name stays the namespace's as long as replicas may send requests to it."""
    world = World(row("gpt-4o"), own("qwen"))
    await world.read()
    key = row_id("here", "shop", "uid-1", "qwen")
    world.known.wrote(Call("POST", "/model/delete", body={"id": key}), reply, CALLER)
    assert world.known.own(PREFIX) == {}
    assert await world.known.holders("qwen") == (OURS,)


async def test_a_deletion_that_failed_changes_nothing() -> None:
    """A 400 for another reason is no proof."""
    world = World(own("qwen"))
    await world.read()
    key = row_id("here", "shop", "uid-1", "qwen")
    failed = Reply(400, b"Can't reach database server")
    world.known.wrote(Call("POST", "/model/delete", body={"id": key}), failed, CALLER)
    assert world.known.own(PREFIX) == {key: "qwen"}


async def test_a_pods_rows_are_shown_as_litellm_shows_them() -> None:
    """Each is asked for by its id; those of others are not."""
    world = World(row("gpt-4o"), own("qwen"), own("lora"), own("qwen", uid="uid-2"))
    rows = await world.known.of(PREFIX)
    assert sorted(each["model_name"] for each in rows) == ["lora", "qwen"]
    assert world.table.calls == ["table", "modelId", "modelId"]


async def test_a_thousand_starting_pods_have_the_table_read_once() -> None:
    """A reading of a moment ago serves all who ask for their own rows."""
    world = World(row("gpt-4o"))
    await asyncio.gather(*(world.known.of(pod_prefix("here", "shop", f"uid-{n}")) for n in range(1000)))
    assert world.table.calls == ["table"]
    world.time += 16
    await world.known.of(PREFIX)
    assert world.table.calls == ["table", "table"]


async def test_a_table_of_many_pages_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page, and again if rows came or went meanwhile and moved others."""
    monkeypatch.setattr(table, "_PAGE", 10)
    world = World(*(row(f"m-{number}") for number in range(35)))
    await world.read()
    assert (world.known.count, len(world.table.calls)) == (35, 4)

    def once() -> None:
        world.table.memory.pop(0)
        world.table.between_pages = lambda: None

    world = World(*(row(f"m-{number}") for number in range(35)))
    world.table.between_pages = once
    await world.read()
    assert await world.known.holders("m-10") == (ELSEWHERE,)


async def test_a_table_that_cannot_be_read_is_said_once_and_when_it_is_over() -> None:
    """One line for each, however long it lasts."""
    world = World(row("gpt-4o"))
    world.table.fault = Reply(503, b"")
    await world.read(3)
    world.table.fault = None
    await world.read(2)
    words = [line.split()[1] for line in world.log.getvalue().splitlines()]
    assert words == ["PROBLEM", "RECOVERED"]


async def test_nothing_is_free_to_be_cleaned_before_the_table_was_read() -> None:
    """Claims of names are not judged by a table that nobody has seen."""
    world = World(row("gpt-4o"))
    assert world.known.holds("qwen", "shop")
    await world.read()
    assert not world.known.holds("qwen", "shop")
    assert not world.known.holds("gpt-4o", "shop")


async def after_a_whole_reading() -> World:
    """Give a world of which all was read 20 s ago."""
    ours = own("qwen")
    ours["model_info"]["registrar"]["pod"] = "qwen-1"
    world = World(row("gpt-4o"), ours)
    assert [each.name for each in (await world.known.whole(90)).rows.values()] == ["qwen"]
    world.time += 20
    return world


async def test_who_removes_rows_gets_none_of_a_reading_before_one_that_failed() -> None:
    """The last one counts: what was whole before is no ground any more."""
    world = await after_a_whole_reading()
    world.table.fault = Reply(500, b"{}")
    with pytest.raises(FaultError):
        await world.known.whole(15)
    with pytest.raises(RefusedError):
        await world.known.whole(90)


async def test_who_removes_rows_gets_none_of_a_reading_before_one_that_missed_some() -> None:
    """A table that changes each time while it is read may have any row or none."""
    world = await after_a_whole_reading()
    world.table.memory += [row(f"more-{number}") for number in range(300)]
    world.table.between_pages = lambda: world.table.memory.append(row(f"new-{len(world.table.memory)}"))
    for oldest in (15, 90):
        with pytest.raises(RefusedError):
            await world.known.whole(oldest)
