"""How often other facts of a model are believed."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.servers.facts import Fact, Facts, Origin, abilities
from sidecar.servers.shapes import Model
from sidecar.steadiness import MOST_CHANGES, WITHIN, Held, steadied


def model(context: int, **other: Any) -> Model:
    """Give a model with this context length."""
    return Model("m", facts=Facts(context=Fact(context, Origin.ENGINE), **other))


def believed(*told: tuple[float, Model]) -> tuple[int | None, ...]:
    """Give the context length that is believed after each answer (its time, the model)."""
    held: dict[str, Held] = {}
    lengths = []
    for now, each in told:
        held = steadied(held, (each,), now)
        lengths.append(held["m"].model.facts.context.value)
    return tuple(lengths)


def test_a_few_changes_are_believed_at_once() -> None:
    """An owner who makes a model anew several times sees each of them."""
    told = [(float(at), model(at + 1)) for at in range(MOST_CHANGES + 1)]
    assert believed(*told) == tuple(range(1, MOST_CHANGES + 2))


def test_the_next_change_has_to_wait_for_its_minute() -> None:
    """What is told after too many changes is believed when the first of them is a minute old."""
    told = [(float(at), model(at + 1)) for at in range(MOST_CHANGES + 1)]
    late = [(WITHIN + 0.9, model(99)), (WITHIN + 1.0, model(99))]
    assert believed(*told, *late)[-2:] == (MOST_CHANGES + 1, 99)


def test_what_only_adds_is_believed_however_often() -> None:
    """Learning is no contradiction: the answers of probes come one by one."""
    names = ("vision", "reasoning", "tool_choice", "audio_input", "pdf_input", "web_search", "video_input")
    held: dict[str, Held] = {}
    for count in range(len(names) + 1):
        known = abilities(Origin.PROBE, **dict.fromkeys(names[:count], True))
        held = steadied(held, (model(7, abilities=known),), 0.0)
    assert len(held["m"].model.facts.abilities) == len(names) > MOST_CHANGES
    assert not held["m"].changes


@pytest.mark.parametrize(
    "other",
    [{"digest": "2"}, {"root": "b"}, {"facts": Facts()}],
    ids=["digest", "root", "what was known is unknown"],
)
def test_what_counts_as_a_change(other: dict[str, Any]) -> None:
    """Another digest or root, or a fact known no more, is a change; another place in the list is none."""
    first = replace(model(7), digest="1", root="a")
    held = steadied({}, (first,), 0.0)
    assert steadied(held, (replace(first, **other),), 1.0)["m"].changes == (1.0,)
    assert not steadied(held, (replace(first, place=3),), 1.0)["m"].changes
