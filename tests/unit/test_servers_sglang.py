"""SGLang, by the sources of 0.5.23; what is true of which of its answers is in the table."""

from __future__ import annotations

import json
from typing import Any

import httpx

from sidecar.contract import Engine
from sidecar.reasons import Reason
from sidecar.servers.shapes import Ambiguous, Answer
from tests.standins.canned import Canned

ROUTES: dict[str, Any] = {
    "/v1/models": {"object": "list", "data": [{"id": "m", "owned_by": "sglang", "max_model_len": 4096}]},
    "/ready": "",
    "/model_info": {"model_path": "m", "is_generation": True, "architectures": ["Qwen3ForCausalLM"]},
    "/metrics": 'sglang:num_running_reqs{model_name="m"} 1\nsglang:num_queue_reqs{model_name="m"} 1\n',
    "POST /tokenize": lambda request: {"count": len(json.loads(request.content)["messages"])},
}


async def test_health_is_never_asked() -> None:
    """Never /health, which generates a token, and nothing but /tokenize is posted to."""
    server = Canned(ROUTES)
    watched = server.watched(Engine.OPENAI)
    seen = await watched.observe()
    assert isinstance(seen, Answer)
    assert (seen.engine, seen.gauges) == ("sglang", True)
    assert await watched.in_flight() == 2
    assert "/health" not in server.calls
    assert {call for call in server.calls if call.startswith("POST")} == {"POST /tokenize"}


async def test_it_must_be_ready() -> None:
    """A server that starts is not well."""
    starting = Canned({**ROUTES, "/ready": httpx.Response(503)})
    seen = await starting.watched(Engine.OPENAI).observe()
    assert seen == Ambiguous(Reason.SERVER_ERROR, "/ready: HTTP 503")


async def test_one_that_does_not_generate_is_not_taken_for_chat() -> None:
    """Messages can be tokenized for any model with a template, so only one that generates is asked."""
    reward = {"model_path": "m", "is_generation": False, "architectures": ["Qwen2ForRewardModel"]}
    server = Canned({**ROUTES, "/model_info": reward})
    seen = await server.watched(Engine.OPENAI).observe()
    assert isinstance(seen, Answer)
    assert not seen.models[0].facts.mode.known
    assert "POST /tokenize" not in server.calls
