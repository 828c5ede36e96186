"""Ids of rows: one for each name of each model of each pod, and for nothing else."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.row_contract import row_id

Parts = tuple[str, str, str, str, int, str | None]
PARTS = st.tuples(st.text(), st.text(), st.text(), st.text(), st.integers(0, 5), st.none() | st.text())


def key_of(parts: Parts) -> str:
    """Give the id of these parts."""
    cluster, namespace, pod_uid, model, generation, alias = parts
    return row_id(cluster, namespace, pod_uid, model, generation, alias=alias)


@given(PARTS, PARTS)
@example(("a", "b", "c", "d", 0, None), ("a", "b", 'c","d', "", 0, None))
@example(("a", "bc", "d", "e", 0, None), ("ab", "c", "d", "e", 0, None))
@example(("a", "b", "c", "d1", 0, None), ("a", "b", "c", "d", 10, None))
@example(("a", "b", "c", "d", 0, None), ("a", "b", "c", "d", 0, ""))
@example(("a", "b", "c", "d", 0, "d"), ("a", "b", "c", "d", 0, None))
def test_different_parts_have_different_ids(one: Parts, other: Parts) -> None:
    """Two ids are equal if and only if all their parts are; no alias is another part than an empty one."""
    assert (key_of(one) == key_of(other)) is (one == other)


@given(PARTS)
def test_an_id_is_safe_everywhere(parts: Parts) -> None:
    """An id needs no quoting in a URL and is never the name of the model it is for, nor of its alias."""
    key = key_of(parts)
    assert re.fullmatch(r"registrar-[0-9a-f]{24}-[0-9a-f]{24}", key)
    assert key not in (parts[3], parts[5])
