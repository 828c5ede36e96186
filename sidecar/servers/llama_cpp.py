"""llama.cpp's own server, by its sources (tools/server, common) and measured (llama-server b1-0c1e570).

A POST wakes a server that sleeps (`--sleep-idle-seconds`), even one that is refused; GET /v1/models, /props,
/metrics and /health do not (measured). So the state is asked for before anything is posted.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from sidecar.servers.ask import Ask
from sidecar.servers.engine import About, Profile
from sidecar.servers.facts import (
    HOSTED_ONLY,
    NOTHING_KNOWN,
    Ability,
    Fact,
    Facts,
    Mode,
    Origin,
    abilities,
    said,
)
from sidecar.servers.gauges import Gauges
from sidecar.servers.listing import Card, first_tokens, flag, label, text, tokens, under
from sidecar.servers.probe import Probe

_PROPS: Final = "/props"
# A tool and no messages: refused before anything is computed (oaicompat_chat_params_parse).
_TOOL: Final = {"type": "function", "function": {"name": "probe", "parameters": {"type": "object"}}}
# Marks of the known ways to write thoughts, in whatever case: <think>, [THINK], <thought>, gpt-oss' channels,
# reasoning_content. A template with none of them cannot set a thought apart.
_THOUGHTS: Final = ("think", "thought", "reason", "channel")

# Reasoning is not among what makes one ask again: what a template leaves open it leaves open for good.
_TOLD: Final = frozenset({"function_calling", "system_messages", "vision", "audio_input", "video_input"})


async def _asleep(ask: Ask) -> bool | None:
    return flag((await ask.wanted(_PROPS)).get("is_sleeping"))


async def _props(ask: Ask, card: Card) -> tuple[str, Mapping[str, Any]] | None:
    """Give the query that names a model, and its /props; None if it would have to be loaded or woken."""
    state = under(card, "status").get("value")  # only a router (several models) tells it
    if state not in (None, "loaded"):
        return None
    query = "" if state is None else f"?model={quote(card['id'], safe='')}&autoload=false"
    props = await ask.optional(_PROPS + query) or {}
    if props.get("is_sleeping") is True or "default_generation_settings" not in props:
        return None
    return query, props


async def _mode(ask: Ask, card: Card) -> Facts:
    """Tell the mode from routes that are switched off: these say 501, the others miss their arguments.

    With --embeddings and --reranking chat answers all the same; but --embeddings is there to "restrict to
    only support embedding use case; use only with dedicated embedding models" (its own help), and whoever
    starts a server that way has such a model. --reranking switches both routes on.
    """
    known = await _props(ask, card)
    if known is None:
        return NOTHING_KNOWN
    query, props = known
    nothing = {"model": card["id"]}
    embeds = await ask.post(f"/v1/embeddings{query}", nothing)
    if embeds.status == HTTPStatus.NOT_IMPLEMENTED and b"--embeddings" in embeds.body:
        return Facts(mode=Fact(Mode.CHAT, Origin.PROBE))
    if embeds.status != HTTPStatus.BAD_REQUEST or b'"input\\"' not in embeds.body:
        return NOTHING_KNOWN
    ranks = await ask.post(f"/v1/rerank{query}", nothing)
    if ranks.status == HTTPStatus.BAD_REQUEST and b'"query\\"' in ranks.body:
        return Facts(mode=Fact(Mode.RERANK, Origin.PROBE))
    if ranks.status != HTTPStatus.NOT_IMPLEMENTED or b"--reranking" not in ranks.body:
        return NOTHING_KNOWN
    size, sees = tokens(under(card, "meta").get("n_embd")), flag(under(props, "modalities").get("vision"))
    return Facts(
        mode=Fact(Mode.EMBEDDING, Origin.PROBE),
        embedding_size=said(size),
        # With an encoder, images are let through (handle_embeddings_impl); that proves nothing: one whose
        # model was not made for it ended with an assertion (measured).
        abilities=abilities(Origin.ENGINE, embedding_image_input=False if sees is False else None),
    )


async def _able(ask: Ask, card: Card) -> Facts:
    """Find out what a model that chats can do."""
    known = await _props(ask, card)
    if known is None:
        return NOTHING_KNOWN
    query, props = known
    return Facts(abilities=_abilities(props, jinja=await _jinja(ask, card, query)))


async def _jinja(ask: Ask, card: Card, query: str) -> bool | None:
    """Tell whether the server uses the chat template; with --no-jinja it refuses all tools."""
    reply = await ask.post(f"/v1/chat/completions{query}", {"model": card["id"], "tools": [_TOOL]})
    if reply.status == HTTPStatus.BAD_REQUEST and b"'messages' is required" in reply.body:
        return True
    if reply.status == HTTPStatus.INTERNAL_SERVER_ERROR and b"requires --jinja" in reply.body:
        return False
    return None


def _abilities(props: Mapping[str, Any], *, jinja: bool | None) -> dict[Ability, Fact[bool]]:
    """Read an answer of /props.

    `supports_tools` only says that the template writes the tools into the prompt. Calls are read out of an
    answer, and forced by tool_choice, only where it `supports_tool_calls` (chat-diff-analyzer.cpp,
    chat-auto-parser-generator.cpp). Both are needed.
    """
    caps, senses = under(props, "chat_template_caps"), under(props, "modalities")
    calls = _both(flag(caps.get("supports_tools")), _both(flag(caps.get("supports_tool_calls")), jinja))
    told = abilities(
        Origin.ENGINE,
        function_calling=calls,
        # auto, none and required; the latter by a grammar (chat.cpp, common_chat_tool_choice_parse_oaicompat)
        tool_choice=calls,
        parallel_function_calling=_both(calls, flag(caps.get("supports_parallel_tool_calls"))),
        system_messages=flag(caps.get("supports_system_role")),
        vision=flag(senses.get("vision")),
        audio_input=flag(senses.get("audio")),
        video_input=flag(senses.get("video")),
        # Without the template thoughts stay in the text (chat.cpp, common_chat_templates_apply_legacy).
        reasoning=False if jinja is False else _reasons(caps, text(props.get("chat_template"))),
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


def _both(one: bool | None, other: bool | None) -> bool | None:  # noqa: FBT001 - a logical and, with unknown
    if one is False or other is False:
        return False
    return True if one and other else None


def _facts(card: Card, about: About) -> Facts:
    """Read the context length (of one slot) and the quantization; a router has them in each card only."""
    meta, settings = under(card, "meta"), under(about, "default_generation_settings")
    length = first_tokens(meta, ("n_ctx",)) or first_tokens(settings, ("n_ctx",))
    kind = label(meta.get("ftype")) or label(about.get("model_ftype"))
    return Facts(
        context=said(length),
        quantization=said(kind),
    )


LLAMA_CPP: Final = Profile(
    name="llama.cpp",
    about=_PROPS,
    gauges=Gauges("/metrics", ("llamacpp:requests_processing", "llamacpp:requests_deferred")),
    version=lambda about: label(about.get("build_info")),
    facts=_facts,
    probes=(
        Probe(frozenset({"mode"}), _mode),
        Probe(_TOLD, _able, modes=frozenset({Mode.CHAT})),
    ),
    defaults=Facts(
        abilities={
            **HOSTED_ONLY,
            # Parts of a message are text, image_url, input_audio, input_video (server-common.cpp); no speech.
            **abilities(Origin.DEFAULT, pdf_input=False, audio_output=False),
        }
    ),
    asleep=_asleep,
)
