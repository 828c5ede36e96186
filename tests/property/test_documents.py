"""Whatever text comes in, a plain JSON value comes out, or a DocumentError."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook import documents
from webhook.documents import DocumentError

PIECES = st.sampled_from(
    [
        *"{}[],:-?!&*#|>'\"\n ~=<%@`\\",
        "  ",
        "- ",
        ": ",
        "a",
        "1",
        "0x1",
        "1e9",
        "no",
        "---\n",
        "<<",
        "!!str ",
        "&a ",
        "*a",
    ]
)
TEXTS = st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=30)
SAFE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | SAFE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAFE, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS)
def test_any_text_is_json_or_refused(text: str) -> None:
    """No other error, no value that JSON does not have, and every fault has a message."""
    try:
        value = documents.read(text)
    except DocumentError as error:
        assert all(fault.message for fault in error.found)  # noqa: PT017 - most texts are refused
    else:
        assert json.loads(json.dumps(value, allow_nan=False)) == value


@given(
    st.lists(VALUES, max_size=3) | st.dictionaries(SAFE, VALUES, max_size=3), st.sampled_from([None, 2, "\t"])
)
def test_json_means_the_same(value: Any, indent: int | str | None) -> None:
    """In every layout, and with letters written as escapes."""
    assert documents.read(json.dumps(value, indent=indent)) == value
