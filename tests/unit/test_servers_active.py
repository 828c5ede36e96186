"""Questions of a few tokens to servers that do not say what their models can do."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from sidecar.servers import active, samples
from sidecar.servers.ask import Ask
from sidecar.servers.facts import Ability, Facts, Mode
from sidecar.servers.listing import Card
from tests.standins.canned import Canned

CHAT = "POST /v1/chat/completions"
EMBED = "POST /v1/embeddings"
COMPLETE = "POST /v1/completions"
CARD = {"id": "m"}
HELLO = {"choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}
VECTOR = {"data": [{"embedding": [0.25, 0, -1]}]}
# What tells nothing of any question.
UNCLEAR = [
    httpx.Response(429),
    httpx.Response(503),
    httpx.Response(500, json={"error": "out of memory"}),
    {},
    [],
    "<html>",
    {"choices": []},
    {"choices": ["a"]},
    {"choices": [{"message": "a"}]},
]

Question = Callable[[Ask, Card], Awaitable[Facts]]


async def told(question: Question, routes: dict[str, Any]) -> Facts:
    """Put a question to a server."""
    client = httpx.AsyncClient(transport=httpx.MockTransport(Canned(routes).reply))
    return await question(Ask(client, "http://10.0.0.5:8000", None), CARD)


async def ability(question: Question, ability: Ability, answer: Any) -> bool | None:
    """Put a question to a server that gives this answer to a chat."""
    return (await told(question, {CHAT: answer})).ability(ability).value


def call(name: str = "report_weather", arguments: Any = '{"town": "Rome"}') -> Any:
    """Give the answer that calls a tool."""
    function = {"name": name, "arguments": arguments}
    return {"choices": [{"message": {"tool_calls": [{"type": "function", "function": function}]}}]}


def counting(tokens: Callable[[int], int]) -> Callable[[httpx.Request], Any]:
    """Give a server that counts a prompt as 10 tokens, and as many for a picture of that length in base64."""

    def chat(request: httpx.Request) -> Any:
        content = json.loads(request.content)["messages"][0]["content"]
        more = 0 if isinstance(content, str) else tokens(len(content[1]["image_url"]["url"]))
        return {**HELLO, "usage": {"prompt_tokens": 10 + more}}

    return chat


@pytest.mark.parametrize("question", active.QUESTIONS, ids=lambda probe: "-".join(sorted(probe.told)))
@pytest.mark.parametrize("unclear", UNCLEAR)
async def test_no_clear_answer_tells_nothing(question: Any, unclear: Any) -> None:
    """A busy or broken server, and one that answers every route with nonsense, tells nothing."""
    assert await told(question.ask, {CHAT: unclear, EMBED: unclear, COMPLETE: unclear}) == Facts()


@pytest.mark.parametrize("question", active.QUESTIONS, ids=lambda probe: "-".join(sorted(probe.told)))
async def test_no_question_costs_much(question: Any) -> None:
    """No request asks for more than 64 tokens, and each names the model."""
    server = Canned({CHAT: counting(lambda _length: 5), EMBED: VECTOR})
    client = httpx.AsyncClient(transport=httpx.MockTransport(server.reply))
    await question.ask(Ask(client, "http://10.0.0.5:8000", None), CARD)
    for request in server.requests:
        body = json.loads(request.content)
        assert body["model"] == "m"
        assert body.get("max_tokens", 0) <= 64
        assert ("max_tokens" in body) == ("/chat/" in request.url.path)


class TestMode:
    """What a model is asked for."""

    @pytest.mark.parametrize(
        ("routes", "mode"),
        [
            ({CHAT: HELLO, EMBED: VECTOR}, Mode.CHAT),
            ({EMBED: VECTOR}, Mode.EMBEDDING),
            ({CHAT: httpx.Response(400), EMBED: VECTOR}, Mode.EMBEDDING),
            ({CHAT: httpx.Response(501), EMBED: VECTOR}, Mode.EMBEDDING),
            ({COMPLETE: {"choices": [{"text": ""}]}}, Mode.COMPLETION),
            ({CHAT: httpx.Response(500), EMBED: VECTOR}, None),
            ({CHAT: httpx.Response(429), EMBED: VECTOR}, None),
            ({CHAT: {"ok": True}, EMBED: VECTOR}, None),
            ({EMBED: {"data": [{"embedding": []}]}}, None),
            ({EMBED: {"data": [{"embedding": ["a"]}]}}, None),
            ({}, None),
        ],
    )
    async def test_told(self, routes: dict[str, Any], mode: Mode | None) -> None:
        """The first route counts that answers as it should; the next is tried only after a refusal."""
        assert (await told(active.mode, routes)).mode.value is mode


class TestTools:
    """A forced call of a tool."""

    @pytest.mark.parametrize(
        ("answer", "yes"),
        [
            (call(), True),
            (call(arguments="{}"), True),
            (call(name="other"), None),
            (call(arguments='{"town": "Ro'), None),
            (call(arguments='["Rome"]'), None),
            (call(arguments={"town": "Rome"}), None),
            (call(arguments=None), None),
            (HELLO, None),
            ({"choices": [{"message": {"content": "Hello", "tool_calls": []}}]}, None),
            ({"choices": [{"message": {"content": '{"name": "report_weather"}'}}]}, None),
            (httpx.Response(400, json={"error": {"message": "m does not support tools"}}), False),
            (httpx.Response(400, json={"error": {"message": "bad request"}}), None),
            (httpx.Response(500, json={"error": {"message": "m does not support tools"}}), None),
        ],
    )
    async def test_told(self, answer: Any, yes: bool | None) -> None:  # noqa: FBT001 - a parameter of the test
        """Only our own tool with arguments that can be read is yes, and only a refusal of tools is no."""
        assert await ability(active.tools, Ability.FUNCTION_CALLING, answer) is yes
        assert await ability(active.tools, Ability.TOOL_CHOICE, answer) is yes


class TestVision:
    """Two pictures of noise."""

    @pytest.mark.parametrize(
        ("tokens", "sees"),
        [
            (lambda _length: 576, True),  # LLaVA: as many for each picture
            (lambda length: 4 if length < 5000 else 9, True),  # Qwen2-VL: by patches of 28 pixels
            (lambda _length: 0, False),  # dropped in silence (transformers serve)
            (lambda length: length // 2, False),  # pasted as text (llama-cpp-python)
            (lambda length: length // 5, False),
            (lambda length: 0 if length < 5000 else 9, None),
            (lambda _length: -1, None),
        ],
    )
    async def test_told(self, tokens: Callable[[int], int], sees: bool | None) -> None:  # noqa: FBT001 - as above
        """Yes if pictures count as tokens, and not as many as their base64 has letters."""
        assert await ability(active.vision, Ability.VISION, counting(tokens)) is sees

    @pytest.mark.parametrize(
        ("status", "words", "sees"),
        [
            (400, "m is not a multimodal model", False),
            (400, "At most 0 image(s) may be provided in one prompt.", False),
            (500, "image input is not supported - hint: you may need to provide the mmproj", False),
            (400, "maximum context length exceeded", None),
            (500, "out of memory", None),
        ],
    )
    async def test_refused(self, status: int, words: str, sees: bool | None) -> None:  # noqa: FBT001 - as above
        """The known refusals of pictures are no, whatever their status; others tell nothing."""

        def chat(request: httpx.Request) -> Any:
            if isinstance(json.loads(request.content)["messages"][0]["content"], str):
                return {**HELLO, "usage": {"prompt_tokens": 10}}
            return httpx.Response(status, json={"error": {"message": words}})

        assert await ability(active.vision, Ability.VISION, chat) is sees


@pytest.mark.parametrize(
    ("content", "ended", "held"),
    [
        ('{"code": "zq7"}', "stop", True),
        ('{"code":"zq7"}', "length", True),
        ("Hello!", "stop", False),
        ('{"code": "abc"}', "stop", False),
        ('{"code": "zq', "length", None),
        ("", "stop", None),
        (None, "length", None),
    ],
)
async def test_structured_output(content: str | None, ended: str, held: bool | None) -> None:  # noqa: FBT001
    """A constant that only the schema names is yes, a whole answer without it no, one cut short neither."""
    answer = {"choices": [{"message": {"content": content}, "finish_reason": ended}]}
    assert await ability(active.structured, Ability.RESPONSE_SCHEMA, answer) is held


@pytest.mark.parametrize(
    ("message", "thinks"),
    [
        ({"content": "a", "reasoning": "b"}, True),
        ({"content": None, "reasoning_content": "b"}, True),
        ({"content": "a", "reasoning": None, "reasoning_content": ""}, None),
        ({"content": "<think>b</think>a"}, None),
    ],
)
async def test_reasoning(message: dict[str, Any], thinks: bool | None) -> None:  # noqa: FBT001 - as above
    """Thoughts beside the answer are yes; none this time, or in the text, tells nothing."""
    answer = {"choices": [{"message": message}]}
    assert await ability(active.reasoning, Ability.REASONING, answer) is thinks


async def test_embedding_size() -> None:
    """The size of an embedding is the length of its vector."""
    assert (await told(active.embedding_size, {EMBED: VECTOR})).embedding_size.value == 3


class TestSamples:
    """The pictures and sounds that are sent are what they are said to be."""

    @pytest.mark.parametrize(("side", "noise"), [(64, False), (32, True), (48, True)])
    def test_picture(self, side: int, noise: bool) -> None:  # noqa: FBT001 - a parameter of the test
        """A PNG has its signature, its size, sound checksums, and a row of pixels and a filter per line."""
        data = base64.b64decode(samples.picture(side, noise=noise), validate=True)
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        at, chunks = 8, {}
        while at < len(data):
            (length,) = struct.unpack_from(">I", data, at)
            kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
            (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
            assert checksum == zlib.crc32(kind + body)
            chunks[kind] = body
            at += 12 + length
        assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (side, side)
        assert len(zlib.decompress(chunks[b"IDAT"])) == side * (3 * side + 1)

    def test_noise_grows_with_its_area(self) -> None:
        """The base64 of noise is no shorter than its pixels, and the same at each call."""
        small, large = (samples.picture(side, noise=True) for side in (32, 48))
        assert len(small) > 4 * 32 * 32
        assert len(large) > 2 * len(small)
        assert small == samples.picture(32, noise=True)

    def test_sound(self) -> None:
        """A WAV says how long it is."""
        data = base64.b64decode(samples.sound(), validate=True)
        assert (data[:4], data[8:16]) == (b"RIFF", b"WAVEfmt ")
        assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8

    def test_film(self) -> None:
        """A film is an even number of pictures."""
        frames = samples.film().split(",")
        assert len(frames) % 2 == 0
        assert set(frames) == {samples.picture()}
