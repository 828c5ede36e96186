"""llama.cpp's server, by answers recorded from llama-server b1-0c1e570; see the table for what is true."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sidecar.contract import Engine
from sidecar.reasons import Reason
from sidecar.servers.shapes import Ambiguous, Answer, Asleep
from tests.standins.canned import Canned

CARD = {
    "id": "tiny",
    "aliases": ["tiny"],
    "object": "model",
    "created": 1795243446,
    "owned_by": "llamacpp",
    "meta": {"n_vocab": 264, "n_ctx": 4096, "n_ctx_train": 8192, "n_embd": 512, "ftype": "all F32"},
}
PROPS: dict[str, Any] = {
    "default_generation_settings": {"n_ctx": 2048},
    "modalities": {"vision": False, "video": False, "audio": False},
    "chat_template": "{{ messages }}",
    "chat_template_caps": {
        "supports_tools": True,
        "supports_tool_calls": True,
        "supports_parallel_tool_calls": True,
        "supports_system_role": True,
    },
    "build_info": "b1-0c1e570",
    "is_sleeping": False,
}
GAUGES = "llamacpp:requests_processing 1\nllamacpp:requests_deferred 2\n"


def refusal(status: int, message: str) -> httpx.Response:
    """Give an error as llama-server writes it."""
    return httpx.Response(status, json={"error": {"code": status, "message": message, "type": "x"}})


def server(*cards: dict[str, Any], **routes: Any) -> Canned:
    """Give a llama-server that chats, with these cards."""
    return Canned(
        {
            "/v1/models": {"object": "list", "data": list(cards or (CARD,))},
            "/props": PROPS,
            "POST /v1/embeddings": refusal(501, "This server does not support embeddings. `--embeddings`"),
            "POST /v1/chat/completions": refusal(400, "'messages' is required"),
            **routes,
        }
    )


async def seen(canned: Canned) -> Answer:
    """Observe once; the server must be well."""
    answer = await canned.watched(Engine.OPENAI).observe()
    assert isinstance(answer, Answer), answer
    return answer


async def test_version_and_gauges() -> None:
    """A llama-server tells its build, and has gauges only if it was started with them."""
    canned = server(**{"/metrics": httpx.Response(501)})
    answer = await seen(canned)
    assert (answer.engine, answer.version, answer.gauges) == ("llama.cpp", "b1-0c1e570", False)
    canned = server(**{"/metrics": GAUGES})
    watched = canned.watched(Engine.OPENAI)
    again = await watched.observe()
    assert isinstance(again, Answer)
    assert again.gauges
    assert await watched.in_flight() == 3


async def test_context_without_meta() -> None:
    """Where a card has no context, /props has."""
    answer = await seen(server({key: value for key, value in CARD.items() if key != "meta"}))
    assert [model.facts.context.value for model in answer.models] == [2048]


async def test_loading() -> None:
    """A llama-server that loads its model says so on every route."""
    loading = refusal(503, "Loading model")
    answer = await Canned({"/v1/models": loading}).watched(Engine.AUTO).observe()
    assert answer == Ambiguous(Reason.SERVER_LOADING, "/v1/models: HTTP 503")


async def test_nothing_posted_has_messages_or_input() -> None:
    """What is posted misses what is needed to compute, and is posted once."""
    canned = server()
    watched = canned.watched(Engine.OPENAI)
    first = await watched.observe()
    posted = [request for request in canned.requests if request.method == "POST"]
    assert posted
    assert not any(
        word in request.content for request in posted for word in (b"messages", b"input", b"prompt")
    )
    del canned.requests[:]
    assert await watched.observe() == first
    assert not [call for call in canned.calls if call.startswith("POST")]


async def test_a_sleeping_server_is_only_asked_what_does_not_wake_it() -> None:
    """While it sleeps only routes are asked that were measured not to wake it, and it stays asleep."""
    canned = server(**{"/props": {**PROPS, "is_sleeping": True}})
    watched = canned.watched(Engine.OPENAI)
    for _ in range(3):
        assert isinstance(await watched.observe(), Asleep)
    assert set(canned.calls) <= {"/v1/models", "/props", "/metrics", "/health"}


async def test_woken() -> None:
    """Once it is awake it is asked, and serves."""
    canned = server(**{"/props": {**PROPS, "is_sleeping": True}})
    watched = canned.watched(Engine.OPENAI)
    await watched.observe()
    canned.routes["/props"] = PROPS
    answer = await watched.observe()
    assert isinstance(answer, Answer)
    assert answer.models[0].facts.mode.value == "chat"


@pytest.mark.parametrize("status", ["unloaded", "loading", "sleeping", "failed"])
async def test_a_router_loads_nothing_by_our_asking(status: str) -> None:
    """Of a router's model that is not loaded nothing is asked; /props and POSTs would load it."""
    canned = server({**CARD, "meta": None, "status": {"value": status}})
    answer = await seen(canned)
    assert not [call for call in canned.calls if call.startswith("POST")]
    assert not [request for request in canned.requests if request.url.query]
    assert not answer.models[0].facts.mode.known


async def test_a_router_is_asked_about_what_is_loaded() -> None:
    """Each question names the model, and forbids to load it should it be gone meanwhile."""
    canned = server({**CARD, "id": "a b", "status": {"value": "loaded"}})
    answer = await seen(canned)
    assert answer.models[0].facts.mode.value == "chat"
    asked = [request for request in canned.requests if request.method == "POST" or request.url.query]
    assert {request.url.query for request in asked} == {b"model=a%20b&autoload=false"}
