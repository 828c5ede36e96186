"""No accepted pattern takes more steps than were reckoned, counted by a matcher that goes every way."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from sidecar import patterns


@dataclass(frozen=True)
class Node:
    """A pattern as it is written, and its matcher: gives each end, from a start."""

    text: str
    ends: Callable[[Walk, int], Iterator[int]]


@dataclass
class Walk:
    """One search: every look at a character, a branch or a repeat is a step."""

    text: str
    steps: int = field(default=0)


def single(text: str, takes: str) -> Node:
    """Match one character."""

    def ends(walk: Walk, at: int) -> Iterator[int]:
        walk.steps += 1
        if at < len(walk.text) and walk.text[at] in takes:
            yield at + 1

    return Node(text, ends)


def beginning(walk: Walk, at: int) -> Iterator[int]:
    """Match at the beginning only."""
    walk.steps += 1
    if at == 0:
        yield at


def sequence(parts: list[Node]) -> Node:
    """Match one after the other."""

    def ends(walk: Walk, at: int, index: int = 0) -> Iterator[int]:
        if index == len(parts):
            yield at
            return
        for end in parts[index].ends(walk, at):
            yield from ends(walk, end, index + 1)

    return Node("".join(part.text for part in parts), ends)


def alternation(parts: list[Node]) -> Node:
    """Match any of these."""

    def ends(walk: Walk, at: int) -> Iterator[int]:
        walk.steps += 1
        for part in parts:
            yield from part.ends(walk, at)

    return Node("(?:" + "|".join(part.text for part in parts) + ")", ends)


def repeat(part: Node, counts: tuple[str, int, int]) -> Node:
    """Match again and again."""
    sign, low, high = counts

    def ends(walk: Walk, at: int, done: int = 0) -> Iterator[int]:
        if done == 0:
            walk.steps += 1
        if done < high:
            for end in part.ends(walk, at):
                yield from ends(walk, end, done + 1)
        if done >= low:
            yield at

    return Node(f"(?:{part.text}){sign}", ends)


COUNTS = [("*", 0, 999), ("+", 1, 999), ("?", 0, 1), ("{2}", 2, 2), ("{0,3}", 0, 3), ("{1,9}", 1, 9)]
SINGLES = [single("a", "a"), single("b", "b"), single("[ab]", "ab"), single(".", "ab"), Node("^", beginning)]
NODES = st.recursive(
    st.sampled_from(SINGLES),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(sequence)
        | st.lists(inner, min_size=2, max_size=3).map(alternation)
        | st.builds(repeat, inner, st.sampled_from(COUNTS))
    ),
    max_leaves=10,
)
LENGTH = 12


@settings(max_examples=500, deadline=None)
@given(NODES, st.text("ab", min_size=LENGTH, max_size=LENGTH))
@example(sequence([repeat(SINGLES[0], COUNTS[0])] * 3), "a" * LENGTH)
def test_a_search_takes_no_more_steps_than_reckoned(node: Node, text: str) -> None:
    """A matcher that tries every way from every start, to the end of all ways, stays within the bound."""
    # A short text, so that exponential growth would be seen and what is accepted ends soon.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patterns, "MAX_TEXT", LENGTH)
        try:
            reckoned = patterns.steps(node.text)
        except ValueError:
            assume(False)
    assume(reckoned < 100_000)
    walk = Walk(text)
    for start in range(LENGTH + 1):
        for _ in node.ends(walk, start):
            pass
    assert walk.steps <= reckoned


PIECES = st.sampled_from(
    [
        *"ab0-.*+?()[]{}|^$,:&~<>é\\",
        r"\d",
        r"\w",
        r"\b",
        r"\A",
        "?:",
        "?P<n>",
        "?=",
        "?!",
        "(?i)",
        "{2}",
        "{,3}",
        "{1,}",
        "{9,1}",
    ]
)


@settings(max_examples=2000, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=20))
def test_what_is_accepted_is_a_pattern_of_python(pattern: str) -> None:
    """Nothing is accepted that `re` does not take, or warns of; nothing but ValueError is raised."""
    try:
        patterns.checked(pattern)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - most are refused
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled: re.Pattern[Any] = re.compile(pattern)
    assert patterns.found(pattern, "ab-0") == bool(compiled.search("ab-0"))
