"""What LiteLLM is told of a model: the registrar's facts, and over them what the owner says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sidecar import patterns
from sidecar.contract import Settings
from sidecar.servers.facts import Ability, Fact, Facts, Mode, Origin

# Keys of a row that are the registrar's alone, whatever the settings hold.
OWN_INFO: Final = frozenset({"id", "registrar", "blocked", "db_model"})
OWN_PARAMS: Final = frozenset({"model", "api_base", "api_key", "extra_headers"})

_MODES: Final = {mode.value: mode for mode in Mode}
# They write no tokens. LiteLLM's cost map has `max_output_tokens: 0` for such models too.
_WITHOUT_OUTPUT: Final = frozenset({Mode.EMBEDDING, Mode.RERANK})


@dataclass(frozen=True, slots=True)
class OwnersWord:
    """What the owner says of one model, as keys of `model_info` and `litellm_params`."""

    info: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)


def owners_word(served: str, settings: Settings) -> OwnersWord:
    """Put together what the settings say of a served id: each later one wins, key by key.

    In order: `mode`, then `model_info` and `litellm_params`, then every override that matches, as they are
    listed. A null takes back what was said before it. Keys that are the registrar's alone are passed over.
    """
    overrides = [override for override in settings.overrides if patterns.found(override.match, served)]
    info: dict[str, Any] = {"mode": settings.mode}
    for said in (settings.model_info, *(override.model_info for override in overrides)):
        info |= said
    params: dict[str, Any] = dict(settings.litellm_params)
    for override in overrides:
        params |= override.litellm_params
    return OwnersWord(_kept(info, OWN_INFO), _kept(params, OWN_PARAMS))


def overridden(facts: Facts, word: OwnersWord) -> Facts:
    """Give the facts with what the owner says in their place, where it is a fact at all."""
    info = word.info
    abilities = {
        ability: Fact(said, Origin.OVERRIDE)
        for ability in Ability
        if isinstance(said := info.get(f"supports_{ability}"), bool)
    }
    mode = _MODES.get(info["mode"]) if isinstance(info.get("mode"), str) else None
    context, size = _count(info.get("max_input_tokens")), _count(info.get("output_vector_size"))
    return replace(
        facts,
        mode=facts.mode if mode is None else Fact(mode, Origin.OVERRIDE),
        context=facts.context if context is None else Fact(context, Origin.OVERRIDE),
        embedding_size=facts.embedding_size if size is None else Fact(size, Origin.OVERRIDE),
        abilities={**facts.abilities, **abilities},
    )


def described(facts: Facts) -> tuple[dict[str, Any], list[str]]:
    """Give the keys of `model_info` that describe a model, and the names of those nobody knows.

    Every ability is there, an unknown one as false: LiteLLM fills one that is absent or null from the last
    row with the same `litellm_params.model` (measured on LiteLLM 1.106). An unknown number is left out, since
    none would be true.
    """
    info: dict[str, Any] = {"mode": facts.mode.value or Mode.CHAT}
    unknown = [] if facts.mode.known else ["mode"]
    for ability in Ability:
        fact = facts.ability(ability)
        info[f"supports_{ability}"] = fact.value is True
        if not fact.known:
            unknown.append(f"supports_{ability}")
    sizes = _sizes(facts)
    info |= {key: value for key, value in sizes.items() if value is not None}
    return info, unknown + [key for key, value in sizes.items() if value is None]


def _sizes(facts: Facts) -> dict[str, int | None]:
    """Give the numbers of a model; None is unknown, 0 is what a model of this mode has none of.

    The served context is what prompt and answer share, so it bounds each of them; `max_tokens` is LiteLLM's
    old name for the same. LiteLLM reads a server's own card so (litellm/llms/openai_like/model_info.py). A
    number that is left out shows another row's, or the one this row had in another mode.
    """
    context = facts.context.value
    output = 0 if facts.mode.value in _WITHOUT_OUTPUT else context
    embeds = facts.mode.value is Mode.EMBEDDING
    return {
        "max_tokens": context,
        "max_input_tokens": context,
        "max_output_tokens": output,
        "output_vector_size": facts.embedding_size.value if embeds else 0,
    }


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _kept(said: Mapping[str, Any], own: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key not in own and value is not None}
