"""What each answer of LiteLLM's admin API means, by the registrar's and the broker's own clients."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import pytest

from sidecar.access import Failed
from sidecar.litellm import Absent, Outcome
from sidecar.reasons import Reason
from sidecar.registration import Stored
from sidecar.row_contract import row_id
from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM
from tests.real.litellm_versions.blocking import can_block
from tests.real.litellm_versions.conftest import Ask
from webhook.broker.key_abilities import ROUTES, Abilities, Ability, find_out
from webhook.broker.known_rows import KnownRows
from webhook.broker.shapes import Holder
from webhook.broker.upstream import Upstream
from webhook.log import Log

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

CLUSTER: Final = "of-this-suite"
# A second apart.
MOST_LOOKS: Final = 90
NAME: Final = "contract"
KEY: Final = row_id(CLUSTER, "shop", "uid-1", NAME)
OWNER: Final = {"cluster": CLUSTER, "namespace": "shop", "pod_uid": "uid-1", "unknown": ["mode"]}
ROW: Final[Mapping[str, Any]] = {
    "model_name": NAME,
    "litellm_params": {"model": "hosted_vllm/m", "api_base": "http://127.0.0.1:9/v1", "api_key": "none"},
    "model_info": {"id": KEY, "mode": "chat", "supports_vision": False, "registrar": OWNER},
}


def with_info(**info: object) -> dict[str, Any]:
    """Give the row with other facts."""
    return {**ROW, "model_info": {**ROW["model_info"], **info}}


def failed(outcome: Outcome) -> Reason:
    """Give the reason of a call that must have failed."""
    assert isinstance(outcome, Failed), outcome
    return outcome.reason


def stored(outcome: Outcome) -> Stored:
    """Give the row of a call that must have succeeded."""
    assert isinstance(outcome, Stored), outcome
    return outcome


def knows_keys(proxy: LiteLLM, replica: int) -> bool:
    """Tell whether a replica has its database."""
    return proxy.call("GET", "/key/list", replica=replica).is_success


async def ids(look: Callable[[], Awaitable[tuple[Stored, ...] | Failed]]) -> list[str]:
    """Give the ids of what is shown, once anything is.

    1.81.3 may drop a new row when it is just reading the table, for 30 s (`add_deployment` without a lock).
    """
    for _ in range(MOST_LOOKS):
        rows = await look()
        assert not isinstance(rows, Failed)
        if rows:
            return [row.id for row in rows]
        await asyncio.sleep(1)
    return []


async def test_a_row_is_found_as_it_was_made(proxy: LiteLLM, ask: Ask) -> None:
    """Under its own id, with every fact and the ownership block; also by a replica that did not make it."""
    async with ask(0) as here, ask(1) as there:
        stored(await here.create(ROW))
        for client in (here, there):
            found = stored(await client.read(KEY))
            assert (found.name, found.owner) == (NAME, OWNER)
            assert (found.info["mode"], found.info["supports_vision"]) == ("chat", False)
            assert found.params["api_base"] == ROW["litellm_params"]["api_base"]
        assert await ids(lambda: here.named(NAME)) == [KEY]
        assert await ids(lambda: here.table(lambda row: row.owner.get("cluster") == CLUSTER)) == [KEY]
    assert proxy.own_rows().keys() == {KEY}


async def test_the_same_row_again_is_no_second_one(proxy: LiteLLM, ask: Ask) -> None:
    """Of ten creations at once on both replicas one succeeds, the others say so, and PATCH settles it."""
    async with ask(0) as here, ask(1) as there:
        answers = await asyncio.gather(*(client.create(ROW) for client in (here, there) * 5))
        assert [failed(one) for one in answers if not isinstance(one, Stored)] == [
            Reason.LITELLM_NOT_ADDED
        ] * 9
        assert stored(await here.settle(KEY, ROW)).owner == OWNER
    assert proxy.own_rows().keys() == {KEY}


async def test_a_change_leaves_what_it_does_not_name(ask: Ask) -> None:
    """PATCH replaces the keys it names, nested objects whole, keeps the others, and answers the whole row."""
    async with ask(0) as here:
        stored(await here.create(with_info(note={"a": 1, "b": 2})))
        change = {
            "model_info": {"id": KEY, "supports_vision": True, "note": {"a": 3}},
            "litellm_params": {"rpm": 7},
        }
        answered = stored(await here.settle(KEY, change))
        shown = stored(await here.read(KEY))
    for row in (answered, shown):
        assert (row.id, row.name, row.owner) == (KEY, NAME, OWNER)
        assert (row.info["supports_vision"], row.info["mode"], row.info["note"]) == (True, "chat", {"a": 3})
    assert (shown.params["rpm"], shown.params["model"]) == (7, "hosted_vllm/m")


async def test_what_is_not_there_is_said_to_be_absent(ask: Ask) -> None:
    """By PATCH and by DELETE, of a row never made, deleted, deleted elsewhere, or of the configuration."""
    async with ask(0) as here, ask(1) as there:
        assert await here.settle(KEY, ROW) == Absent()
        assert await here.delete(KEY) == Absent()
        stored(await there.create(ROW))
        assert await here.delete(KEY) == Absent()
        # Maybe still in this replica's memory: then it takes the row for one of its configuration.
        assert await there.settle(KEY, ROW) == Absent()
        assert await there.delete(KEY) == Absent()
        config = {**ROW, "model_info": {**ROW["model_info"], "id": "config-row"}}
        assert await here.settle("config-row", config) == Absent()


async def test_without_its_database_nothing_counts_as_gone(proxy: LiteLLM, ask: Ask) -> None:
    """Creation, change and deletion fail for a named reason; the row is there afterwards."""
    async with ask(0) as here:
        stored(await here.create(ROW))
        proxy.stop_database()
        try:
            answers = [await here.create(ROW), await here.settle(KEY, ROW), await here.delete(KEY)]
        finally:
            proxy.start_database()
            wait_until("database", 180, lambda: all(knows_keys(proxy, replica) for replica in (0, 1)))
        # A connection that is cut in the middle of a query is an error as any other to LiteLLM.
        assert {failed(one) for one in answers} <= {
            Reason.LITELLM_DATABASE_DOWN,
            Reason.LITELLM_NOT_ADDED,
            Reason.LITELLM_ERROR,
        }
        assert stored(await here.settle(KEY, ROW)).owner == OWNER


async def test_a_key_that_does_not_suffice_is_named(proxy: LiteLLM, ask: Ask) -> None:
    """One that LiteLLM does not know, and one that may only read."""
    reads = proxy.make_key(allowed_routes=["/v2/model/info"])
    async with ask(0, "sk-of-nobody") as unknown, ask(0, reads) as reader:
        assert failed(await unknown.create(ROW)) is Reason.LITELLM_WRONG_KEY
        assert failed(await reader.create(ROW)) is Reason.LITELLM_KEY_MAY_NOT_WRITE
        assert failed(await reader.settle(KEY, ROW)) is Reason.LITELLM_KEY_MAY_NOT_WRITE
        assert failed(await reader.delete(KEY)) is Reason.LITELLM_KEY_MAY_NOT_WRITE
        assert await reader.read(KEY) == Absent()


async def test_what_the_brokers_key_can_do_is_found_out(proxy: LiteLLM) -> None:
    """The narrowest key suffices and does no more; of a narrower one it is said what it cannot do."""
    narrower = (Ability.CREATE, Ability.CHANGE, Ability.DELETE, Ability.LIST)
    keys = {
        proxy.make_key(allowed_routes=[*ROUTES]): Abilities(),
        proxy.make_key(allowed_routes=["/v2/model/info"]): Abilities(missing=narrower),
    }
    before = proxy.stored()
    for key, abilities in keys.items():
        async with Upstream(proxy.urls[0]) as upstream:
            upstream.use(key)
            assert await find_out(upstream) == abilities
    assert proxy.stored() == before


async def test_who_holds_a_name_is_known_at_once(proxy: LiteLLM) -> None:
    """Also of a row that another replica was asked for a moment ago; a name nobody has is nobody's."""
    async with Upstream(proxy.urls[1]) as upstream:
        upstream.use(proxy.make_key(allowed_routes=[*ROUTES]))
        rows = KnownRows(upstream, CLUSTER, Log(io.StringIO()))
        assert await rows.holders(NAME) == ()
        proxy.create(NAME, ROW["litellm_params"], ROW["model_info"])
        assert await rows.holders(NAME) == (Holder(CLUSTER, "shop"),)
        assert set(await rows.holders("made-in-ui")) == {Holder()}
        assert await rows.holders("not-made") == ()


async def test_a_block_is_kept_or_is_not_known_at_all(proxy: LiteLLM, ask: Ask) -> None:
    """PATCH with `blocked` answers true and the name is 403; a version without it answers nothing of it."""
    async with ask(0) as here:
        stored(await here.create(ROW))
        assert not stored(await here.settle(KEY, ROW)).blocked
        answered = stored(await here.settle(KEY, {**ROW, "blocked": True}))
        shown = stored(await here.read(KEY))
        blocked = True if can_block(proxy) else None
        assert (answered.blocked, shown.blocked) == (blocked, blocked)
        # Where it is not blocked it is sent on to where nothing listens.
        told = 403 if blocked else 500
        wait_until(f"answer {told}", MOST_LOOKS, lambda: proxy.chat(NAME).status_code == told)
        assert not stored(await here.settle(KEY, {**ROW, "blocked": False})).blocked
