"""Quantities, and the quality of service class they make."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from webhook import quantity


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", "0"),
        ("1", "1"),
        ("250m", "0.25"),
        (".5", "0.5"),
        ("1.", "1"),
        ("+2", "2"),
        ("-1", "-1"),
        ("64Mi", "67108864"),
        ("1.5Gi", "1610612736"),
        ("1Ei", "1152921504606846976"),
        ("128974848", "128974848"),
        ("129e6", "129000000"),
        ("129E6", "129000000"),
        ("1e-3", "0.001"),
        ("1E", "1000000000000000000"),
        ("129M", "129000000"),
        ("1k", "1000"),
        ("100n", "0.0000001"),
        ("5u", "0.000005"),
        (2, "2"),
        (0.5, "0.5"),
    ],
)
def test_parse(text: object, amount: str) -> None:
    """Every form that apimachinery reads is read, exactly."""
    assert quantity.parse(text) == Decimal(amount)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "Mi",
        "1mi",
        "1KI",
        "1ki",
        "1e",
        "e3",
        "1e1.5",
        "1e9999",
        "1,5",
        "٣",
        "--1",
        None,
        True,
        {},
    ],
)
def test_parse_refuses(text: object) -> None:
    """What is no quantity is an error that shows what was found and what is allowed."""
    with pytest.raises(ValueError, match="is no quantity; allowed are"):
        quantity.parse(text)


def both(cpu: Any, memory: Any) -> dict[str, Any]:
    """Give amounts of the two resources that count."""
    return {"cpu": cpu, "memory": memory}


@pytest.mark.parametrize(
    ("expected", "resources"),
    [
        (True, {"limits": both(1, "1Gi")}),
        (True, {"limits": both(1, "1Gi"), "requests": None}),
        (True, {"limits": both("1", "1Gi"), "requests": both("1000m", "1024Mi")}),
        (True, {"limits": both(1, "1Gi"), "requests": {"cpu": 1}}),
        (True, {"limits": {**both(1, 1), "nvidia.com/gpu": 1}, "requests": both(1, 1)}),
        (False, None),
        (False, {}),
        (False, {"requests": both(1, "1Gi")}),
        (False, {"limits": {"cpu": 1}}),
        (False, {"limits": both(1, "1Gi"), "requests": {"cpu": "999m"}}),
        (False, {"limits": both(0, 0), "requests": both(0, 0)}),
        (False, {"limits": both("x", 1)}),
        (False, {"limits": []}),
    ],
)
def test_guaranteed(expected: bool, resources: object) -> None:  # noqa: FBT001 - a column of the table
    """Guaranteed means that CPU and memory are limited and requested in full; no other resource counts."""
    assert quantity.guaranteed([{"resources": resources}]) is expected


def test_every_container_counts() -> None:
    """One container without limits, of whatever list, and the pod is not Guaranteed."""
    full = {"resources": {"limits": both(1, "1Gi")}}
    assert quantity.guaranteed([full, full])
    assert not quantity.guaranteed([full, {"name": "init"}])


@pytest.mark.parametrize(
    ("written", "count"),
    [("0", 0), (8, 8), ("8", 8), ("1k", 1000), ("2e1", 20), ("1000m", 1), ("1e99", 2**63 - 1)],
)
def test_whole(written: object, count: int) -> None:
    """A count may be written like any quantity, and is capped as the API server caps it."""
    assert quantity.whole(written) == count


@pytest.mark.parametrize("written", ["1500m", "-1", "0.5", "", "x", None, True, [], {}])
def test_no_whole_number(written: object) -> None:
    """Half a device is none, and what cannot be read is not 0."""
    with pytest.raises(ValueError, match=r"no whole number|no quantity"):
        quantity.whole(written)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("512Gi", "512Gi"),
        ("536870912Ki", "512Gi"),
        ("1025Mi", "1025Mi"),
        ("1024", "1024"),
        ("64", "64"),
        ("64.250", "64.25"),
        ("500m", "0.5"),
        ("1e-99", "0.000000001"),
        ("1e99", "9223372036854775807"),
        ("0", "0"),
    ],
)
def test_text(written: str, text: str) -> None:
    """An amount is told in the largest binary unit in which it is whole, else plainly and never at length."""
    assert quantity.text(quantity.parse(written)) == text
