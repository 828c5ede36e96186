"""Rows of one name: which of them starve, and whether a row of ours carries our default weight."""

from typing import Any

import pytest

from sidecar.siblings import Disagreement, disagreement, wants_weight

BARE: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([], None),
        ([BARE], None),
        ([BARE, BARE], None),
        ([{"weight": 1}, {"weight": 1}], None),
        ([{"rpm": 5}, {"rpm": 9}], None),
        # The first key that any row has decides, whatever the others say.
        ([{"weight": 1, "rpm": 5}, {"weight": 1}], None),
        ([{"weight": 1}, {"weight": 2, "tpm": 7}, {"weight": 1, "rpm": 3}], None),
        ([{"rpm": 5, "tpm": 7}, {"rpm": 5}], None),
        # Rows without it get nothing (measured: 120 to 0).
        ([{"weight": 1}, BARE], Disagreement("weight", 1, 2)),
        ([{"weight": 1}, {"rpm": 5}, {"tpm": 5}], Disagreement("weight", 2, 3)),
        ([{"rpm": 5}, {"tpm": 5}], Disagreement("rpm", 1, 2)),
        ([{"tpm": 5}, BARE, BARE], Disagreement("tpm", 2, 3)),
        # LiteLLM shows a key that is not set as null, and passes over a key that is 0 in every row.
        ([{"weight": None}, {"weight": 1}], Disagreement("weight", 1, 2)),
        ([{"weight": 0}, {"weight": 0, "rpm": 5}], Disagreement("rpm", 1, 2)),
        # A row whose weight is 0 is meant to get nothing.
        ([{"weight": 0}, {"weight": 1}], None),
        # What LiteLLM would choke on starves nobody.
        ([{"weight": "1"}, BARE], None),
    ],
)
def test_which_rows_starve(group: list[dict[str, Any]], expected: Disagreement | None) -> None:
    """LiteLLM shares out by the first of weight, rpm and tpm that any row of the name has above zero."""
    assert disagreement(group) == expected


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        # Alone, or among rows that have a weight: each gets its share.
        (None, [], True),
        (None, [{"weight": 1}, {"weight": 3}], True),
        # Among rows that have none ours would take everything.
        (None, [BARE], False),
        (None, [BARE, {"rpm": 5}], False),
        # Where one has it, a row without gets nothing.
        (None, [BARE, {"weight": 1}], True),
        (BARE, [BARE, {"weight": 1}], True),
        # A row that is there keeps what it has as long as that is right.
        ({"weight": 1}, [BARE], True),
        (BARE, [BARE], False),
        (BARE, [], True),
        # A row whose weight is 0 is meant to get nothing, and would get its share of rows without.
        (None, [{"weight": 0}], True),
        (None, [{"weight": 0}, BARE], False),
    ],
)
def test_whether_our_weight_is_sent(
    own: dict[str, Any] | None, others: list[dict[str, Any]], *, expected: bool
) -> None:
    """Our default weight joins those that have one, and starves none that have not."""
    assert wants_weight(own, others) is expected
