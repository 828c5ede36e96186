"""What an earlier life of the registrar has left, and what is others'."""

import json
from dataclasses import replace

import pytest

from sidecar.broker_contract import State
from sidecar.contract import Alias
from sidecar.row_contract import row_id
from sidecar.servers.shapes import Observation
from tests.standins.registrar import SETTINGS, Cluster
from tests.standins.scripted import REFUSED, ScriptedServer, serving


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
