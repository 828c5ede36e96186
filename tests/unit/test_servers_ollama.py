"""Ollama, by answers recorded from 0.17.4."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from sidecar.contract import Engine
from sidecar.reasons import Reason
from sidecar.servers.ollama import LOADED_EVERY
from sidecar.servers.shapes import Ambiguous, Answer, Model
from tests.standins.canned import Canned

TINY, PLAIN, EMBED = "tiny:latest", "tiny-plain:latest", "tiny-embed:latest"


def card(name: str, created: int = 1795235748) -> dict[str, Any]:
    """Give a card of /v1/models."""
    return {"id": name, "object": "model", "created": created, "owned_by": "library"}


def tag(name: str, digest: str) -> dict[str, Any]:
    """Give an entry of /api/tags or /api/ps."""
    return {"name": name, "model": name, "size": 470877, "digest": digest, "details": {"format": "gguf"}}


def show(*able: str, num_ctx: int | None = None, trained: int = 2048, **more: Any) -> dict[str, Any]:
    """Give an answer of /api/show."""
    lines = (
        {}
        if num_ctx is None
        else {"parameters": f"num_thread    1\nnum_ctx                        {num_ctx}\n"}
    )
    info = {"general.architecture": "llama", "llama.context_length": trained, "tokenizer.ggml.tokens": None}
    return {"modelfile": "FROM x", **lines, "model_info": info, "capabilities": list(able), **more}


class Hub:
    """An Ollama with models: name → (digest, answer of /api/show)."""

    def __init__(self, models: dict[str, tuple[str, dict[str, Any]]]) -> None:
        self.models = models
        self.loaded: list[dict[str, Any]] = []
        self.order = 1
        self.server = Canned(
            {
                "/v1/models": lambda _: {"object": "list", "data": self._cards()},
                "/api/version": {"version": "0.17.4"},
                "/api/tags": lambda _: {
                    "models": [tag(name, digest) for name, (digest, _) in self.models.items()]
                },
                "/api/ps": lambda _: {"models": self.loaded},
                "POST /api/show": self._show,
            }
        )
        self.watched = self.server.watched(Engine.OLLAMA)

    def _cards(self) -> list[dict[str, Any]] | None:
        self.order = -self.order
        return [card(name) for name in self.models][:: self.order] or None

    def _show(self, request: httpx.Request) -> Any:
        name = json.loads(request.content)["model"]
        missing = httpx.Response(404, json={"error": f"model '{name}' not found"})
        return self.models[name][1] if name in self.models else missing

    async def models_seen(self) -> dict[str, Model]:
        """Observe once; the server must be well."""
        seen = await self.watched.observe()
        assert isinstance(seen, Answer), seen
        return {model.id: model for model in seen.models}


async def test_what_is_pulled_is_served() -> None:
    """Models come with digest, mode and served context, sorted; in flight is not told."""
    hub = Hub({TINY: ("d1", show("completion", "tools", num_ctx=1024)), EMBED: ("d2", show("embedding"))})
    seen = await hub.watched.observe()
    embed = Model(EMBED, mode="embedding", context=2048, owner="library", digest="d2")
    tiny = Model(TINY, mode="chat", context=1024, owner="library", digest="d1")
    assert seen == Answer("ollama", "0.17.4", (embed, tiny), gauges=False)
    assert await hub.watched.in_flight() is None


async def test_steady_state_asks_one_thing() -> None:
    """While nothing is pulled a poll is one list, whatever its order, and the answer stays the same."""
    hub = Hub(
        {TINY: ("d1", show("completion", num_ctx=1024)), PLAIN: ("d2", show("completion", num_ctx=512))}
    )
    first = await hub.watched.observe()
    del hub.server.requests[:]
    assert [await hub.watched.observe() for _ in range(3)] == [first] * 3
    assert hub.server.calls == ["/v1/models"] * 3


async def test_nothing_loads_a_model() -> None:
    """Only routes that load nothing are asked."""
    hub = Hub({TINY: ("d1", show("completion"))})
    await hub.watched.observe()
    free = {"/v1/models", "/api/version", "/api/tags", "/api/ps", "POST /api/show"}
    assert set(hub.server.calls) <= free


async def test_pulled_and_removed_at_run_time() -> None:
    """A model pulled later is shown once, the others are not again; a removed one is gone."""
    hub = Hub({TINY: ("d1", show("completion", num_ctx=1024))})
    await hub.watched.observe()
    del hub.server.requests[:]
    hub.models[PLAIN] = ("d2", show("completion", num_ctx=256))
    assert set(await hub.models_seen()) == {TINY, PLAIN}
    assert hub.server.calls.count("POST /api/show") == 1
    del hub.models[TINY]
    assert set(await hub.models_seen()) == {PLAIN}


async def test_another_model_of_the_same_name() -> None:
    """A name whose digest changed is shown anew."""
    hub = Hub({TINY: ("d1", show("completion", num_ctx=1024))})
    await hub.watched.observe()
    hub.models[TINY] = ("d9", show("embedding", num_ctx=512))
    hub.server.routes["/v1/models"] = {"data": [card(TINY, created=1795240000)]}
    model = (await hub.models_seen())[TINY]
    assert (model.digest, model.mode, model.context) == ("d9", "embedding", 512)


@pytest.mark.parametrize(
    ("num_ctx", "trained", "context"),
    [(1024, 2048, 1024), (None, 2048, 2048), (None, 131072, 4096), (4096, 2048, 2048), (8192, 131072, 8192)],
)
async def test_context_not_loaded(num_ctx: int | None, trained: int, context: int) -> None:
    """The served context is num_ctx, else Ollama's default of 4096, and never over the trained one."""
    hub = Hub({TINY: ("d1", show("completion", num_ctx=num_ctx, trained=trained))})
    assert (await hub.models_seen())[TINY].context == context


async def test_context_unknown() -> None:
    """Without anything to go by the context is not known."""
    hub = Hub({TINY: ("d1", {"capabilities": ["completion"]})})
    assert (await hub.models_seen())[TINY].context is None


async def test_context_once_loaded() -> None:
    """A model without num_ctx is looked for among the loaded ones about once a minute; what is seen stays."""
    hub = Hub({TINY: ("d1", show("completion", trained=131072))})
    assert (await hub.models_seen())[TINY].context == 4096
    hub.loaded = [{**tag(TINY, "d1"), "context_length": 32768}]
    contexts = [(await hub.models_seen())[TINY].context for _ in range(LOADED_EVERY)]
    assert contexts == [4096] * (LOADED_EVERY - 1) + [32768]
    hub.loaded = []
    calls = len(hub.server.calls)
    assert [(await hub.models_seen())[TINY].context for _ in range(LOADED_EVERY)] == [32768] * LOADED_EVERY
    assert hub.server.calls[calls:] == ["/v1/models"] * LOADED_EVERY


@pytest.mark.parametrize(
    ("able", "mode"),
    [
        (["completion", "vision"], "chat"),
        (["completion", "embedding"], "chat"),
        (["image"], None),
        ([], None),
    ],
)
async def test_mode(able: list[str], mode: str | None) -> None:
    """What can complete chats; what can only embed embeds; the rest is not certain."""
    hub = Hub({TINY: ("d1", show(*able))})
    assert (await hub.models_seen())[TINY].mode == mode


async def test_older_ollama_without_capabilities() -> None:
    """An Ollama that tells no capabilities leaves the mode unknown."""
    hub = Hub({TINY: ("d1", {"model_info": None, "parameters": None})})
    assert (await hub.models_seen())[TINY].mode is None


async def test_cloud_models_are_not_served_here() -> None:
    """A model that runs elsewhere is left out."""
    cloud = show("completion", remote_host="https://ollama.com:443", remote_model="big")
    hub = Hub({TINY: ("d1", show("completion")), "big:cloud": ("d2", cloud)})
    assert set(await hub.models_seen()) == {TINY}


async def test_deleted_between_two_questions() -> None:
    """A model listed that cannot be shown is left out, and asked for again."""
    hub = Hub({TINY: ("d1", show("completion"))})
    hub.server.routes["/v1/models"] = {"data": [card(TINY), card(PLAIN)]}
    assert set(await hub.models_seen()) == {TINY}
    hub.models[PLAIN] = ("d2", show("completion"))
    assert set(await hub.models_seen()) == {TINY, PLAIN}


async def test_no_models() -> None:
    """An Ollama without models is well."""
    assert await Hub({}).watched.observe() == Answer("ollama", "0.17.4", (), gauges=False)


async def test_a_failing_show_is_ambiguous_and_tried_again() -> None:
    """When /api/show fails the poll is ambiguous; the next one goes on where it stopped."""
    hub = Hub({TINY: ("d1", show("completion"))})
    healthy = hub.server.routes["POST /api/show"]
    hub.server.routes["POST /api/show"] = httpx.Response(500, json={"error": "x"})
    assert await hub.watched.observe() == Ambiguous(Reason.SERVER_ERROR, "/api/show: HTTP 500")
    hub.server.routes["POST /api/show"] = healthy
    assert set(await hub.models_seen()) == {TINY}


async def test_no_ollama_at_all() -> None:
    """A server labelled ollama that has none of its routes is named as what it is not."""
    seen = await Canned({"/v1/models": {"data": []}}).watched(Engine.OLLAMA).observe()
    assert seen == Ambiguous(Reason.SERVER_NO_MODEL_LIST, "/api/version: HTTP 404")
