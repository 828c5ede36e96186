"""What is known of a model, written down for people: the log's values and what `/status` shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sidecar.servers.facts import Ability, Fact, Facts, Origin
from sidecar.servers.shapes import Model

# So much of a digest tells one from another.
_DIGEST_LENGTH: Final = 12
_ORIGINS: Final = tuple(Origin)

Told = str | tuple[str, ...] | None


def line(model: Model) -> dict[str, Told]:
    """Give a log line's values: each answer with its origin, and what nobody knows; None is left out.

    `mode=chat(engine) context=32768(engine) yes=function_calling(probe) no=vision(probe) unknown=reasoning`
    """
    facts = model.facts
    known = {ability: facts.ability(ability) for ability in Ability}
    # What is so with every such server tells least.
    known = dict(sorted(known.items(), key=lambda entry: _ORIGINS.index(entry[1].origin)))

    def having(answer: bool | None) -> tuple[str, ...] | None:  # noqa: FBT001 - yes, no or unknown
        named = (
            f"{ability}({fact.origin})" if fact.known else str(ability)
            for ability, fact in known.items()
            if fact.value is answer
        )
        return tuple(named) or None

    unknown = tuple(name for name, fact in _single(facts).items() if not fact.known and name in _WANTED)
    return {
        **{name: f"{fact.value}({fact.origin})" for name, fact in _single(facts).items() if fact.known},
        "digest": None if model.digest is None else model.digest[:_DIGEST_LENGTH],
        "yes": having(True),
        "no": having(False),
        "unknown": (*unknown, *(having(None) or ())) or None,
    }


def status(model: Model) -> dict[str, dict[str, Any]]:
    """Give every fact by its name with its value and origin; both are null for what nobody knows."""
    abilities = {f"supports_{ability}": model.facts.ability(ability) for ability in Ability}
    return {
        name: {"value": fact.value, "origin": fact.origin if fact.known else None}
        for name, fact in {**_single(model.facts), **abilities}.items()
    }


# Of the others many models have none.
_WANTED: Final = frozenset({"mode", "context"})


def _single(facts: Facts) -> Mapping[str, Fact[Any]]:
    return {
        "mode": facts.mode,
        "context": facts.context,
        "embedding_size": facts.embedding_size,
        "quantization": facts.quantization,
    }
