"""Servers that speak OpenAI's API, and what is known of some of them beyond it.

Each profile names where its facts come from. Of a server of no known kind (`GENERIC`) only the list is read.
"""

from __future__ import annotations

from typing import Any, Final

from sidecar.servers.engine import About, Profile
from sidecar.servers.facts import UNKNOWN, Fact, Facts, Mode, Origin
from sidecar.servers.gauges import Gauges
from sidecar.servers.listing import Card, first_tokens

GENERIC: Final = Profile(name="openai")


def _context(source: About, key: str) -> Facts:
    length = first_tokens(source, (key,))
    return Facts(context=UNKNOWN if length is None else Fact(length, Origin.ENGINE))


def _sglang(_card: Card, about: About) -> Facts:
    heads = about.get("architectures")
    classifies = isinstance(heads, list) and any("Classification" in str(head) for head in heads)
    embeds = about.get("is_generation") is False and not classifies
    return Facts(mode=Fact(Mode.EMBEDDING, Origin.ENGINE) if embeds else UNKNOWN)


# SGLang 0.5, sglang/srt/entrypoints/http_server.py. Not its /health: that one generates a token.
SGLANG: Final = Profile(
    name="sglang",
    health="/ready",
    about="/model_info",
    gauges=Gauges("/metrics", ("sglang:num_running_reqs", "sglang:num_queue_reqs")),
    facts=_sglang,
)


def _infinity(card: Card, _about: About) -> Facts:
    able: Any = card.get("capabilities")
    if not isinstance(able, list):
        return Facts()
    modes = (("embed", Mode.EMBEDDING), ("rerank", Mode.RERANK))
    return Facts(mode=next((Fact(mode, Origin.ENGINE) for name, mode in modes if name in able), UNKNOWN))


# infinity-emb 0.0.78, infinity_server.py: a card lists what its model can do.
INFINITY: Final = Profile(name="infinity", facts=_infinity)
LLAMA_CPP_PYTHON: Final = Profile(name="llama-cpp-python")
# text-generation-inference, router/src/server.rs
TGI: Final = Profile(
    name="tgi", about="/info", facts=lambda _card, about: _context(about, "max_total_tokens")
)
# LocalAI, /.well-known/localai.json
LOCALAI: Final = Profile(name="localai", about="/.well-known/localai.json")
