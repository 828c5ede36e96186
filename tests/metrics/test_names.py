"""Names, types and labels of all metrics: dashboards and alerts of users are built on them."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from sidecar import metrics as of_registrar
from tests.metrics.declared import declared, written
from tests.metrics.processes import Broker, Webhook
from tests.standins.registrar import cluster

ROOT: Final = Path(__file__).parents[2]
GOLDEN: Final = Path(__file__).parent / "exported.txt"


def of_a_registrar() -> list[str]:
    """Give a line for every metric of a registrar."""

    async def look() -> list[str]:
        async with cluster() as here:
            return declared(here.start().metrics.registry)

    return asyncio.run(look())


# What each process exports, by what its names begin with.
PROCESSES: Final[Mapping[str, Callable[[], list[str]]]] = {
    Webhook.prefix: lambda: declared(Webhook().metrics.registry),
    Broker.prefix: lambda: declared(Broker().metrics.registry),
    of_registrar.PREFIX: of_a_registrar,
}


def exported() -> list[str]:
    """Give a line for every metric of every process."""
    return [line for lines in PROCESSES.values() for line in lines()]


def test_what_is_exported_is_what_was_reviewed() -> None:
    """A name, a type or a label that changes breaks what users have built on it."""
    text = "\n".join(exported()) + "\n"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(text)
    assert GOLDEN.read_text() == text, "exported.txt is stale: make golden"


def test_no_metric_escapes_that_review() -> None:
    """Each that is made anywhere in the code is one of a process that is looked at here."""
    names = {line.split()[0].removesuffix("_total") for line in exported()}
    made = list(written(ROOT))
    assert made
    forgotten = [(file, name) for file, name in made if not any(one.endswith(f"_{name}") for one in names)]
    assert not forgotten


@pytest.mark.parametrize("prefix", PROCESSES)
def test_each_name_says_whose_it_is(prefix: str) -> None:
    """It begins with the prefix of its process: one query finds all of it."""
    assert all(line.startswith(f"{prefix}_") for line in PROCESSES[prefix]())


@pytest.mark.parametrize("prefix", PROCESSES)
def test_the_readme_tells_of_every_metric(prefix: str) -> None:
    """Under its name without the prefix."""
    told = set(re.findall(r"`([a-z_]+)`", (ROOT / "README.md").read_text()))
    names = {line.split()[0].removeprefix(f"{prefix}_") for line in PROCESSES[prefix]()}
    assert names <= told
