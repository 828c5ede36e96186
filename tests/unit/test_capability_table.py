"""The table of answers under tests/capabilities: nothing is ever said of a model that is not true."""

from __future__ import annotations

import pytest

from sidecar.contract import Engine, Probing
from tests.capabilities.table import Row, found, load

ROWS = load()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_truth(row: Row) -> None:
    """Of this server every fact is found as it is: yes, no, unknown, and the numbers."""
    seen = await found(row)
    wrong = {key: (row.expected.get(key), seen.get(key)) for key in row.expected.keys() | seen.keys()}
    assert {key: pair for key, pair in wrong.items() if pair[0] != pair[1]} == {}


def test_the_table_is_sound() -> None:
    """There are at least 60 rows, no two of one name, of every label, source and kind of probing."""
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names)) >= 60
    assert {row.label for row in ROWS} == set(Engine)
    assert {row.recorded for row in ROWS} == {True, False}
    assert {row.probing for row in ROWS} == set(Probing)
    assert all(row.source for row in ROWS)
