"""SGLang, by the sources of 0.5.23 (sglang/srt/entrypoints); not run here.

Its /health generates a token, so /ready is asked instead.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from sidecar.servers.active import embedding_size
from sidecar.servers.ask import Ask
from sidecar.servers.engine import About, Profile
from sidecar.servers.facts import HOSTED_ONLY, UNKNOWN, Fact, Facts, Mode, Origin, abilities, said
from sidecar.servers.gauges import Gauges
from sidecar.servers.listing import Card, flag, label, text, tokens
from sidecar.servers.probe import Probe

_USER: Final = {"role": "user", "content": "a"}
_GENERATES: Final = frozenset({Mode.CHAT, Mode.COMPLETION})


def _facts(_card: Card, about: About) -> Facts:
    """Read an answer of /model_info (http_server.py, model_info); older ones lack what came later."""
    heads = about.get("architectures")
    names = [str(head) for head in heads] if isinstance(heads, list) else []
    if any(name.startswith("Whisper") for name in names):
        return Facts(mode=Fact(Mode.AUDIO_TRANSCRIPTION, Origin.ENGINE))
    if about.get("is_generation") is not True:
        # A classifier may rerank or not.
        classifies = any("Classification" in name or "Reward" in name for name in names)
        embeds = about.get("is_generation") is False and not classifies
        return Facts(mode=Fact(Mode.EMBEDDING, Origin.ENGINE) if embeds else UNKNOWN)
    sees, hears = flag(about.get("has_image_understanding")), flag(about.get("has_audio_understanding"))
    calls = _set(about, "tool_call_parser")
    told = abilities(
        Origin.ENGINE,
        # Without a parser the calls stay in the text; only forced ones are read (serving_chat.py,
        # _process_tool_calls), so tool_choice is not certain there.
        function_calling=calls,
        tool_choice=True if calls else None,
        # The request's parallel_tool_calls is heeded (get_structure_constraint).
        parallel_function_calling=calls,
        reasoning=_set(about, "reasoning_parser"),
        vision=sees,
        audio_input=hears,
        # A model that takes text only refuses all media (_validate_media_content).
        video_input=False if sees is False and hears is False else None,
    )
    return Facts(abilities=told)


async def _template(ask: Ask, card: Card) -> Facts:
    """Tell chat from mere completion: /tokenize renders messages with the chat template, on the CPU alone.

    (serving_tokenize.py.) An older one knows no messages there and asks for a prompt, which tells nothing.
    """
    if (await ask.optional("/model_info") or {}).get("is_generation") is not True:
        return Facts()
    plain = await _tokenized(ask, card, _USER)
    if isinstance(plain, int):
        return Facts(mode=Fact(Mode.CHAT, Origin.PROBE))
    # transformers, tokenization_utils_base.py: "... because tokenizer.chat_template is not set ..."
    lacking = b"chat_template is not set" in plain
    return Facts(mode=Fact(Mode.COMPLETION, Origin.PROBE) if lacking else UNKNOWN)


async def _system(ask: Ask, card: Card) -> Facts:
    """Tell whether the chat template writes a system message into the prompt, or drops or refuses it.

    Two of different lengths are compared: one alone may take the place of the template's own.
    """
    short = await _tokenized(ask, card, {"role": "system", "content": "a"}, _USER)
    long = await _tokenized(ask, card, {"role": "system", "content": "a b c d e f g h"}, _USER)
    if isinstance(short, int) and isinstance(long, int):
        return Facts(abilities=abilities(Origin.PROBE, system_messages=long > short))
    # Gemma 2's template and those made after it: raise_exception("System role not supported").
    refused = isinstance(short, bytes) and b"ystem role not supported" in short
    return Facts(abilities=abilities(Origin.PROBE, system_messages=False if refused else None))


async def _tokenized(ask: Ask, card: Card, *messages: dict[str, str]) -> int | bytes:
    """Give the number of tokens, or the refusal."""
    reply = await ask.post("/tokenize", {"model": card["id"], "messages": list(messages)})
    count = tokens((reply.json_object() or {}).get("count")) if reply.status == HTTPStatus.OK else None
    if count is not None:
        return count
    return reply.body if reply.status == HTTPStatus.BAD_REQUEST else b""


async def _settings(ask: Ask, _card: Card) -> Facts:
    """Read the server's settings: schemas need a grammar backend, prefixes are cached unless that is off."""
    settings: dict[str, Any] = await ask.optional("/server_info") or {}
    grammar, cache_off = text(settings.get("grammar_backend")), flag(settings.get("disable_radix_cache"))
    told = abilities(
        Origin.ENGINE,
        response_schema=None if grammar is None else grammar != "none",
        prompt_caching=None if cache_off is None else not cache_off,
    )
    kind = label(settings.get("quantization"))
    return Facts(quantization=said(kind), abilities=told)


def _set(source: About, key: str) -> bool | None:
    """Tell whether an option has a value; unknown where the option itself is not told."""
    return source[key] is not None if key in source else None


SGLANG: Final = Profile(
    name="sglang",
    health="/ready",
    about="/model_info",
    gauges=Gauges("/metrics", ("sglang:num_running_reqs", "sglang:num_queue_reqs")),
    facts=_facts,
    probes=(
        Probe(frozenset({"mode"}), _template),
        Probe(frozenset({"system_messages"}), _system, modes=frozenset({Mode.CHAT})),
        Probe(frozenset({"response_schema", "prompt_caching"}), _settings, modes=_GENERATES),
    ),
    active=(Probe(frozenset({"embedding_size"}), embedding_size, modes=frozenset({Mode.EMBEDDING})),),
    defaults=Facts(
        # Parts of a message are text, image_url, video_url and audio_url (protocol.py); there is no speech.
        abilities={**HOSTED_ONLY, **abilities(Origin.DEFAULT, audio_output=False, pdf_input=False)}
    ),
)
