"""What a vLLM tells about its models by how it answers; all but `reasoning` makes it compute nothing.

Exact texts and the order of its checks: vLLM 0.32.0, measured; vllm/renderers/online_renderer.py,
vllm/multimodal, vllm/entrypoints/serve/tokenize. Only these texts mean "no"; any other refusal (429, 503,
a prompt too long, a processor's complaint) tells nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from sidecar.servers import samples
from sidecar.servers.ask import Ask, Reply
from sidecar.servers.facts import NOTHING_KNOWN, Ability, Fact, Facts, Mode, Origin, abilities
from sidecar.servers.listing import Card, text, tokens, under

CHAT: Final = "/v1/chat/completions"
TOKENIZE: Final = "/tokenize"

USER: Final = {"role": "user", "content": "a"}
TOOL: Final = {
    "type": "function",
    "function": {"name": "probe", "description": "a", "parameters": {"type": "object", "properties": {}}},
}
NAMED: Final = {"type": "function", "function": {"name": "probe"}}

_NOT_MULTIMODAL: Final = "is not a multimodal model"
_NONE_ALLOWED: Final = re.compile(r"At most 0 \w+\(s\) may be provided in one prompt")
_NO_PARSER: Final = "--tool-call-parser to be set"
_GENERATES: Final = frozenset({Mode.CHAT, Mode.COMPLETION})
_NO_TEMPLATE: Final = "provide a chat template"
_TEMPERATURE: Final = "temperature must be non-negative"
_PREFIX_CACHING: Final = re.compile(
    r'^vllm:cache_config_info\{.*\benable_prefix_caching="(True|False)"', re.MULTILINE
)
_COUNTS_THOUGHTS: Final = (0, 32)
# The marks of gpt-oss' own format (openai/harmony), which go round vLLM's check for a tool parser.
_HARMONY: Final = frozenset({"<|start|>", "<|message|>"})


async def mode(ask: Ask, card: Card) -> Facts:
    """Tell the mode from the routes there are: vLLM registers only those its model can serve.

    They all want POST: a GET is 405 where the route exists and 404 where not. A model that generates and has
    no chat template only completes text. Embedding models have the rerank routes too. With one that generates
    `response_format` becomes a grammar, whatever the model (vllm/v1/structured_output).
    """
    found = await _mode(ask, card)
    if found is None:
        return NOTHING_KNOWN
    held = abilities(Origin.DEFAULT, response_schema=True) if found in _GENERATES else {}
    return Facts(mode=Fact(found, Origin.PROBE), abilities=held)


async def _mode(ask: Ask, card: Card) -> Mode | None:
    chats = await _exists(ask, CHAT)
    if chats:
        return await _chat_or_completion(ask, card)
    if chats is None:
        return None
    embeds = await _exists(ask, "/v1/embeddings")
    if embeds is not False:
        return Mode.EMBEDDING if embeds else None
    if await _exists(ask, "/classify") and await _exists(ask, "/rerank"):
        return Mode.RERANK
    return Mode.AUDIO_TRANSCRIPTION if await _exists(ask, "/v1/audio/transcriptions") else None


async def _chat_or_completion(ask: Ask, card: Card) -> Mode | None:
    reply = await _tokenized(ask, card)
    if _count(reply) is not None:
        return Mode.CHAT
    refused = reply.status == HTTPStatus.BAD_REQUEST and _NO_TEMPLATE in _message(reply)
    return Mode.COMPLETION if refused else None


async def _exists(ask: Ask, path: str) -> bool | None:
    known: dict[int, bool] = {HTTPStatus.METHOD_NOT_ALLOWED: True, HTTPStatus.NOT_FOUND: False}
    return known.get((await ask.get(path)).status)


async def tools(ask: Ask, card: Card) -> Facts:
    """Tell whether tools can be called and forced, by a chat whose temperature is refused last of all.

    A missing tool parser is complained of before the temperature. Where it is there, the template must write
    the tools into the prompt as well. Several calls in one answer are up to model and parser: of these only
    "no" is known.
    """
    allowed = await _passes(ask, card, "auto")
    called = await _calls(ask, card) if allowed else allowed
    if called is None:
        return NOTHING_KNOWN
    # Without a template for tools a call can still be forced, by a grammar, of a model that was told of none.
    # Older vLLMs force one without a parser too.
    forced = False if allowed and not called else await _passes(ask, card, NAMED)
    return Facts(
        abilities=abilities(
            Origin.PROBE,
            function_calling=called,
            tool_choice=forced,
            parallel_function_calling=None if called else False,
        )
    )


async def _passes(ask: Ask, card: Card, tool_choice: object) -> bool | None:
    body = {"messages": [USER], "tools": [TOOL], "tool_choice": tool_choice}
    # One token at most, should a server take the temperature after all.
    reply = await ask.post(CHAT, {"model": card["id"], **body, "temperature": -1, "max_tokens": 1})
    message = _message(reply)
    if reply.status != HTTPStatus.BAD_REQUEST:
        return None
    if _TEMPERATURE in message:
        return True
    return False if _NO_PARSER in message else None


async def _calls(ask: Ask, card: Card) -> bool | None:
    """Tell whether calls are read out of an answer, of a server that complains of no missing parser.

    gpt-oss and Mistral's own tokenizer need none to get past the check: of these it is not known. Mistral's
    refuses a last message that is the assistant's (tokenizers/mistral.py). That two tools make a longer
    prompt than one shows that the template writes them; without any it may write something else.
    """
    plain = await _tokenized(ask, card, return_token_strs=True)
    pieces = (plain.json_object() or {}).get("token_strs")
    if isinstance(pieces, list) and {str(piece) for piece in pieces} >= _HARMONY:
        return None
    if _count(await _tokenized(ask, card, messages=[USER, {"role": "assistant", "content": "b"}])) is None:
        return None
    grows = _grows(await _tokenized(ask, card, tools=[TOOL]), await _tokenized(ask, card, tools=[TOOL, TOOL]))
    if grows is not False:
        return grows
    # Before /tokenize had the field `tools` it passed it over, even one that is no list; there the parser
    # that the owner asked for counts.
    known: dict[int, bool] = {HTTPStatus.BAD_REQUEST: False, HTTPStatus.OK: True}
    return known.get((await _tokenized(ask, card, tools=0)).status)


def sense(ability: Ability) -> Callable[[Ask, Card], Awaitable[Facts]]:
    """Give the question whether a model takes pictures, sounds or films (a key of `SENSES`)."""

    async def asked(ask: Ask, card: Card) -> Facts:
        reply = await _tokenized(ask, card, messages=_with(SENSES[ability]))
        if _refuses_all(reply):
            return Facts(abilities={each: Fact(False, Origin.PROBE) for each in SENSES})
        if _refuses(reply):
            return Facts(abilities={ability: Fact(False, Origin.PROBE)})
        # A processor that makes nothing of the sample may make something of another.
        taken = _grows(await _tokenized(ask, card), reply) or None
        return Facts(abilities=abilities(Origin.PROBE, **{ability: taken}))

    return asked


async def system_messages(ask: Ask, card: Card) -> Facts:
    """Tell whether the chat template takes a system message: some raise an error (Gemma's), some drop it.

    Two are compared, not one with none: many templates have a longer one of their own for that (Qwen's).
    """
    short, long = [
        await _tokenized(ask, card, messages=[{"role": "system", "content": content}, USER])
        for content in ("b", "b c d e f g h")
    ]
    told = _grows(short, long)
    if short.status == HTTPStatus.BAD_REQUEST and _count(await _tokenized(ask, card)) is not None:
        told = False
    return Facts(abilities=abilities(Origin.PROBE, system_messages=told))


async def embeds_images(ask: Ask, card: Card) -> Facts:
    """Tell that an embedding model takes no pictures; one that does takes them in vLLM's own request only."""
    reply = await _tokenized(ask, card, messages=_with(SENSES[Ability.VISION]))
    no = _refuses_all(reply) or _refuses(reply)
    return Facts(abilities=abilities(Origin.PROBE, embedding_image_input=False if no else None))


def prompt_caching(metrics: str) -> Callable[[Ask, Card], Awaitable[Facts]]:
    """Give the question whether prompts that begin alike are computed once (--enable-prefix-caching)."""

    async def asked(ask: Ask, _card: Card) -> Facts:
        reply = await ask.get(metrics)
        page = reply.body.decode(errors="replace") if reply.status == HTTPStatus.OK else ""
        told = _PREFIX_CACHING.search(page)
        caches = None if told is None else told[1] == "True"
        return Facts(abilities=abilities(Origin.ENGINE, prompt_caching=caches))

    return asked


async def reasoning(ask: Ask, card: Card) -> Facts:
    """Tell whether there is a reasoning parser, by what one token is counted as.

    With one `completion_tokens_details` counts the tokens of thought, without one it is null
    (chat_completion/serving.py, _include_reasoning_tokens_details; measured on 0.32.0). Older vLLMs have null
    in any case, so theirs means nothing.
    """
    reply = await ask.post(CHAT, {"model": card["id"], "messages": [USER], "max_tokens": 1})
    usage = under(reply.json_object() or {}, "usage") if reply.status == HTTPStatus.OK else {}
    counts = usage.get("completion_tokens_details", {})
    told = None
    if isinstance(counts, dict):
        told = True if "reasoning_tokens" in counts else None
    elif counts is None and await _counts_thoughts(ask):
        told = False
    return Facts(abilities=abilities(Origin.PROBE, reasoning=told))


async def _counts_thoughts(ask: Ask) -> bool:
    version = text((await ask.optional("/version") or {}).get("version")) or ""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= _COUNTS_THOUGHTS


SENSES: Final[Mapping[Ability, Mapping[str, Any]]] = {
    Ability.VISION: {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{samples.picture()}"},
    },
    Ability.AUDIO_INPUT: {
        "type": "input_audio",
        "input_audio": {"data": samples.sound(), "format": "wav"},
    },
    Ability.VIDEO_INPUT: {
        "type": "video_url",
        "video_url": {"url": f"data:video/jpeg;base64,{samples.film()}"},
    },
}


def _with(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]


def _refuses_all(reply: Reply) -> bool:
    return reply.status == HTTPStatus.BAD_REQUEST and _NOT_MULTIMODAL in _message(reply)


def _refuses(reply: Reply) -> bool:
    return reply.status == HTTPStatus.BAD_REQUEST and _NONE_ALLOWED.search(_message(reply)) is not None


async def _tokenized(ask: Ask, card: Card, **fields: object) -> Reply:
    return await ask.post(TOKENIZE, {"model": card["id"], "messages": [USER], **fields})


def _count(reply: Reply) -> int | None:
    """Give the number of tokens in an answer of /tokenize. Other servers have a route of that name too."""
    answer = reply.json_object() if reply.status == HTTPStatus.OK else None
    if answer is None or tokens(answer.get("max_model_len")) is None:
        return None
    return tokens(answer.get("count"))


def _grows(plain: Reply, more: Reply) -> bool | None:
    few, many = _count(plain), _count(more)
    return None if few is None or many is None else many > few


def _message(reply: Reply) -> str:
    """Give what a refusal says; before 0.10 it was not under `error`."""
    body = reply.json_object() or {}
    return text(under(body, "error").get("message")) or text(body.get("message")) or ""
