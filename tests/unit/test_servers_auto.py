"""Which engine a server is."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sidecar.contract import Engine
from sidecar.reasons import Reason
from sidecar.servers.shapes import Ambiguous, Answer
from tests.standins.canned import Canned
from tests.standins.clock import FakeClock

OLLAMA = {
    "/api/version": {"version": "0.17.4"},
    "/": "Ollama is running",
    "/api/tags": {"models": []},
    "/api/ps": {"models": []},
}
READY = {"/v1/health/ready": {"object": "health.response", "message": "ready"}}


def by(owner: str | None) -> dict[str, Any]:
    """Give a list with one model of this owner."""
    return {"/v1/models": {"object": "list", "data": [{"id": "m", "owned_by": owner}]}}


@pytest.mark.parametrize(
    ("routes", "engine"),
    [
        (by("vllm"), "vllm"),
        ({**by("vllm"), **READY}, "nim"),
        (by("sglang"), "sglang"),
        ({**by("sglang"), **OLLAMA}, "sglang"),
        (by("llamacpp"), "llama.cpp"),
        (by("infinity"), "infinity"),
        (by("me"), "llama-cpp-python"),
        ({"/v1/models": {"object": "list", "data": None}, **OLLAMA}, "ollama"),
        ({**by("library"), **OLLAMA}, "ollama"),
        ({**by(None), "/api/version": {"version": "1"}, "/": "welcome"}, "openai"),
        ({**by(None), "/model_info": {"model_path": "m", "is_generation": True}}, "sglang"),
        ({**by(None), "/props": {"default_generation_settings": {}}}, "llama.cpp"),
        ({**by(None), "/info": {"model_id": "m", "max_total_tokens": 4096}}, "tgi"),
        ({**by(None), "/.well-known/localai.json": {"version": "4.9"}}, "localai"),
        ({**by(None), "/api/v0/models": {"object": "list", "data": []}}, "lm-studio"),
        (by("acme"), "openai"),
        ({**by("acme"), "/v1/health/ready": "<html>"}, "openai"),
    ],
)
async def test_fingerprints(routes: dict[str, Any], engine: str) -> None:
    """Each engine is told by what only it answers, in an order in which none hides another."""
    seen = await Canned(routes).watched(Engine.AUTO).observe()
    assert isinstance(seen, Answer), seen
    assert seen.engine == engine


@pytest.mark.parametrize("busy", [429, 502, 503])
async def test_a_half_started_server_is_not_taken_for_another(busy: int) -> None:
    """A NIM whose front is not ready lists its models: it is no vLLM. Nor is a busy llama-server just any."""
    for routes, path, ready, engine in (
        (by("vllm"), "/v1/health/ready", {"message": "ready"}, "nim"),
        (by(None), "/props", {"default_generation_settings": {}}, "llama.cpp"),
    ):
        server = Canned({**routes, path: httpx.Response(busy)})
        watched = server.watched(Engine.AUTO)
        assert isinstance(await watched.observe(), Ambiguous)
        server.routes[path] = ready
        seen = await watched.observe()
        assert isinstance(seen, Answer)
        assert seen.engine == engine


async def test_a_front_that_is_busy_for_ever_is_any_server() -> None:
    """After a quarter of a minute, long before it counts as ill, a route that still answers 503 is none."""
    clock = FakeClock()
    watched = Canned({**by(None), "/props": httpx.Response(503)}).watched(Engine.AUTO, now=clock.now)
    assert isinstance(await watched.observe(), Ambiguous)
    await clock.advance(15)
    seen = await watched.observe()
    assert isinstance(seen, Answer)
    assert seen.engine == "openai"


class Everywhere(Canned):
    """Answers every route with 200."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer from the table, and all else with the same object."""
        anything = httpx.Response(200, json=self.routes["anything"])
        return super().__call__(request) if request.url.path in self.routes else anything


@pytest.mark.parametrize("owner", ["vllm", "sglang", "llamacpp", "library"])
@pytest.mark.parametrize("anything", [{}, {"version": "1", "message": "ready"}, by("vllm")["/v1/models"]])
async def test_a_server_that_answers_every_route_is_no_engine(owner: str, anything: dict[str, Any]) -> None:
    """Neither its owner nor any fingerprint counts of a server for which every route exists."""
    seen = await Everywhere({**by(owner), "anything": anything}).watched(Engine.AUTO).observe()
    assert isinstance(seen, Answer)
    assert seen.engine == "openai"


async def test_what_it_answers_in_another_way_counts() -> None:
    """LM Studio answers unknown routes with 200 and an error; its own route it answers otherwise."""
    own = {"/api/v0/models": {"object": "list", "data": [{"id": "m", "type": "llm"}]}}
    server = Everywhere({**by("acme"), **own, "anything": {"error": "Unexpected endpoint or method"}})
    seen = await server.watched(Engine.AUTO).observe()
    assert isinstance(seen, Answer)
    assert seen.engine == "lm-studio"
    assert seen.models[0].facts.mode.value == "chat"


async def test_llama_server_by_its_header() -> None:
    """A llama-server is told by its Server header, whatever owner it names."""
    listed = httpx.Response(200, json=by("alias")["/v1/models"], headers={"Server": "llama.cpp"})
    seen = await Canned({"/v1/models": listed}).watched(Engine.AUTO).observe()
    assert isinstance(seen, Answer)
    assert seen.engine == "llama.cpp"


async def test_models_of_two_owners_are_no_engines() -> None:
    """A front with models of several engines is none of them."""
    cards = [{"id": "a", "owned_by": "vllm"}, {"id": "b", "owned_by": "sglang"}]
    seen = await Canned({"/v1/models": {"data": cards}}).watched(Engine.AUTO).observe()
    assert isinstance(seen, Answer)
    assert seen.engine == "openai"


async def test_asked_once() -> None:
    """The engine is found once; then only its own routes are asked."""
    server = Canned(by("acme"))
    watched = server.watched(Engine.AUTO)
    await watched.observe()
    del server.requests[:]
    await watched.observe()
    assert server.calls == ["/v1/models"]


async def test_forgotten_when_refused() -> None:
    """After a refusal another engine may be there, so it is found anew."""
    server = Canned(by("acme"))
    # A host that is set: loopback is not looked at.
    watched = server.watched(Engine.AUTO, host="qwen.example")
    await watched.observe()
    refusal = httpx.ConnectError("All connection attempts failed")
    refusal.__cause__ = ConnectionRefusedError(111, "Connection refused")
    server.routes["/v1/models"] = refusal
    await watched.observe()
    server.routes.update(by("llamacpp"))
    seen = await watched.observe()
    assert isinstance(seen, Answer)
    assert seen.engine == "llama.cpp"


async def test_a_hanging_fingerprint_is_not_an_answer() -> None:
    """When a fingerprint's route hangs the engine is not guessed; the next poll asks again."""
    server = Canned({**by("acme"), "/api/version": httpx.ReadTimeout("slow")})
    watched = server.watched(Engine.AUTO)
    seen = await watched.observe()
    assert isinstance(seen, Ambiguous)
    assert seen.reason is Reason.SERVER_TIMEOUT
    server.routes.update(OLLAMA)
    server.routes["POST /api/show"] = {"capabilities": ["completion"]}
    again = await watched.observe()
    assert isinstance(again, Answer)
    assert again.engine == "ollama"


async def test_nim_has_its_own_routes() -> None:
    """NIM is asked for its own health, version and metrics, and its gauges are vLLM's."""
    gauges = "vllm:num_requests_running 1\nvllm:num_requests_waiting 0\n"
    server = Canned({**by("vllm"), **READY, "/v1/version": {"release": "2.0.1"}, "/v1/metrics": gauges})
    watched = server.watched(Engine.AUTO)
    seen = await watched.observe()
    assert isinstance(seen, Answer)
    assert (seen.engine, seen.version, seen.gauges) == ("nim", "2.0.1", True)
    assert await watched.in_flight() == 1
    server.routes["/v1/health/ready"] = httpx.Response(503)
    assert await watched.observe() == Ambiguous(Reason.SERVER_ERROR, "/v1/health/ready: HTTP 503")


async def test_label_openai_asks_no_fingerprints() -> None:
    """With the label openai only the list itself tells the engine; no other engine's routes are tried."""
    server = Canned({**by("library"), **OLLAMA})
    seen = await server.watched(Engine.OPENAI).observe()
    assert isinstance(seen, Answer)
    assert seen.engine == "openai"
    assert server.calls == ["/v1/models"]
