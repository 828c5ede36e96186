"""Rows are looked at once a minute, and put back as they are wanted."""

import httpx

from sidecar.keeper import CHECK_EVERY, CHECK_JITTER
from tests.standins.clock import settle
from tests.unit.keeper.bench import OWNER, Bench, row

REFUSED = httpx.ConnectError("All connection attempts failed")


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
