"""How often a server is believed that tells other facts of a model than before. Pure.

Facts that come and go (two servers behind one address, a server that restarts again and again) would rewrite
the row and the log at each look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sidecar.servers.facts import NOTHING_KNOWN
from sidecar.servers.shapes import Model

# So many changes of one model are followed within so many seconds; the next has to wait.
MOST_CHANGES: Final = 6
WITHIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Held:
    """A model as it is believed to be; `changes` are the times of the last ones that contradicted it."""

    model: Model
    changes: tuple[float, ...] = ()

    @property
    def unsteady(self) -> bool:
        """Whether no further change would be followed now."""
        return len(self.changes) >= MOST_CHANGES


def steadied(before: Mapping[str, Held], models: Iterable[Model], now: float) -> dict[str, Held]:
    """Give what to believe of each of these models, by id; `now` in seconds on a clock that never goes back.

    What only adds to what is known is believed at once, however often.
    """
    return {
        model.id: Held(model) if model.id not in before else _next(before[model.id], model, now)
        for model in models
    }


def _next(before: Held, model: Model, now: float) -> Held:
    lately = tuple(at for at in before.changes if now - at < WITHIN)
    if _adds(before.model, model):
        return Held(model, lately)
    if len(lately) >= MOST_CHANGES:
        return replace(before, changes=lately)
    return Held(model, (*lately, now))


def _adds(before: Model, model: Model) -> bool:
    """Tell whether all that was known of a model is still so."""
    same = _bare(before) == _bare(model)
    return same and before.facts.or_else(model.facts) == model.facts


def _bare(model: Model) -> Model:
    return replace(model, place=0, facts=NOTHING_KNOWN)
