"""What Ollama's own API says of a model; measured on 0.17.4, newer fields by the sources of 0.33. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.servers.facts import HOSTED_ONLY, UNKNOWN, Ability, Fact, Facts, Mode, Origin, abilities, said
from sidecar.servers.listing import label, text, tokens, under
from sidecar.servers.modes import implied

# Served without `num_ctx` where there is less than 24 GiB of video memory (Ollama, docs/context-length.mdx).
DEFAULT_CONTEXT: Final = 4096

_NUM_CTX: Final = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)
# /v1 has no field for tool_choice (openai/openai.go, ChatCompletionRequest; responses.go: "tool_choice is not
# supported"), takes no parts but text, image_url and (0.33) input_audio, and embeds only text.
_EVERY_MODEL: Final = {
    **HOSTED_ONLY,
    **abilities(
        Origin.DEFAULT,
        tool_choice=False,
        audio_output=False,
        video_input=False,
        pdf_input=False,
        embedding_image_input=False,
    ),
}
# Roles are for the template, and `format` is a grammar, whatever the model (docs/capabilities).
_EVERY_CHAT: Final = abilities(Origin.DEFAULT, system_messages=True, response_schema=True)


@dataclass(frozen=True, slots=True)
class Tag:
    """An entry of /api/tags: `able` are the capabilities, None in older ones; `remote` a cloud model."""

    digest: str | None = None
    able: frozenset[str] | None = None
    quantization: str | None = None
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer of /api/show: `num_ctx` is the Modelfile's, `trained` the model's own context length."""

    able: frozenset[str] | None = None
    trained: int | None = None
    num_ctx: int | None = None
    embedding_length: int | None = None
    quantization: str | None = None
    remote: bool = False


def tags(answer: Mapping[str, Any]) -> dict[str, Tag]:
    """Read an answer of /api/tags, by name."""
    return {
        name: Tag(
            digest=label(entry.get("digest")),
            able=_able(entry),
            quantization=_quantization(entry),
            remote=text(entry.get("remote_host")) is not None,
        )
        for name, entry in _named(answer)
    }


def loaded(ps: Mapping[str, Any]) -> dict[tuple[str, str | None], int]:
    """Give the context length of each loaded model in an answer of /api/ps, by name and digest."""
    found = {
        (name, label(entry.get("digest"))): tokens(entry.get("context_length")) for name, entry in _named(ps)
    }
    return {key: size for key, size in found.items() if size is not None}


def shown(show: Mapping[str, Any]) -> Shown:
    """Read an answer of /api/show."""
    info = under(show, "model_info")
    kind = info.get("general.architecture")
    num_ctx = _NUM_CTX.search(text(show.get("parameters")) or "")
    return Shown(
        able=_able(show),
        trained=tokens(info.get(f"{kind}.context_length")),
        num_ctx=None if num_ctx is None else tokens(int(num_ctx[1])),
        embedding_length=tokens(info.get(f"{kind}.embedding_length")),
        quantization=_quantization(show),
        remote=text(show.get("remote_host")) is not None,
    )


def serves(tag: Tag, show: Shown) -> bool:
    """Tell whether a model is one of ours: one that only makes images answers in none of our modes."""
    able = tag.able or show.able or frozenset()
    return "image" not in able or "completion" in able


def facts(tag: Tag, show: Shown, context: int | None) -> Facts:
    """Put together what is known of a model; `context` is the one it was seen loaded with, if it was."""
    able = tag.able or show.able
    mode = _mode(able or frozenset())
    size, quantization = show.embedding_length, show.quantization or tag.quantization
    return Facts(
        mode=said(mode),
        context=_context(show, context),
        embedding_size=Fact(size, Origin.ENGINE) if size and mode is Mode.EMBEDDING else UNKNOWN,
        quantization=said(quantization),
        abilities={**_EVERY_MODEL, **_abilities(mode, able or frozenset())},
    )


def _abilities(mode: Mode | None, able: frozenset[str]) -> Mapping[Ability, Fact[bool]]:
    if mode is not Mode.CHAT:
        return implied(mode).abilities
    tools = "tools" in able
    told = abilities(
        Origin.ENGINE,
        function_calling=tools,
        # Several calls in one answer are the model's own doing; nothing tells.
        parallel_function_calling=None if tools else False,
        vision="vision" in able,
        audio_input="audio" in able,
        reasoning="thinking" in able,
    )
    return {**_EVERY_CHAT, **told}


def _context(show: Shown, loaded: int | None) -> Fact[int]:
    """Give the served context length: loaded, else `num_ctx`, else the default; never over the trained.

    The default may be higher than is known here (OLLAMA_CONTEXT_LENGTH, much video memory); once the model
    was seen loaded, it is exact. A cloud model has its whole context.
    """
    if show.trained is None:
        told = loaded or show.num_ctx
        return said(told)
    told = loaded or show.num_ctx or (show.trained if show.remote else None)
    if told is None:
        return Fact(min(DEFAULT_CONTEXT, show.trained), Origin.DEFAULT)
    return Fact(min(told, show.trained), Origin.ENGINE)


def _mode(able: frozenset[str]) -> Mode | None:
    if "completion" in able:
        return Mode.CHAT
    return Mode.EMBEDDING if "embedding" in able else None


def _able(source: Mapping[str, Any]) -> frozenset[str] | None:
    words = source.get("capabilities")
    return frozenset(word for word in words if isinstance(word, str)) if isinstance(words, list) else None


def _quantization(source: Mapping[str, Any]) -> str | None:
    level = label(under(source, "details").get("quantization_level"))
    return None if level == "unknown" else level


def _named(answer: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    entries = answer.get("models")
    if not isinstance(entries, list):
        return []
    return [
        (name, entry) for entry in entries if isinstance(entry, dict) and (name := label(entry.get("name")))
    ]
