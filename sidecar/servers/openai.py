"""Servers that speak OpenAI's API, and what is known of some of them beyond it.

Each profile names where its facts come from. Of a server of no known kind (`GENERIC`) only the list is read.
"""

from __future__ import annotations

from typing import Any, Final

from sidecar.servers.engine import About, Profile
from sidecar.servers.gauges import Gauges
from sidecar.servers.listing import Card, first_tokens, text, under

GENERIC: Final = Profile(name="openai")

# llama.cpp, tools/server/README.md. Its chat answers with --embeddings too, so its mode is not certain.
LLAMA_CPP: Final = Profile(
    name="llama.cpp",
    about="/props",
    gauges=Gauges("/metrics", ("llamacpp:requests_processing", "llamacpp:requests_deferred")),
    version=lambda about: text(about.get("build_info")),
    context=lambda about: first_tokens(under(about, "default_generation_settings"), ("n_ctx",)),
)


def _sglang_mode(_card: Card, about: About) -> str | None:
    heads = about.get("architectures")
    classifies = isinstance(heads, list) and any("Classification" in str(head) for head in heads)
    return "embedding" if about.get("is_generation") is False and not classifies else None


# SGLang 0.5, sglang/srt/entrypoints/http_server.py. Not its /health: that one generates a token.
SGLANG: Final = Profile(
    name="sglang",
    health="/ready",
    about="/model_info",
    gauges=Gauges("/metrics", ("sglang:num_running_reqs", "sglang:num_queue_reqs")),
    mode=_sglang_mode,
)


def _infinity_mode(card: Card, _about: About) -> str | None:
    able: Any = card.get("capabilities")
    if not isinstance(able, list):
        return None
    return next(
        (mode for ability, mode in (("embed", "embedding"), ("rerank", "rerank")) if ability in able), None
    )


# infinity-emb 0.0.78, infinity_server.py: a card lists what its model can do.
INFINITY: Final = Profile(name="infinity", mode=_infinity_mode)
LLAMA_CPP_PYTHON: Final = Profile(name="llama-cpp-python")
# text-generation-inference, router/src/server.rs
TGI: Final = Profile(
    name="tgi", about="/info", context=lambda about: first_tokens(about, ("max_total_tokens",))
)
# LocalAI, /.well-known/localai.json
LOCALAI: Final = Profile(name="localai", about="/.well-known/localai.json")
