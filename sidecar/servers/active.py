"""Questions to a server that does not say what its models can do: a few tokens each, if the owner allows.

A 200 alone proves nothing: llama-cpp-python takes a picture for text and pastes its base64 into the prompt,
`transformers serve` drops it, both pass tools over, and others answer every route (measured).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from sidecar.servers import samples
from sidecar.servers.ask import Ask, Reply
from sidecar.servers.facts import NOTHING_KNOWN, UNKNOWN, Fact, Facts, Mode, Origin, abilities
from sidecar.servers.listing import Card, text, tokens, under
from sidecar.servers.probe import Probe

# Tokens a question may cost at most.
MOST_TOKENS: Final = 64
CHAT: Final = "/v1/chat/completions"

_TOOL: Final = "report_weather"
_TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": _TOOL,
            "description": "Reports the weather of a town.",
            "parameters": {
                "type": "object",
                "properties": {"town": {"type": "string", "maxLength": 8}},
                "required": ["town"],
            },
        },
    }
]
# No model writes this unless a grammar makes it.
_CONSTANT: Final = {"code": "zq7"}
_SCHEMA: Final = {
    "type": "object",
    "properties": {"code": {"type": "string", "const": "zq7"}},
    "required": ["code"],
    "additionalProperties": False,
}
# What servers say of a model that takes no pictures: vLLM (multimodal/registry.py, processing/context.py),
# llama.cpp (tools/server/server-common.cpp); and of one without tools: Ollama (server/routes.go).
_NO_PICTURES: Final = (b"is not a multimodal model", b"At most 0 image", b"image input is not supported")
_NO_TOOLS: Final = (b"does not support tools",)
# Sides of two pictures in pixels, large enough for the patches of common encoders; pasted as text they would
# be thousands of tokens each.
_SIDES: Final = (32, 48)
# More tokens than this for each further letter of base64: it is read as text. (English has about 0.25, base64
# 0.4 to 0.7; the encoders of models make one token of 200 pixels or more.)
_PASTED: Final = 0.1


async def mode(ask: Ask, card: Card) -> Facts:
    """Tell the mode by the first route that answers as it should; a busy or broken one tells nothing."""
    routes = (
        (CHAT, {"messages": [_user("a")], "max_tokens": 1}, Mode.CHAT, _message),
        ("/v1/embeddings", {"input": "a"}, Mode.EMBEDDING, _vector),
        ("/v1/completions", {"prompt": "a", "max_tokens": 1}, Mode.COMPLETION, _text),
    )
    for path, body, found, read in routes:
        reply = await ask.post(path, {"model": card["id"], **body})
        if reply.status == HTTPStatus.OK:
            as_it_should = read(reply.json_object() or {}) is not None
            return Facts(mode=Fact(found, Origin.PROBE)) if as_it_should else NOTHING_KNOWN
        if not _refused(reply):
            return NOTHING_KNOWN
    return NOTHING_KNOWN


async def tools(ask: Ask, card: Card) -> Facts:
    """Force a call of a tool: yes if it comes, with arguments that can be read. Text proves nothing."""
    choice = {"type": "function", "function": {"name": _TOOL}}
    reply = await _chat(ask, card, tools=_TOOLS, tool_choice=choice)
    if _refused(reply) and any(words in reply.body for words in _NO_TOOLS):
        return Facts(
            abilities=abilities(
                Origin.PROBE, function_calling=False, tool_choice=False, parallel_function_calling=False
            )
        )
    yes = _called(_message(_answer(reply)) or {}) or None
    return Facts(abilities=abilities(Origin.PROBE, function_calling=yes, tool_choice=yes))


async def vision(ask: Ask, card: Card) -> Facts:
    """Compare a prompt without and with pictures of two sizes by the tokens they count as."""
    plain = _prompt_tokens(await _chat(ask, card, max_tokens=1))
    if plain is None:
        return NOTHING_KNOWN
    lengths, counts = [], []
    for side in _SIDES:
        picture = samples.picture(side, noise=True)
        part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
        content = [{"type": "text", "text": "a"}, part]
        reply = await _chat(ask, card, messages=[_user(content)], max_tokens=1)
        if any(words in reply.body for words in _NO_PICTURES) and reply.status != HTTPStatus.OK:
            return Facts(abilities=abilities(Origin.PROBE, vision=False))
        count = _prompt_tokens(reply)
        if count is None:
            return NOTHING_KNOWN
        lengths.append(len(picture))
        counts.append(count - plain)
    return Facts(abilities=abilities(Origin.PROBE, vision=_sees(lengths, counts)))


def _sees(lengths: list[int], counts: list[int]) -> bool | None:
    """Judge by the lengths of two pictures in base64, and the tokens each added to the prompt."""
    if counts == [0, 0]:
        return False  # dropped in silence
    if min(counts) <= 0:
        return None
    return (counts[1] - counts[0]) / (lengths[1] - lengths[0]) <= _PASTED


async def structured(ask: Ask, card: Card) -> Facts:
    """Ask for a constant by a JSON schema alone: only a server that holds answers to the schema gives it."""
    form = {"name": "probe", "schema": _SCHEMA, "strict": True}
    reply = await _chat(ask, card, response_format={"type": "json_schema", "json_schema": form})
    answer = _answer(reply)
    content = text((_message(answer) or {}).get("content"))
    if content is None:
        return NOTHING_KNOWN
    held = _json(content) == _CONSTANT
    # One that was cut short may have been about to.
    ended = _choice(answer).get("finish_reason") == "stop"
    told = held if held or ended else None
    return Facts(abilities=abilities(Origin.PROBE, response_schema=told))


async def reasoning(ask: Ask, card: Card) -> Facts:
    """Look for thoughts beside an answer; that there are none this time proves nothing."""
    message = _message(_answer(await _chat(ask, card))) or {}
    thinks = text(message.get("reasoning")) or text(message.get("reasoning_content"))
    return Facts(abilities=abilities(Origin.PROBE, reasoning=True if thinks else None))


async def embedding_size(ask: Ask, card: Card) -> Facts:
    """Embed one letter and measure the vector."""
    vector = _vector(_answer(await ask.post("/v1/embeddings", {"model": card["id"], "input": "a"})))
    return Facts(embedding_size=UNKNOWN if vector is None else Fact(len(vector), Origin.PROBE))


_OF_CHAT: Final = frozenset({Mode.CHAT})
QUESTIONS: Final = (
    Probe(frozenset({"mode"}), mode),
    Probe(frozenset({"function_calling", "tool_choice"}), tools, _OF_CHAT),
    Probe(frozenset({"vision"}), vision, _OF_CHAT),
    Probe(frozenset({"response_schema"}), structured, _OF_CHAT),
    Probe(frozenset({"reasoning"}), reasoning, _OF_CHAT),
    Probe(frozenset({"embedding_size"}), embedding_size, frozenset({Mode.EMBEDDING})),
)


async def _chat(ask: Ask, card: Card, **fields: object) -> Reply:
    body = {"model": card["id"], "messages": [_user("a")], "max_tokens": MOST_TOKENS, **fields}
    return await ask.post(CHAT, body)


def _user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def _refused(reply: Reply) -> bool:
    """Tell whether the server has understood and will not: neither busy nor broken."""
    if reply.status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS):
        return False
    clients = HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return clients or reply.status == HTTPStatus.NOT_IMPLEMENTED


def _answer(reply: Reply) -> Mapping[str, Any]:
    return (reply.json_object() if reply.status == HTTPStatus.OK else None) or {}


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    first = _first(answer.get("choices"))
    return first if isinstance(first, dict) else {}


def _message(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return under(_choice(answer), "message") or None


def _text(answer: Mapping[str, Any]) -> str | None:
    value = _choice(answer).get("text")
    return value if isinstance(value, str) else None


def _vector(answer: Mapping[str, Any]) -> list[float] | None:
    entry = _first(answer.get("data"))
    vector = entry.get("embedding") if isinstance(entry, dict) else None
    sound = isinstance(vector, list) and vector and all(isinstance(x, int | float) for x in vector)
    return vector if sound else None


def _called(message: Mapping[str, Any]) -> bool:
    call = _first(message.get("tool_calls"))
    function = under(call, "function") if isinstance(call, dict) else {}
    arguments = function.get("arguments")
    return function.get("name") == _TOOL and isinstance(arguments, str) and isinstance(_json(arguments), dict)


def _prompt_tokens(reply: Reply) -> int | None:
    return tokens(under(_answer(reply), "usage").get("prompt_tokens"))


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else None


def _json(value: str) -> object:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
