"""JSON Patch as far as we use it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.patch import Op, PatchError, apply, pointer

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def test_op_as_sent() -> None:
    """An operation is sent as RFC 6902 spells it; a remove has no value, a null value is a value."""
    assert Op("add", "/a", None).to_json() == {"op": "add", "path": "/a", "value": None}
    assert Op("replace", "/a", [1]).to_json() == {"op": "replace", "path": "/a", "value": [1]}
    assert Op("remove", "/a").to_json() == {"op": "remove", "path": "/a"}


def test_pointer_escapes() -> None:
    """`~` and `/` within a key are escaped, in the order that can be undone."""
    assert pointer("metadata", "annotations", "a.io/b~c") == "/metadata/annotations/a.io~1b~0c"
    assert pointer("~1") == "/~01"
    assert pointer("spec", 0, "-") == "/spec/0/-"
    assert pointer() == ""


@given(KEYS, st.integers())
def test_any_key_is_reached(key: str, value: int) -> None:
    """What is added under a key is found under that key, whatever characters it has."""
    assert apply({"outer": {}}, [Op("add", pointer("outer", key), value)]) == {"outer": {key: value}}


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ([Op("add", "/list/-", 3)], {"list": [1, 2, 3], "map": {"k": None}}),
        ([Op("add", "/list/0", 0)], {"list": [0, 1, 2], "map": {"k": None}}),
        ([Op("add", "/list/2", 3)], {"list": [1, 2, 3], "map": {"k": None}}),
        ([Op("replace", "/list/1", 5)], {"list": [1, 5], "map": {"k": None}}),
        ([Op("remove", "/list/0")], {"list": [2], "map": {"k": None}}),
        ([Op("add", "/map/k", 1)], {"list": [1, 2], "map": {"k": 1}}),
        ([Op("replace", "/map/k", 1)], {"list": [1, 2], "map": {"k": 1}}),
        ([Op("remove", "/map/k")], {"list": [1, 2], "map": {}}),
        (
            [Op("add", "/new", {}), Op("add", "/new/x", 1)],
            {"list": [1, 2], "map": {"k": None}, "new": {"x": 1}},
        ),
        ([Op("replace", "", 7)], 7),
    ],
)
def test_apply(ops: list[Op], expected: Any) -> None:
    """Operations are applied in order, to maps, lists and the document itself."""
    assert apply({"list": [1, 2], "map": {"k": None}}, ops) == expected


@pytest.mark.parametrize(
    "op",
    [
        Op("add", "/absent/x", 1),
        Op("add", "/list/3", 1),
        Op("add", "/list/01", 1),
        Op("add", "/list/-1", 1),
        Op("replace", "/list/2", 1),
        Op("replace", "/list/-", 1),
        Op("remove", "/list/2"),
        Op("remove", "/absent"),
        Op("replace", "/absent", 1),
        Op("add", "/text/x", 1),
        Op("add", "/list/-/x", 1),
    ],
)
def test_apply_refuses(op: Op) -> None:
    """An operation that does not fit is an error that names its path, never a silent nothing."""
    with pytest.raises(PatchError) as caught:
        apply({"list": [1, 2], "text": "t"}, [op])
    assert str(caught.value).startswith(op.path)


def test_apply_leaves_its_arguments() -> None:
    """Neither the document nor a value of an operation is shared with the result."""
    document, value = {"a": {"b": [1]}}, {"c": [2]}
    before = copy.deepcopy(document)
    result = apply(document, [Op("add", "/x", value), Op("add", "/x/c/-", 3), Op("add", "/a/b/-", 4)])
    assert result == {"a": {"b": [1, 4]}, "x": {"c": [2, 3]}}
    assert document == before
    assert value == {"c": [2]}
