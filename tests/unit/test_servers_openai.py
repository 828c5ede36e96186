"""vLLM and other servers of OpenAI's API, by answers recorded from real ones."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sidecar.contract import Engine
from sidecar.reasons import Reason
from sidecar.servers.shapes import Ambiguous, Answer, Model
from tests.standins.canned import Canned

BASE = {
    "id": "tiny",
    "object": "model",
    "created": 1795243987,
    "owned_by": "vllm",
    "root": "/models/tiny-llama",
    "parent": None,
    "max_model_len": 1024,
    "permission": [{"id": "modelperm-9550aeb4a7f0b87e", "object": "model_permission"}],
}
LORA = {**BASE, "id": "ad1", "root": "/models/tiny-lora", "parent": "tiny", "max_model_len": None}
METRICS = 'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_waiting{engine="0"} 1.0\n'
NOT_ALLOWED = httpx.Response(405, json={"detail": "Method Not Allowed"})
VLLM: dict[str, Any] = {
    "/v1/models": {"object": "list", "data": [BASE]},
    "/health": "",
    "/version": {"version": "0.32.0"},
    "/metrics": METRICS,
    "/v1/chat/completions": NOT_ALLOWED,
    "/v1/completions": NOT_ALLOWED,
}
EMBEDDING = {
    "/v1/chat/completions": httpx.Response(404),
    "/v1/embeddings": NOT_ALLOWED,
    "/rerank": NOT_ALLOWED,
    "/classify": NOT_ALLOWED,
}


def listed(*cards: object) -> dict[str, Any]:
    """Give a list of models as an answer."""
    return {"object": "list", "data": list(cards)}


async def answer(server: Canned, engine: Engine = Engine.OPENAI, **settings: Any) -> Answer:
    """Observe once; the server must be well."""
    seen = await server.watched(engine, **settings).observe()
    assert isinstance(seen, Answer), seen
    return seen


async def test_vllm_is_read_whole() -> None:
    """Of a vLLM come its version, models with served context and LoRA parents, and that it has gauges."""
    seen = await answer(Canned({**VLLM, "/v1/models": listed(BASE, LORA)}), Engine.VLLM)
    base = Model("tiny", root="/models/tiny-llama", context=1024, owner="vllm")
    lora = Model("ad1", root="/models/tiny-lora", parent="tiny", context=1024, owner="vllm")
    assert seen == Answer("vllm", "0.32.0", (lora, base), gauges=True)


async def test_steady_state_asks_two_things() -> None:
    """After the first look at a vLLM each poll is one list and one health check."""
    server = Canned(VLLM)
    watched = server.watched(Engine.VLLM)
    first = await watched.observe()
    del server.requests[:]
    assert await watched.observe() == first
    assert server.calls == ["/v1/models", "/health"]


async def test_a_lora_loaded_later_is_a_model() -> None:
    """An adapter loaded at run time is in the next answer, with its parent's context."""
    server = Canned(VLLM)
    watched = server.watched(Engine.VLLM)
    await watched.observe()
    server.routes["/v1/models"] = listed(BASE, LORA)
    seen = await watched.observe()
    assert isinstance(seen, Answer)
    assert [(model.id, model.context) for model in seen.models] == [("ad1", 1024), ("tiny", 1024)]


async def test_nothing_is_inferred_from() -> None:
    """A vLLM is only ever asked by GET: nothing that could make it compute."""
    server = Canned({**VLLM, **EMBEDDING})
    await answer(server, Engine.AUTO)
    assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.parametrize(
    ("routes", "mode"),
    [
        ({}, None),
        (EMBEDDING, "embedding"),
        ({**EMBEDDING, "/v1/embeddings": httpx.Response(404)}, "rerank"),
        (
            {"/v1/chat/completions": httpx.Response(404), "/v1/audio/transcriptions": NOT_ALLOWED},
            "audio_transcription",
        ),
        ({"/v1/chat/completions": httpx.Response(404)}, None),
        ({**EMBEDDING, "/v1/chat/completions": httpx.Response(502)}, None),
        ({**EMBEDDING, "/v1/chat/completions": httpx.Response(599)}, None),
    ],
)
async def test_mode_of_a_vllm(routes: dict[str, Any], mode: str | None) -> None:
    """A vLLM's routes tell its mode where it is certain; one that generates may chat or only complete."""
    seen = await answer(Canned({**VLLM, **routes}), Engine.VLLM)
    assert [model.mode for model in seen.models] == [mode]


async def test_a_dead_engine_is_not_well() -> None:
    """A vLLM that lists its models while /health is 503 is not well."""
    seen = await Canned({**VLLM, "/health": httpx.Response(503)}).watched(Engine.VLLM).observe()
    assert seen == Ambiguous(Reason.SERVER_ERROR, "/health: HTTP 503")


async def test_in_flight_by_gauges() -> None:
    """In flight is running plus waiting, and unknown before the server was seen or once the page is gone."""
    server = Canned(VLLM)
    watched = server.watched(Engine.VLLM)
    assert await watched.in_flight() is None
    await watched.observe()
    assert await watched.in_flight() == 3
    server.routes["/metrics"] = httpx.ReadTimeout("slow")
    assert await watched.in_flight() is None


async def test_no_gauges() -> None:
    """A vLLM without statistics in /metrics has no gauges, and in flight is unknown."""
    server = Canned({**VLLM, "/metrics": "process_cpu_seconds_total 1\n"})
    watched = server.watched(Engine.VLLM)
    seen = await watched.observe()
    assert isinstance(seen, Answer)
    assert not seen.gauges
    assert await watched.in_flight() is None


async def test_key_and_prefix() -> None:
    """Each request carries the server's API key and goes under its path prefix."""
    server = Canned({f"/prefix{path}": reply for path, reply in VLLM.items()})
    await answer(server, Engine.VLLM, key="sk-1", path="/prefix/")
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer sk-1"}
    assert {request.url.path.split("/")[1] for request in server.requests} == {"prefix"}


@pytest.mark.parametrize("key", ["sk-schlüssel", "sk-1\nX-Injected: 1", "sk-\x00"])
async def test_a_key_no_header_can_hold(key: str) -> None:
    """Such a key is not sent, so that the server's own 401 names what is wrong."""
    server = Canned({"/v1/models": httpx.Response(401, json={"error": "Unauthorized"})})
    seen = await server.watched(Engine.VLLM, key=key).observe()
    assert isinstance(seen, Ambiguous)
    assert seen.reason is Reason.SERVER_UNAUTHORIZED
    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://10.0.0.5:8000"),
        ({"path": "/a/b/"}, "http://10.0.0.5:8000/a/b"),
        ({"scheme": "https", "host": "qwen.team.svc", "port": 8443}, "https://qwen.team.svc:8443"),
        ({"host": "fd00::7"}, "http://[fd00::7]:8000"),
    ],
)
def test_address(settings: dict[str, Any], url: str) -> None:
    """The address is the pod's IP or the host that was set, IPv6 in brackets, with port and prefix."""
    assert Canned({}).watched(Engine.VLLM, **settings).base_url == url
