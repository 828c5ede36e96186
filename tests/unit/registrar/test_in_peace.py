"""The agent while nothing happens: what it asks, writes and tells."""

import asyncio
import json
from dataclasses import replace
from typing import Any

from sidecar.keeper import CHECK_EVERY, CHECK_JITTER
from sidecar.row_contract import row_id
from tests.standins.registrar import SETTINGS, Cluster, Pod
from tests.standins.scripted import ScriptedServer, serving


async def test_steady_state_is_one_small_call_a_minute(pod: Pod) -> None:
    """An hour of serving one model: at most one GET a minute, by id or by name, nothing else."""
    await pod.serve()
    await pod.clock.advance(1)
    pod.table.calls.clear()
    await pod.clock.advance(3600)
    assert set(pod.table.calls) == {"read", "named"}
    assert 3600 / (CHECK_EVERY + CHECK_JITTER) - 1 <= pod.table.calls.total() <= 60


async def test_no_line_is_written_while_nothing_changes(pod: Pod) -> None:
    """An hour of serving is silent."""
    await pod.serve()
    pod.lines.clear()
    await pod.clock.advance(3600)
    assert pod.lines == []


async def test_a_fault_of_our_own_is_said_and_survived(pod: Pod) -> None:
    """A registrar that exits makes its pod unready for ever: it goes on."""

    async def broken() -> Any:
        raise RuntimeError("surprise")

    await pod.serve()
    observe, pod.server.observe = pod.server.observe, broken  # type: ignore[method-assign]
    await pod.clock.advance(12)
    assert pod.said("internal_error") == 1
    pod.server.observe = observe  # type: ignore[method-assign]
    pod.server.seen = serving("m", "n")
    await pod.clock.advance(12)
    assert pod.names() == {"m", "n"}


async def test_status_tells_it_all(pod: Pod) -> None:
    """/status: state, since when, what is served, each row, what is wrong; JSON without secrets."""
    await pod.clock.advance(3)
    await pod.serve()
    status = json.loads(json.dumps(pod.agent.status()))
    facts = status["models"].pop("m")
    assert facts["context"] == {"value": 1024, "origin": "engine"}
    assert facts["supports_vision"] == {"value": None, "origin": None}
    assert status == {
        "state": "serving",
        "since": "2026-11-21T06:00:03.250Z",
        "ready": True,
        "server": "http://10.0.0.5:8000",
        "engine": "vllm",
        "version": "0.32.0",
        "models": {},
        "rows": [
            {"id": row_id("c1", "team", "u1", "m"), "model_name": "m", "model": "m", "state": "registered"}
        ],
        "waiting_for": None,
        "in_flight": None,
        "problems": [],
        "last_problem": {
            "reason": "server_refused",
            "detail": "/v1/models: connection refused",
            "since": "2026-11-21T06:00:00.000Z",
        },
    }
    pod.server.gauge = 2
    draining = asyncio.ensure_future(pod.agent.drain("preStop"))
    await pod.clock.advance(1)
    status = pod.agent.status()
    assert not draining.done()
    assert (status["state"], status["waiting_for"], status["in_flight"]) == ("draining", "propagating", 2)


async def test_a_short_poll_interval_is_honoured(cluster: Cluster) -> None:
    """`poll-interval` below a second polls so often while serving."""
    pod = cluster.start(ScriptedServer(serving("m")), replace(SETTINGS, poll_interval=0.5))
    await pod.clock.advance(1)
    before = pod.server.looks
    await pod.clock.advance(10)
    assert pod.server.looks - before == 20
