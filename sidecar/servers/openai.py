"""Servers that speak OpenAI's API, and what is known of some of them beyond it.

Each profile names where its facts come from. Of a server of no known kind (`GENERIC`) only the list is read.
"""

from __future__ import annotations

from typing import Any, Final

from sidecar.servers import active
from sidecar.servers.engine import About, Profile
from sidecar.servers.facts import HOSTED_ONLY, UNKNOWN, Ability, Fact, Facts, Mode, Origin, abilities, said
from sidecar.servers.listing import Card, first_tokens, label, text

GENERIC: Final = Profile(name="openai", active=active.QUESTIONS)

_NO_SPEECH: Final = Facts(abilities={**HOSTED_ONLY, **abilities(Origin.DEFAULT, audio_output=False)})


def _infinity(card: Card, _about: About) -> Facts:
    able: Any = card.get("capabilities")
    if not isinstance(able, list):
        return Facts()
    modes = (("embed", Mode.EMBEDDING), ("rerank", Mode.RERANK))
    return Facts(
        mode=next((Fact(mode, Origin.ENGINE) for name, mode in modes if name in able), UNKNOWN),
        abilities={Ability.EMBEDDING_IMAGE_INPUT: Fact("image_embed" in able, Origin.ENGINE)},
    )


# infinity-emb 0.0.78, infinity_server.py: a card lists what its model can do. It has no chat. Without
# --url-prefix /v1 its list is under /models, where it is not looked for.
INFINITY: Final = Profile(
    name="infinity",
    facts=_infinity,
    active=active.QUESTIONS,
    defaults=Facts(
        abilities={
            ability: Fact(False, Origin.DEFAULT)
            for ability in Ability
            if ability is not Ability.EMBEDDING_IMAGE_INPUT
        }
    ),
)

# llama-cpp-python's server tells nothing, takes tools whatever the model, and pastes an image into the prompt
# as text (0.3.36, measured).
LLAMA_CPP_PYTHON: Final = Profile(name="llama-cpp-python", active=active.QUESTIONS, defaults=_NO_SPEECH)


def _tgi(_card: Card, about: About) -> Facts:
    length = first_tokens(about, ("max_total_tokens",))
    return Facts(context=said(length))


# text-generation-inference, router/src/server.rs
TGI: Final = Profile(name="tgi", about="/info", facts=_tgi, active=active.QUESTIONS, defaults=_NO_SPEECH)

# LocalAI, /.well-known/localai.json. It loads a model when asked something, so nothing is
# asked; it has backends of all kinds.
LOCALAI: Final = Profile(name="localai", about="/.well-known/localai.json")


def _lm_studio(card: Card, about: About) -> Facts:
    entries: Any = about.get("data")
    listed = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    entry: dict[str, Any] = next((entry for entry in listed if entry.get("id") == card["id"]), {})
    kinds = {"llm": Mode.CHAT, "vlm": Mode.CHAT, "embeddings": Mode.EMBEDDING}
    kind = text(entry.get("type")) or ""
    length, quantization = first_tokens(entry, ("loaded_context_length",)), label(entry.get("quantization"))
    able: Any = entry.get("capabilities")
    # Models without it get tools by a prompt of LM Studio's own, which may do or not.
    tools = True if isinstance(able, list) and "tool_use" in able else None
    return Facts(
        mode=Fact(kinds[kind], Origin.ENGINE) if kind in kinds else UNKNOWN,
        context=said(length),
        quantization=said(quantization),
        abilities=abilities(
            Origin.ENGINE,
            vision={"llm": False, "vlm": True}.get(kind),
            function_calling=tools,
            tool_choice=tools,  # none, auto, required (lmstudio.ai/docs/developer/api-changelog)
        ),
    )


# LM Studio, lmstudio.ai/docs/api/rest-api (/api/v0/models). `max_context_length` is the trained one; a model
# is loaded when it is asked something, so nothing is asked.
LM_STUDIO: Final = Profile(name="lm-studio", about="/api/v0/models", facts=_lm_studio, defaults=_NO_SPEECH)
