"""What the fault matrix counts as a wrong row: shown on rows that are right but for one thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.real.faults.judging import Wanted, wrong

JSON = dict[str, Any]
BLOCK = {"cluster": "c", "namespace": "models", "pod": "qwen-0", "pod_uid": "u-1"}
WANTED = Wanted("qwen", "http://10.0.0.1:8000/v1", BLOCK, 1024)
KEY = "registrar-1"


def row() -> JSON:
    """Give the row as it should be, with all that database and replicas tell of it."""
    info = {"id": KEY, "max_input_tokens": 1024, "registrar": {**BLOCK, "node": "n"}}
    params = {"model": "hosted_vllm/qwen", "api_base": WANTED.api_base}
    return {"model_name": "qwen", "blocked": False, "model_info": info, "litellm_params": params}


def judged(stored: JSON | None, shown: JSON | None, wanted: Wanted | None = WANTED) -> list[str]:
    """Judge a world of at most one row."""
    return wrong(
        {} if wanted is None else {KEY: wanted},
        {} if stored is None else {KEY: json.dumps(stored)},
        [{} if shown is None else {KEY: shown}],
    )


def test_a_row_as_it_should_be() -> None:
    """Nothing is said of it, nor of no row where none is wanted."""
    assert judged(row(), row()) == []
    assert judged(None, None, None) == []


@pytest.mark.parametrize(
    ("stored", "shown", "wanted", "counted"),
    [
        (False, False, True, 1),  # missing
        (True, True, False, 1),  # stale
        (True, False, True, 1),  # a replica does not know it
        (False, True, False, 1),  # a replica still does
    ],
)
def test_a_row_too_few_or_too_many(*, stored: bool, shown: bool, wanted: bool, counted: int) -> None:
    """A row is counted that is missing, that nobody wants, or of which database and replica disagree."""
    found = judged(row() if stored else None, row() if shown else None, WANTED if wanted else None)
    assert len(found) == counted


def renamed(row: JSON) -> None:
    """Call it something else."""
    row["model_name"] = "other"


def stolen(row: JSON) -> None:
    """Say that it is of another pod."""
    row["model_info"]["registrar"]["pod_uid"] = "u-2"


def outdated(row: JSON) -> None:
    """Say what was so before the update."""
    row["model_info"]["max_input_tokens"] = 512


def blocked(row: JSON) -> None:
    """Send nothing to it."""
    row["blocked"] = True


@pytest.mark.parametrize("spoil", [renamed, stolen, outdated, blocked])
def test_a_row_that_says_what_is_not_so(spoil: Callable[[JSON], None]) -> None:
    """Its name, its owner, what it says of the model and whether it is blocked have to be right."""
    spoilt = row()
    spoil(spoilt)
    assert len(judged(spoilt, row())) == 1


def test_a_row_that_leads_elsewhere() -> None:
    """The address that a replica sends to has to be the pod's; the database keeps it encrypted."""
    elsewhere = row()
    elsewhere["litellm_params"]["api_base"] = "http://10.0.0.2:8000/v1"
    assert len(judged(row(), elsewhere)) == 1
    assert len(judged(row(), row(), replace(WANTED, api_base="http://10.0.0.3:8000/v1"))) == 1
