"""Requests in flight out of a metrics page in Prometheus' text format."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gauges:
    """Where an engine tells its requests in flight: the page, and the gauges that add up to them."""

    path: str
    names: tuple[str, ...]


def in_flight(page: str, names: tuple[str, ...]) -> int | None:
    """Sum the gauges over all their series (vLLM has one per data-parallel engine).

    None when one of them is absent or no number: absent is not zero.
    """
    total = 0.0
    for name in names:
        values = list(_values(page, name))
        if not values or not all(math.isfinite(value) for value in values):
            return None
        total += sum(values)
    return max(0, round(total))


def _values(page: str, name: str) -> Iterator[float]:
    for line in page.splitlines():
        if not line.startswith(name):
            continue
        rest = line[len(name) :]
        if rest[:1] not in ("{", " ", "\t"):
            continue  # a longer name
        # Label values may hold anything; what follows the last brace is the value and perhaps a time.
        fields = rest.rpartition("}")[2].split()
        try:
            yield float(fields[0])
        except (IndexError, ValueError):
            yield math.nan
