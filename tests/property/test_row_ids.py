"""Ids of rows: one for each model of each pod, and for nothing else."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.naming import row_id

PARTS = st.tuples(st.text(), st.text(), st.text(), st.text(), st.integers(0, 5))


@given(PARTS, PARTS)
@example(("a", "b", "c", "d", 0), ("a", "b", 'c","d', "", 0))
@example(("a", "bc", "d", "e", 0), ("ab", "c", "d", "e", 0))
@example(("a", "b", "c", "d1", 0), ("a", "b", "c", "d", 10))
def test_different_parts_have_different_ids(
    one: tuple[str, str, str, str, int], other: tuple[str, str, str, str, int]
) -> None:
    """Two ids are equal if and only if all their parts are."""
    assert (row_id(*one) == row_id(*other)) is (one == other)


@given(PARTS)
def test_an_id_is_safe_everywhere(parts: tuple[str, str, str, str, int]) -> None:
    """An id needs no quoting in a URL and is never the name of the model it is for."""
    key = row_id(*parts)
    assert re.fullmatch(r"registrar-[0-9a-f]{32}", key)
    assert key != parts[3]
