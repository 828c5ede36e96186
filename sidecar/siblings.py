"""Rows of one name and how LiteLLM shares requests out among them. Pure.

LiteLLM's simple_shuffle (litellm/router_strategy/simple_shuffle.py, 1.106) takes the first of weight, rpm and
tpm that any row of the name has above zero, and gives each row its share of it: rows without that key get
nothing. So rows that all have a weight share alike, whatever their rpm and tpm (docs/adr/0007).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

WEIGHT: Final = "weight"
DEFAULT_WEIGHT: Final = 1
_KEYS: Final = (WEIGHT, "rpm", "tpm")

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """`lacking` of `rows` rows have no `key`, by which LiteLLM shares out: they get no request."""

    key: str
    lacking: int
    rows: int


def disagreement(group: Iterable[Params]) -> Disagreement | None:
    """Tell whether some of these rows (`litellm_params` of each that is not blocked) starve; None if not.

    A row whose key is 0 is meant to get nothing.
    """
    rows = tuple(group)
    for key in _KEYS:
        if any(_positive(row.get(key)) for row in rows):
            lacking = sum(row.get(key) is None for row in rows)
            return Disagreement(key, lacking, len(rows)) if lacking else None
    return None


def wants_weight(own: Params | None, others: Iterable[Params]) -> bool:
    """Tell whether a row of ours is to carry our default weight, given its siblings that are not blocked.

    `own` is the row as it is stored, None if it is not there yet. Siblings that have no weight would starve
    beside ours, so it is left out, unless another one's starves them already: then so would our row without.
    What is stored stays (LiteLLM removes no key).
    """
    others = tuple(others)
    stored = own is not None and own.get(WEIGHT) is not None
    agreed = all(other.get(WEIGHT) is not None for other in others)
    return stored or agreed or any(_positive(other.get(WEIGHT)) for other in others)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and value > 0
