"""Ollama, by answers recorded from 0.17.4."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from sidecar.contract import CloudModels, Engine
from sidecar.reasons import Reason
from sidecar.servers.facts import Ability, Mode
from sidecar.servers.ollama import LOADED_EVERY
from sidecar.servers.shapes import Ambiguous, Answer, Model, Observation
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
    info |= {"llama.embedding_length": 64}
    about = {"model_info": info, "details": {"quantization_level": "Q4_K_M"}, "capabilities": list(able)}
    return {"modelfile": "FROM x", **lines, **about, **more}


def plain(model: Model) -> tuple[Any, ...]:
    """Give mode, context, embedding size and quantization; None is unknown."""
    facts = model.facts
    return facts.mode.value, facts.context.value, facts.embedding_size.value, facts.quantization.value


def context(model: Model) -> int | None:
    """Give the served context length."""
    return model.facts.context.value


class Hub:
    """An Ollama with models: name → (digest, answer of /api/show)."""

    def __init__(self, models: dict[str, tuple[str, dict[str, Any]]], **settings: Any) -> None:
        self.models = models
        self.loaded: list[dict[str, Any]] = []
        self.failing: dict[str, Any] = {}
        self.more_of_tags: dict[str, dict[str, Any]] = {}
        self.order = 1
        self.server = Canned(
            {
                "/v1/models": lambda _: {"object": "list", "data": self._cards()},
                "/api/version": {"version": "0.17.4"},
                "/api/tags": lambda _: {
                    "models": [
                        tag(name, digest) | self.more_of_tags.get(name, {})
                        for name, (digest, _) in self.models.items()
                    ]
                },
                "/api/ps": lambda _: {"models": self.loaded},
                "POST /api/show": self._show,
            }
        )
        self.time = 0.0
        self.watched = self.server.watched(Engine.OLLAMA, now=lambda: self.time, **settings)

    def _cards(self) -> list[dict[str, Any]] | None:
        self.order = -self.order
        return [card(name) for name in self.models][:: self.order] or None

    def _show(self, request: httpx.Request) -> Any:
        name = json.loads(request.content)["model"]
        if name in self.failing:
            return self.failing[name]
        missing = httpx.Response(404, json={"error": f"model '{name}' not found"})
        return self.models[name][1] if name in self.models else missing

    async def look(self) -> Observation:
        """Observe once, 5 s after the last time."""
        self.time += 5.0
        return await self.watched.observe()

    async def models_seen(self) -> dict[str, Model]:
        """Observe once, 5 s after the last time; the server must be well."""
        seen = await self.look()
        assert isinstance(seen, Answer), seen
        return {model.id: model for model in seen.models}


async def test_what_is_pulled_is_served() -> None:
    """Models come with digest, mode and served context, sorted; in flight is not told."""
    hub = Hub({TINY: ("d1", show("completion", "tools", num_ctx=1024)), EMBED: ("d2", show("embedding"))})
    seen = await hub.look()
    assert isinstance(seen, Answer)
    assert (seen.engine, seen.version, seen.gauges) == ("ollama", "0.17.4", False)
    embed, tiny = seen.models
    assert (embed.id, embed.owner, embed.digest) == (EMBED, "library", "d2")
    assert plain(embed) == (Mode.EMBEDDING, 2048, 64, "Q4_K_M")
    assert (tiny.id, tiny.owner, tiny.digest) == (TINY, "library", "d1")
    assert plain(tiny) == (Mode.CHAT, 1024, None, "Q4_K_M")
    assert await hub.watched.in_flight() is None


async def test_steady_state_asks_one_thing() -> None:
    """While nothing is pulled a poll is one list, whatever its order, and the answer stays the same.

    After a change the digests are read once more, see below.
    """
    hub = Hub(
        {TINY: ("d1", show("completion", num_ctx=1024)), PLAIN: ("d2", show("completion", num_ctx=512))}
    )
    first = await hub.look()
    assert await hub.look() == first
    del hub.server.requests[:]
    assert [await hub.look() for _ in range(3)] == [first] * 3
    assert hub.server.calls == ["/v1/models"] * 3


async def test_nothing_loads_a_model() -> None:
    """Only routes that load nothing are asked."""
    hub = Hub({TINY: ("d1", show("completion"))})
    await hub.look()
    free = {"/v1/models", "/api/version", "/api/tags", "/api/ps", "POST /api/show"}
    assert set(hub.server.calls) <= free


async def test_pulled_and_removed_at_run_time() -> None:
    """A model pulled later is shown once, the others are not again; a removed one is gone."""
    hub = Hub({TINY: ("d1", show("completion", num_ctx=1024))})
    await hub.look()
    del hub.server.requests[:]
    hub.models[PLAIN] = ("d2", show("completion", num_ctx=256))
    assert set(await hub.models_seen()) == {TINY, PLAIN}
    assert hub.server.calls.count("POST /api/show") == 1
    del hub.models[TINY]
    assert set(await hub.models_seen()) == {PLAIN}


async def test_another_model_of_the_same_name() -> None:
    """A name whose digest changed is shown anew."""
    hub = Hub({TINY: ("d1", show("completion", "tools", num_ctx=1024))})
    await hub.look()
    hub.models[TINY] = ("d9", show("embedding", num_ctx=512))
    hub.server.routes["/v1/models"] = {"data": [card(TINY, created=1795240000)]}
    model = (await hub.models_seen())[TINY]
    assert model.digest == "d9"
    assert plain(model)[:2] == (Mode.EMBEDDING, 512)
    assert model.facts.ability(Ability.FUNCTION_CALLING).value is False


@pytest.mark.parametrize(
    ("num_ctx", "trained", "served"),
    [(1024, 2048, 1024), (None, 2048, 2048), (None, 131072, 4096), (4096, 2048, 2048), (8192, 131072, 8192)],
)
async def test_context_not_loaded(num_ctx: int | None, trained: int, served: int) -> None:
    """The served context is num_ctx, else Ollama's default of 4096, and never over the trained one."""
    hub = Hub({TINY: ("d1", show("completion", num_ctx=num_ctx, trained=trained))})
    assert context((await hub.models_seen())[TINY]) == served


async def test_context_unknown() -> None:
    """Without anything to go by the context is not known."""
    hub = Hub({TINY: ("d1", {"capabilities": ["completion"]})})
    assert context((await hub.models_seen())[TINY]) is None


async def test_context_once_loaded() -> None:
    """A model without num_ctx is looked for among the loaded ones about once a minute; what is seen stays."""
    hub = Hub({TINY: ("d1", show("completion", trained=131072))})
    assert context((await hub.models_seen())[TINY]) == 4096
    hub.loaded = [{**tag(TINY, "d1"), "context_length": 32768}]
    contexts = [context((await hub.models_seen())[TINY]) for _ in range(LOADED_EVERY)]
    assert contexts == [4096] * (LOADED_EVERY - 1) + [32768]
    hub.loaded = []
    calls = len(hub.server.calls)
    assert [context((await hub.models_seen())[TINY]) for _ in range(LOADED_EVERY)] == [32768] * LOADED_EVERY
    assert hub.server.calls[calls:] == ["/v1/models"] * LOADED_EVERY


CLOUD = show("completion", "tools", trained=262144, remote_host="https://ollama.com:443", remote_model="big")


@pytest.mark.parametrize("told_by_tags", [True, False])
async def test_cloud_models_are_not_served_here(*, told_by_tags: bool) -> None:
    """A model that runs elsewhere is left out, and not asked about where its tag tells."""
    hub = Hub({TINY: ("d1", show("completion")), "big:cloud": ("d2", CLOUD)})
    if told_by_tags:
        hub.more_of_tags = {"big:cloud": {"remote_host": "https://ollama.com:443"}}
    assert set(await hub.models_seen()) == {TINY}
    assert hub.server.calls.count("POST /api/show") == (1 if told_by_tags else 2)


async def test_cloud_models_that_are_wanted() -> None:
    """With the setting they are models like others, and served with their whole context."""
    hub = Hub({"big:cloud": ("d2", CLOUD)}, cloud_models=CloudModels.REGISTER)
    model = (await hub.models_seen())["big:cloud"]
    assert plain(model)[:2] == (Mode.CHAT, 262144)
    assert model.facts.ability(Ability.FUNCTION_CALLING).value is True


async def test_deleted_between_two_questions() -> None:
    """A model listed that cannot be shown is left out, and asked for again."""
    hub = Hub({TINY: ("d1", show("completion"))})
    hub.server.routes["/v1/models"] = {"data": [card(TINY), card(PLAIN)]}
    assert set(await hub.models_seen()) == {TINY}
    hub.models[PLAIN] = ("d2", show("completion"))
    assert set(await hub.models_seen()) == {TINY, PLAIN}


async def test_no_models() -> None:
    """An Ollama without models is well."""
    assert await Hub({}).look() == Answer("ollama", "0.17.4", (), gauges=False)


async def test_a_name_made_twice_in_one_second() -> None:
    """Another digest with the same `created` is seen at the next poll."""
    hub = Hub({TINY: ("d1", show("completion", num_ctx=1024))})
    await hub.models_seen()
    hub.models[TINY] = ("d9", show("embedding", num_ctx=512))
    model = (await hub.models_seen())[TINY]
    assert model.digest == "d9"
    assert plain(model)[:2] == (Mode.EMBEDDING, 512)


async def test_a_failing_show_costs_the_others_nothing() -> None:
    """When /api/show fails for one model the others are told whole; of this one only what its tag says."""
    hub = Hub({TINY: ("d1", show("completion")), PLAIN: ("d2", show("completion"))})
    hub.failing = {TINY: httpx.Response(500, json={"error": "x"})}
    seen = await hub.models_seen()
    assert plain(seen[PLAIN]) == (Mode.CHAT, 2048, None, "Q4_K_M")
    assert plain(seen[TINY]) == (None, None, None, None)
    assert seen[TINY].digest == "d1"


@pytest.mark.parametrize(
    "failure",
    [httpx.Response(500), httpx.Response(403), httpx.Response(200, text="["), httpx.ReadTimeout("slow")],
)
async def test_a_failing_show_is_tried_again(failure: Any) -> None:
    """It is asked for again at the next poll, and what it then says counts."""
    hub = Hub({TINY: ("d1", show("completion"))})
    hub.failing = {TINY: failure}
    await hub.models_seen()
    hub.failing = {}
    assert (await hub.models_seen())[TINY].facts.mode.value is Mode.CHAT


async def test_a_show_that_goes_on_failing_is_asked_for_less_and_less() -> None:
    """After 1, 2, 4, 8 polls and then every 12, so that a broken model costs little."""
    hub = Hub({TINY: ("d1", show("completion"))})
    hub.failing = {TINY: httpx.Response(500)}
    asked = []
    for _ in range(40):
        before = hub.server.calls.count("POST /api/show")
        await hub.models_seen()
        asked.append(hub.server.calls.count("POST /api/show") - before)
    assert [poll for poll, count in enumerate(asked) if count] == [0, 1, 3, 7, 15, 27, 39]


async def test_a_tag_whose_new_digest_cannot_be_shown_keeps_nothing_of_the_old() -> None:
    """The facts of one digest are never those of another: until it is shown they are unknown."""
    hub = Hub({TINY: ("d1", show("completion", "tools", num_ctx=1024))})
    await hub.models_seen()
    hub.models[TINY] = ("d9", show("embedding"))
    hub.failing = {TINY: httpx.Response(500)}
    hub.server.routes["/v1/models"] = {"data": [card(TINY, created=1795240000)]}
    model = (await hub.models_seen())[TINY]
    assert model.digest == "d9"
    assert plain(model) == (None, None, None, None)
    assert model.facts.ability(Ability.FUNCTION_CALLING).value is None


async def test_loaded_models_that_cannot_be_listed_are_no_fault() -> None:
    """When /api/ps fails the context is the one known without it."""
    hub = Hub({TINY: ("d1", show("completion", trained=131072))})
    hub.server.routes["/api/ps"] = httpx.Response(500)
    assert context((await hub.models_seen())[TINY]) == 4096


async def test_no_ollama_at_all() -> None:
    """A server labelled ollama that has none of its routes is named as what it is not."""
    seen = await Canned({"/v1/models": {"data": []}}).watched(Engine.OLLAMA).observe()
    assert seen == Ambiguous(Reason.SERVER_NO_MODEL_LIST, "/api/version: HTTP 404")
