"""Weights: a row and the others of its name."""

from dataclasses import replace
from typing import Any

import httpx

from sidecar.keeper import CHECK_EVERY, CHECK_JITTER
from tests.standins.clock import settle
from tests.unit.keeper.bench import Bench, row


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
