"""Blocks: ours, a person's, the reaper's, and a LiteLLM that knows none."""

import httpx

from sidecar.keeper import CHECK_EVERY, CHECK_JITTER
from tests.standins.clock import settle
from tests.unit.keeper.bench import OWNER, Bench, row

MARK = {"blocked_by": "registrar"}


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


async def test_a_block_of_the_reaper_has_a_name_of_its_own_and_is_left_to_it(bench: Bench) -> None:
    """A lost node's rows are blocked by the broker, which also unblocks them: no word of somebody else."""
    bench.keeper.want([row()])
    await settle()
    bench.stored["blocked"] = True
    bench.stored["model_info"]["registrar_reaper"] = "node_not_ready"
    await bench.clock.advance(2 * (CHECK_EVERY + CHECK_JITTER))
    assert bench.blocked()
    assert (bench.said("blocked_by_reaper"), bench.said("blocked_by_someone_else")) == (1, 0)
    assert [entry.state for entry in bench.keeper.entries] == ["blocked_by_reaper"]
    bench.stored["blocked"], bench.stored["model_info"]["registrar_reaper"] = False, ""
    await bench.clock.advance(CHECK_EVERY + CHECK_JITTER)
    assert bench.said("SOLVED") == 1
    assert [entry.state for entry in bench.keeper.entries] == ["registered"]


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
