"""llama.cpp's own server, by its sources under tools/server and common, and measured (llama-server b1-0c1e570).

A POST wakes a server that sleeps (`--sleep-idle-seconds`), even one that is refused; GET /v1/models, /props,
/metrics and /health do not (measured). So the state is asked for before anything is posted.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from sidecar.servers.ask import Ask, NoAnswerError
from sidecar.servers.engine import About, Probe, Profile
from sidecar.servers.facts import (
    HOSTED_ONLY,
    NO_CHAT,
    NOTHING_KNOWN,
    UNKNOWN,
    Ability,
    Fact,
    Facts,
    Mode,
    Origin,
    abilities,
)
from sidecar.servers.gauges import Gauges
from sidecar.servers.listing import Card, first_tokens, text, tokens, under

_PROPS: Final = "/props"
# A tool and no messages: refused before anything is computed (server-common.cpp, oaicompat_chat_params_parse).
_TOOL: Final = {"type": "function", "function": {"name": "probe", "parameters": {"type": "object"}}}
# Marks of the known ways to write thoughts, in whatever case: <think>, [THINK], <thought>, gpt-oss' channels,
# reasoning_content. A template with none of them cannot set a thought apart.
_THOUGHTS: Final = ("think", "thought", "reason", "channel")


async def _asleep(ask: Ask) -> bool:
    return (await ask.optional(_PROPS) or {}).get("is_sleeping") is True


async def _ask(ask: Ask, card: Card) -> Facts:
    """Find out what a model can do; nothing is loaded or woken for it, so of an idle one nothing is known."""
    state = under(card, "status").get("value")  # only a router (several models) tells it
    if state not in (None, "loaded"):
        return NOTHING_KNOWN
    query = "" if state is None else f"?model={quote(card['id'], safe='')}&autoload=false"
    try:
        props = await ask.optional(_PROPS + query)
        if props is None or props.get("is_sleeping") is True or "default_generation_settings" not in props:
            return NOTHING_KNOWN
        mode = await _mode(ask, card, query)
        if mode is None:
            return NOTHING_KNOWN
        if mode is not Mode.CHAT:
            return _not_chatting(mode, card, props)
        jinja = await _takes_tools(ask, card, query)
    except NoAnswerError:
        return NOTHING_KNOWN
    return Facts(mode=Fact(mode, Origin.PROBE), abilities=_chatting(props, takes_tools=jinja))


async def _mode(ask: Ask, card: Card, query: str) -> Mode | None:
    """Tell the mode from routes that are switched off: these say 501, the others miss their arguments.

    With --embeddings and --reranking chat answers all the same; but --embeddings is there to "restrict to
    only support embedding use case; use only with dedicated embedding models" (its own help), and whoever
    starts a server that way has such a model. --reranking switches both routes on.
    """
    nothing = {"model": card["id"]}
    embeds = await ask.post(f"/v1/embeddings{query}", nothing)
    if embeds.status == HTTPStatus.NOT_IMPLEMENTED and b"--embeddings" in embeds.body:
        return Mode.CHAT
    if embeds.status != HTTPStatus.BAD_REQUEST or b'"input\\"' not in embeds.body:
        return None
    ranks = await ask.post(f"/v1/rerank{query}", nothing)
    if ranks.status == HTTPStatus.NOT_IMPLEMENTED and b"--reranking" in ranks.body:
        return Mode.EMBEDDING
    return Mode.RERANK if ranks.status == HTTPStatus.BAD_REQUEST and b'"query\\"' in ranks.body else None


async def _takes_tools(ask: Ask, card: Card, query: str) -> bool | None:
    """Tell whether the server was started without --no-jinja, with which it refuses all tools."""
    reply = await ask.post(f"/v1/chat/completions{query}", {"model": card["id"], "tools": [_TOOL]})
    if reply.status == HTTPStatus.BAD_REQUEST and b"'messages' is required" in reply.body:
        return True
    if reply.status == HTTPStatus.INTERNAL_SERVER_ERROR and b"requires --jinja" in reply.body:
        return False
    return None


def _not_chatting(mode: Mode, card: Card, props: Mapping[str, Any]) -> Facts:
    size = tokens(under(card, "meta").get("n_embd"))
    # /v1/embeddings takes image parts where the model sees (server-context.cpp, handle_embeddings_impl).
    sees = under(props, "modalities").get("vision") is True and mode is Mode.EMBEDDING
    images = Fact(sees, Origin.ENGINE)
    return Facts(
        mode=Fact(mode, Origin.PROBE),
        embedding_size=Fact(size, Origin.ENGINE) if size and mode is Mode.EMBEDDING else UNKNOWN,
        abilities={**NO_CHAT, Ability.EMBEDDING_IMAGE_INPUT: images},
    )


def _chatting(props: Mapping[str, Any], *, takes_tools: bool | None) -> dict[Ability, Fact[bool]]:
    """Read an answer of /props.

    `supports_tools` only says that the template writes the tools into the prompt. Calls are read out of an
    answer, and forced by tool_choice, only where it `supports_tool_calls` (chat-diff-analyzer.cpp,
    chat-auto-parser-generator.cpp). Both are needed.
    """
    caps, senses = under(props, "chat_template_caps"), under(props, "modalities")
    calls = _both(_flag(caps, "supports_tools"), _both(_flag(caps, "supports_tool_calls"), takes_tools))
    told = abilities(
        Origin.ENGINE,
        function_calling=calls,
        # auto, none and required; the latter by a grammar (chat.cpp, common_chat_tool_choice_parse_oaicompat)
        tool_choice=calls,
        parallel_function_calling=_both(calls, _flag(caps, "supports_parallel_tool_calls")),
        system_messages=_flag(caps, "supports_system_role"),
        vision=_flag(senses, "vision"),
        audio_input=_flag(senses, "audio"),
        video_input=_flag(senses, "video"),
        embedding_image_input=False,
        reasoning=_reasons(caps, text(props.get("chat_template"))),
    )
    # A JSON schema becomes a grammar, whatever the model (tools/server/README.md, response_format).
    return {**told, **abilities(Origin.DEFAULT, response_schema=True)}


def _reasons(caps: Mapping[str, Any], template: str | None) -> bool | None:
    """Tell from the chat template whether the model thinks; one that only strips thoughts may not."""
    if caps.get("supports_preserve_reasoning") is True or caps.get("supports_reasoning_effort") is True:
        return True
    if template is None:
        return None
    if "enable_thinking" in template:  # the switch of those that may and may not
        return True
    return None if any(mark in template.lower() for mark in _THOUGHTS) else False


def _flag(source: Mapping[str, Any], key: str) -> bool | None:
    value = source.get(key)
    return value if isinstance(value, bool) else None


def _both(one: bool | None, other: bool | None) -> bool | None:  # noqa: FBT001 - a logical and, with unknown
    if one is False or other is False:
        return False
    return True if one and other else None


def _facts(card: Card, about: About) -> Facts:
    """Read the context length (of one slot) and the quantization; a router has them in each card only."""
    meta, settings = under(card, "meta"), under(about, "default_generation_settings")
    length = first_tokens(meta, ("n_ctx",)) or first_tokens(settings, ("n_ctx",))
    kind = text(meta.get("ftype")) or text(about.get("model_ftype"))
    return Facts(
        context=UNKNOWN if length is None else Fact(length, Origin.ENGINE),
        quantization=UNKNOWN if kind is None else Fact(kind, Origin.ENGINE),
    )


LLAMA_CPP: Final = Profile(
    name="llama.cpp",
    about=_PROPS,
    gauges=Gauges("/metrics", ("llamacpp:requests_processing", "llamacpp:requests_deferred")),
    version=lambda about: text(about.get("build_info")),
    facts=_facts,
    probes=(
        Probe(
            frozenset(
                {"mode", "function_calling", "system_messages", "vision", "audio_input", "video_input"}
            ),
            _ask,
        ),
    ),
    defaults=Facts(
        abilities={
            **HOSTED_ONLY,
            # Parts of a message are text, image_url, input_audio and input_video (server-common.cpp); no speech.
            **abilities(Origin.DEFAULT, pdf_input=False, audio_output=False),
        }
    ),
    asleep=_asleep,
)
