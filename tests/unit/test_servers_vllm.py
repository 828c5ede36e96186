"""vLLM and NIM, by answers recorded from vLLM 0.32.0 (`tests/standins/vllm_answers.py`) or read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from sidecar.contract import Engine, Probing, WhenAsleep
from sidecar.reasons import Reason
from sidecar.servers.facts import Ability, Mode, Origin
from sidecar.servers.shapes import Ambiguous, Answer, Asleep, Model
from tests.standins.canned import HANGS, Canned
from tests.standins.clock import FakeClock
from tests.standins.vllm_answers import ROUTES, Loaded, details, error, refused_chat, tokenize

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
METRICS = (
    'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_waiting{engine="0"} 1.0\n'
    'vllm:cache_config_info{block_size="128",enable_prefix_caching="True",engine="0"} 1.0\n'
)
NOT_ALLOWED = httpx.Response(405, json={"detail": "Method Not Allowed"})
TOKENIZE = "POST /tokenize"
CHAT = "POST /v1/chat/completions"
TOOLS = (Ability.FUNCTION_CALLING, Ability.TOOL_CHOICE, Ability.PARALLEL_FUNCTION_CALLING)


def listed(*cards: object) -> dict[str, Any]:
    """Give a list of models as an answer."""
    return {"object": "list", "data": list(cards)}


def vllm(loaded: Loaded | None = None, *, routes: Mapping[str, Any] | None = None) -> Canned:
    """Give a vLLM with this model; `routes` in place of its own."""
    model = loaded or Loaded()

    def tokenized(request: httpx.Request) -> httpx.Response:
        status, answer = tokenize(model, json.loads(request.content))
        return httpx.Response(status, json=answer)

    def chat(request: httpx.Request) -> Any:
        refused = refused_chat(model, json.loads(request.content))
        return {"usage": {"completion_tokens_details": details(model)}} if refused is None else bad(refused)

    own: dict[str, Any] = {
        "/v1/models": listed(BASE),
        "/health": "",
        "/version": {"version": "0.32.0"},
        "/metrics": METRICS,
        TOKENIZE: tokenized,
        **dict.fromkeys(ROUTES[model.task], NOT_ALLOWED),
    }
    if model.task == "generate":
        own[CHAT] = chat
    return Canned({**own, **(routes or {})})


def bad(body: Any) -> httpx.Response:
    """Give a 400."""
    return httpx.Response(400, json=body)


async def answer(server: Canned, engine: Engine = Engine.VLLM, **settings: Any) -> Answer:
    """Observe once; the server must be well."""
    seen = await server.watched(engine, **settings).observe()
    assert isinstance(seen, Answer), seen
    return seen


async def only(server: Canned, **settings: Any) -> Model:
    """Observe once and give the one model."""
    (model,) = (await answer(server, **settings)).models
    return model


def known(model: Model, *abilities: Ability) -> list[bool | None]:
    """Give what is known of these abilities."""
    return [model.facts.ability(ability).value for ability in abilities]


async def test_a_vllm_is_read_whole() -> None:
    """Of a vLLM come its version, models with root, parent and served context, and that it has gauges."""
    seen = await answer(vllm(routes={"/v1/models": listed(BASE, LORA)}))
    assert (seen.engine, seen.version, seen.gauges) == ("vllm", "0.32.0", True)
    assert [(m.id, m.root, m.parent, m.place, m.facts.context.value) for m in seen.models] == [
        ("ad1", "/models/tiny-lora", "tiny", 1, 1024),
        ("tiny", "/models/tiny-llama", None, 0, 1024),
    ]


async def test_the_steady_state_asks_two_things() -> None:
    """After the first looks at a vLLM each poll is one list and one health check."""
    server = vllm(Loaded(tool_parser=True))
    watched = server.watched(Engine.VLLM)
    first = await watched.observe()
    del server.requests[:]
    assert await watched.observe() == first
    assert server.calls == ["/v1/models", "/health"]


@pytest.mark.parametrize("loaded", [Loaded(), Loaded(tool_parser=True), Loaded(senses=frozenset({"image"}))])
async def test_nothing_is_computed(loaded: Loaded) -> None:
    """Whatever it can, a vLLM is asked by GET, by /tokenize, and by chats it refuses before its engine."""
    server = vllm(loaded)
    await answer(server)
    posted = [request for request in server.requests if request.method == "POST"]
    chats = [request for request in posted if request.url.path != "/tokenize"]
    assert posted
    assert all(refused_chat(loaded, json.loads(chat.content)) is not None for chat in chats)
    assert all(json.loads(chat.content)["max_tokens"] == 1 for chat in chats)


async def test_each_question_names_the_model() -> None:
    """What is posted names the model it is about, by its served id."""
    server = vllm(Loaded(tool_parser=True))
    await answer(server)
    named = {json.loads(r.content)["model"] for r in server.requests if r.method == "POST"}
    assert named == {"tiny"}


class TestMode:
    """The mode, by the routes there are."""

    @pytest.mark.parametrize(
        ("loaded", "mode"),
        [
            (Loaded(), Mode.CHAT),
            (Loaded(template=False), Mode.COMPLETION),
            (Loaded(task="embed"), Mode.EMBEDDING),
            (Loaded(task="classify"), Mode.RERANK),
            (Loaded(task="transcription"), Mode.AUDIO_TRANSCRIPTION),
        ],
    )
    async def test_told(self, loaded: Loaded, mode: Mode) -> None:
        """Each kind of server is told apart; one that generates without a chat template only completes."""
        assert (await only(vllm(loaded))).facts.mode.value is mode

    @pytest.mark.parametrize(
        "routes",
        [
            {"/v1/chat/completions": httpx.Response(404)},
            {"/v1/chat/completions": httpx.Response(200, json={})},
            {"/v1/chat/completions": httpx.Response(429)},
            {"/v1/chat/completions": httpx.Response(502)},
            {"/v1/chat/completions": httpx.Response(599)},
            {"/v1/chat/completions": httpx.ReadError("cut")},
            {"/v1/chat/completions": httpx.Response(404), "/v1/embeddings": httpx.Response(503)},
            {TOKENIZE: httpx.Response(404)},
            {TOKENIZE: httpx.Response(503)},
            {TOKENIZE: {"tokens": []}},
            {TOKENIZE: {"count": "9", "max_model_len": 1024}},
            {TOKENIZE: bad(error(400, "This model's maximum context length is 1 tokens."))},
        ],
    )
    async def test_not_told(self, routes: dict[str, Any]) -> None:
        """A busy, broken or strange server has no mode."""
        assert not (await only(vllm(routes=routes))).facts.mode.known

    @pytest.mark.parametrize("task", ["embed", "classify", "transcription"])
    async def test_what_does_not_chat_has_no_abilities_of_chat(self, task: str) -> None:
        """An embedding, rerank or transcription server can do nothing that is asked of a chat."""
        server = vllm(Loaded(task=task, tool_parser=True))
        model = await only(server)
        assert set(known(model, *Ability)) == {False}
        assert CHAT not in server.calls

    async def test_a_base_model_can_be_held_to_a_schema(self) -> None:
        """A model that only completes has no messages and no tools; its output can still be structured."""
        model = await only(vllm(Loaded(template=False)))
        assert known(model, *TOOLS, Ability.SYSTEM_MESSAGES, Ability.VISION) == [False] * 5
        assert known(model, Ability.RESPONSE_SCHEMA, Ability.PROMPT_CACHING) == [True, True]


class TestTools:
    """Tools, by a chat whose temperature is refused last."""

    @pytest.mark.parametrize(
        ("loaded", "told"),
        [
            (Loaded(tool_parser=True), [True, True, None]),
            (Loaded(tool_parser=False), [False, False, False]),
            (Loaded(tool_parser=True, writes_tools=False), [False, False, False]),
        ],
    )
    async def test_told(self, loaded: Loaded, told: list[bool | None]) -> None:
        """Parser and template together make tools; several calls at once are never sure."""
        assert known(await only(vllm(loaded)), *TOOLS) == told

    @pytest.mark.parametrize(
        "refusal",
        [
            httpx.Response(200, json={"choices": [{"message": {"tool_calls": []}}]}),
            httpx.Response(429, json=error(429, "--tool-call-parser to be set")),
            httpx.Response(503),
            httpx.Response(500, json=error(500, "temperature must be non-negative")),
            httpx.Response(400, text="temperature must be non-negative"),
            bad(error(400, "Something else")),
            bad(["temperature must be non-negative"]),
            httpx.ReadTimeout("slow"),
            httpx.RemoteProtocolError("cut"),
        ],
    )
    async def test_not_told(self, refusal: Any) -> None:
        """Only the two known refusals tell anything: no 200, even with empty `tool_calls`, no other error."""
        model = await only(vllm(routes={CHAT: refusal}))
        assert known(model, *TOOLS) == [None, None, None]
        assert model.facts.mode.value is Mode.CHAT

    async def test_an_older_refusal_is_flat(self) -> None:
        """Before `error` held it, the refusal stood at the top of the answer."""
        flat = {"object": "error", "message": '"auto" tool choice requires --tool-call-parser to be set'}
        assert known(await only(vllm(routes={CHAT: bad(flat)})), Ability.FUNCTION_CALLING) == [False]

    async def test_an_older_server_forces_calls_without_a_parser(self) -> None:
        """Where a named tool is not refused it can be forced, though tools are not called freely."""

        def chat(request: httpx.Request) -> httpx.Response:
            named = isinstance(json.loads(request.content)["tool_choice"], dict)
            words = "temperature must be non-negative, got -1.0." if named else "--tool-call-parser to be set"
            return bad(error(400, words))

        assert known(await only(vllm(routes={CHAT: chat})), *TOOLS) == [False, True, False]

    @staticmethod
    def _older(loaded: Loaded) -> Callable[[httpx.Request], httpx.Response]:
        def tokenized(request: httpx.Request) -> httpx.Response:
            body = {k: v for k, v in json.loads(request.content).items() if k != "tools"}
            status, told = tokenize(loaded, body)
            return httpx.Response(status, json=told)

        return tokenized

    async def test_an_older_tokenize_passes_tools_over(self) -> None:
        """Where /tokenize does not know tools, the parser alone counts."""
        loaded = Loaded(tool_parser=True)
        model = await only(vllm(loaded, routes={TOKENIZE: self._older(loaded)}))
        assert known(model, Ability.FUNCTION_CALLING) == [True]

    async def test_gpt_oss_is_not_told(self) -> None:
        """gpt-oss is never asked for a parser, so that it is not refused proves nothing."""
        loaded = Loaded(tool_parser=True)

        def harmony(request: httpx.Request) -> httpx.Response:
            status, told = tokenize(loaded, json.loads(request.content))
            return httpx.Response(
                status, json={**told, "token_strs": ["<|start|>", "user", "<|message|>", "a"]}
            )

        assert known(await only(vllm(loaded, routes={TOKENIZE: harmony})), *TOOLS) == [None, None, None]

    async def test_mistral_is_not_told(self) -> None:
        """Mistral's own tokenizer, known by its refusal of a last message of the assistant, neither."""
        loaded = Loaded(tool_parser=True)

        def mistral(request: httpx.Request) -> httpx.Response:
            body = json.loads(request.content)
            if body["messages"][-1]["role"] == "assistant":
                return bad(
                    error(400, "Cannot set `add_generation_prompt` to True when the last message is ...")
                )
            return httpx.Response(*tokenize(loaded, body)[:1], json=tokenize(loaded, body)[1])

        assert known(await only(vllm(loaded, routes={TOKENIZE: mistral})), *TOOLS) == [None, None, None]


class TestSenses:
    """Pictures, sounds and films, by what a prompt with one is turned into."""

    SENSES = (Ability.VISION, Ability.AUDIO_INPUT, Ability.VIDEO_INPUT)

    @pytest.mark.parametrize(
        ("senses", "told"),
        [
            (None, [False, False, False]),
            (frozenset(), [False, False, False]),
            (frozenset({"image"}), [True, False, False]),
            (frozenset({"audio"}), [False, True, False]),
            (frozenset({"image", "video"}), [True, False, True]),
        ],
    )
    async def test_told(self, senses: frozenset[str] | None, told: list[bool]) -> None:
        """What adds tokens is taken; what is refused by name, or by a model of text alone, is not."""
        assert known(await only(vllm(Loaded(senses=senses))), *self.SENSES) == told

    @pytest.mark.parametrize(
        "given",
        [
            httpx.Response(200, json={"count": 9, "max_model_len": 1024}),
            httpx.Response(200, json={"count": 9}),
            httpx.Response(429),
            httpx.Response(500, json=error(500, "tiny is not a multimodal model")),
            bad(error(400, "Failed to load image: cannot identify image file")),
            httpx.ReadTimeout("slow"),
        ],
    )
    async def test_not_told(self, given: Any) -> None:
        """A picture that adds nothing, and any other refusal, leave it unknown."""

        def tokenized(request: httpx.Request) -> Any:
            body = json.loads(request.content)
            if isinstance(body["messages"][0]["content"], list):
                return given
            status, told = tokenize(Loaded(), body)
            return httpx.Response(status, json=told)

        assert known(await only(vllm(routes={TOKENIZE: tokenized})), *self.SENSES) == [None, None, None]

    async def test_an_embedding_model_of_text_embeds_no_images(self) -> None:
        """Only "no" is sure of an embedding server: LiteLLM's request has no place for a picture."""
        model = await only(vllm(Loaded(task="embed")))
        assert known(model, Ability.EMBEDDING_IMAGE_INPUT) == [False]
        sees = await only(vllm(Loaded(task="embed", senses=frozenset({"image"}))))
        assert known(sees, Ability.EMBEDDING_IMAGE_INPUT) == [None]


class TestSystemMessages:
    """System messages, by what the chat template does with one."""

    @pytest.mark.parametrize("takes", [True, False])
    async def test_told(self, takes: bool) -> None:  # noqa: FBT001 - a parameter of the test
        """A template that writes it takes it, one that raises does not."""
        model = await only(vllm(Loaded(takes_system=takes)))
        assert known(model, Ability.SYSTEM_MESSAGES) == [takes]

    async def test_a_template_with_a_system_message_of_its_own(self) -> None:
        """That a prompt is longer without a system message than with a short one proves nothing."""

        def tokenized(request: httpx.Request) -> Any:
            body = json.loads(request.content)
            status, answered = tokenize(Loaded(), body)
            if status == 200 and body["messages"][0]["role"] != "system":
                answered["count"] += 30
            return httpx.Response(status, json=answered)

        assert known(await only(vllm(routes={TOKENIZE: tokenized})), Ability.SYSTEM_MESSAGES) == [True]

    async def test_dropped(self) -> None:
        """A template that drops it in silence does not take it."""

        def tokenized(request: httpx.Request) -> Any:
            body = json.loads(request.content)
            if body["messages"][0]["role"] == "system":
                return {"count": 9, "max_model_len": 1024}
            status, answered = tokenize(Loaded(), body)
            return httpx.Response(status, json=answered)

        assert known(await only(vllm(routes={TOKENIZE: tokenized})), Ability.SYSTEM_MESSAGES) == [False]


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (METRICS, True),
        (METRICS.replace('"True"', '"False"'), False),
        ("", None),
        (httpx.Response(503, text=METRICS), None),
    ],
)
async def test_prompt_caching(page: Any, told: bool | None) -> None:  # noqa: FBT001 - a parameter of the test
    """Whether prompts are cached stands in the metrics."""
    assert known(await only(vllm(routes={"/metrics": page})), Ability.PROMPT_CACHING) == [told]


async def test_an_adapter_is_not_asked_about() -> None:
    """An adapter loaded at run time has what its parent has, and costs no question."""
    server = vllm(Loaded(tool_parser=True))
    watched = server.watched(Engine.VLLM)
    await watched.observe()
    del server.requests[:]
    server.routes["/v1/models"] = listed(BASE, LORA)
    seen = await watched.observe()
    assert isinstance(seen, Answer)
    adapter, base = seen.models
    assert adapter.facts == base.facts
    assert known(adapter, Ability.FUNCTION_CALLING) == [True]
    assert server.calls == ["/v1/models", "/health"]


async def test_names_of_one_root_are_asked_about_once() -> None:
    """Several served names of one root share what is known, told by the first of the server's list."""
    one, two = vllm(), vllm(routes={"/v1/models": listed({**BASE, "id": "z"}, {**BASE, "id": "a"})})
    await answer(one)
    seen = await answer(two)
    assert len(two.calls) == len(one.calls)
    assert {json.loads(r.content)["model"] for r in two.requests if r.method == "POST"} == {"z"}
    assert seen.models[0].facts == seen.models[1].facts


class TestSleep:
    """Sleep mode (VLLM_SERVER_DEV_MODE)."""

    ASLEEP = "/is_sleeping"

    async def test_asleep_and_awake(self) -> None:
        """A server that says it sleeps is asleep, is asked nothing else, and is back when it wakes."""
        server = vllm(routes={self.ASLEEP: {"is_sleeping": True}})
        watched = server.watched(Engine.VLLM)
        assert await watched.observe() == Asleep("vllm says that it sleeps")
        assert not any(request.method == "POST" for request in server.requests)
        server.routes[self.ASLEEP] = {"is_sleeping": False}
        assert isinstance(await watched.observe(), Answer)
        assert server.calls.count(self.ASLEEP) == 2

    async def test_without_the_route_it_is_asked_once(self) -> None:
        """A vLLM without the route cannot be sent to sleep by it: it is never asked again."""
        server = vllm()
        watched = server.watched(Engine.VLLM)
        await watched.observe()
        await watched.observe()
        assert server.calls.count(self.ASLEEP) == 1

    async def test_not_asked_where_sleep_does_not_count(self) -> None:
        """Where a request wakes it, a sleeping server is served as any other."""
        server = vllm(routes={self.ASLEEP: {"is_sleeping": True}})
        watched = server.watched(Engine.VLLM, when_asleep=WhenAsleep.ROUTE)
        assert isinstance(await watched.observe(), Answer)
        assert self.ASLEEP not in server.calls

    @pytest.mark.parametrize("unclear", [httpx.Response(503), {"is_sleeping": "yes"}, httpx.ReadError("cut")])
    async def test_no_clear_answer_changes_nothing(self, unclear: Any) -> None:
        """Without a clear answer a sleeping server sleeps on, and one that is awake stays awake."""
        for before in (True, False):
            server = vllm(routes={self.ASLEEP: {"is_sleeping": before}})
            watched = server.watched(Engine.VLLM)
            first = await watched.observe()
            server.routes[self.ASLEEP] = unclear
            assert type(await watched.observe()) is type(first)

    async def test_no_question_wakes_it(self) -> None:
        """An active question is not put to a server that sleeps, even where sleep does not count."""
        server = vllm(routes={self.ASLEEP: {"is_sleeping": True}})
        watched = server.watched(Engine.VLLM, when_asleep=WhenAsleep.ROUTE, probing=Probing.ACTIVE)
        await watched.observe()
        asked = server.calls.count(CHAT)
        assert not await watched.explore(_idle)
        assert server.calls.count(CHAT) == asked


class TestActive:
    """What costs a token."""

    @pytest.mark.parametrize("parser", [True, False])
    async def test_reasoning(self, parser: bool) -> None:  # noqa: FBT001 - a parameter of the test
        """The tokens of thought are counted where there is a reasoning parser, and only there."""
        watched = vllm(Loaded(reasoning_parser=parser)).watched(Engine.VLLM, probing=Probing.ACTIVE)
        await watched.observe()
        assert await watched.explore(_idle)
        seen = await watched.observe()
        assert isinstance(seen, Answer)
        fact = seen.models[0].facts.ability(Ability.REASONING)
        assert (fact.value, fact.origin) == (parser, Origin.PROBE)

    @pytest.mark.parametrize(
        ("version", "usage"),
        [
            ("0.31.0", {"completion_tokens_details": None}),
            ("0.9", {"completion_tokens_details": None}),
            (None, {"completion_tokens_details": None}),
            ("0.32.0", {}),
            ("0.32.0", {"completion_tokens_details": {}}),
            ("0.32.0", None),
        ],
    )
    async def test_reasoning_of_an_older_vllm(self, version: str | None, usage: Any) -> None:
        """Where nothing is counted in any case, nothing is known."""

        def chat(request: httpx.Request) -> Any:
            refused = refused_chat(Loaded(), json.loads(request.content))
            return {"usage": usage} if refused is None else bad(refused)

        server = vllm(routes={CHAT: chat, "/version": {"version": version}})
        watched = server.watched(Engine.VLLM, probing=Probing.ACTIVE)
        await watched.observe()
        assert not await watched.explore(_idle)

    async def test_embedding_size(self) -> None:
        """One embedding tells its length."""
        vector = {"data": [{"embedding": [0.5] * 64}]}
        server = vllm(Loaded(task="embed"), routes={"POST /v1/embeddings": vector})
        watched = server.watched(Engine.VLLM, probing=Probing.ACTIVE)
        await watched.observe()
        assert await watched.explore(_idle)
        seen = await watched.observe()
        assert isinstance(seen, Answer)
        assert seen.models[0].facts.embedding_size.value == 64


async def _idle() -> bool:
    return True


async def test_a_dead_engine_is_not_well() -> None:
    """A vLLM that lists its models while /health is 503 is not well."""
    seen = await vllm(routes={"/health": httpx.Response(503)}).watched(Engine.VLLM).observe()
    assert seen == Ambiguous(Reason.SERVER_ERROR, "/health: HTTP 503")


async def test_in_flight_by_gauges() -> None:
    """In flight is running plus waiting, and unknown before the server was seen or once the page is gone."""
    server = vllm()
    watched = server.watched(Engine.VLLM)
    assert await watched.in_flight() is None
    await watched.observe()
    assert await watched.in_flight() == 3
    server.routes["/metrics"] = httpx.ReadTimeout("slow")
    assert await watched.in_flight() is None


async def test_no_gauges() -> None:
    """A vLLM without statistics in /metrics has no gauges, and in flight is unknown."""
    server = vllm(routes={"/metrics": "process_cpu_seconds_total 1\n"})
    watched = server.watched(Engine.VLLM)
    seen = await watched.observe()
    assert isinstance(seen, Answer)
    assert not seen.gauges
    assert await watched.in_flight() is None


@pytest.mark.parametrize("late", [httpx.Response(503), httpx.Response(429), httpx.ReadError("cut"), HANGS])
async def test_version_and_gauges_of_a_busy_server_come_later(
    late: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server too busy to tell version and gauges is well, and tells them some seconds later."""
    monkeypatch.setattr("sidecar.servers.engine.BESIDE_SECONDS", 0.2)
    clock = FakeClock()
    server = vllm(routes={"/version": late, "/metrics": late})
    watched = server.watched(Engine.VLLM, now=clock.now)
    first = await watched.observe()
    assert isinstance(first, Answer)
    assert (first.version, first.gauges) == (None, False)
    server.routes |= {"/version": {"version": "0.32.0"}, "/metrics": METRICS}
    await clock.advance(5)
    second = await watched.observe()
    assert isinstance(second, Answer)
    assert (second.version, second.gauges) == ("0.32.0", True)


async def test_key_and_prefix() -> None:
    """Each request carries the server's API key and goes under its path prefix."""
    own = vllm(Loaded(tool_parser=True)).routes
    under = {
        f"{path[: -len(bare)]}/prefix{bare}": reply
        for path, reply in own.items()
        if (bare := path.split()[-1])
    }
    server = Canned(under)
    model = await only(server, key="sk-1", path="/prefix/")
    assert known(model, Ability.FUNCTION_CALLING) == [True]
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


async def test_a_nim_without_vllms_own_routes() -> None:
    """Behind a front that lets only its own routes through, a NIM's abilities are unknown, not "no"."""
    server = Canned(
        {
            "/v1/models": listed(BASE),
            "/v1/health/ready": {"object": "health.response", "message": "ready"},
            "/v1/version": {"release": "2.0.1"},
            "/v1/metrics": METRICS,
            "/v1/chat/completions": NOT_ALLOWED,
        }
    )
    seen = await answer(server, Engine.AUTO)
    assert (seen.engine, seen.version, seen.gauges) == ("nim", "2.0.1", True)
    assert not seen.models[0].facts.mode.known
    assert known(seen.models[0], *TOOLS, Ability.VISION) == [None] * 4
    assert CHAT not in server.calls
