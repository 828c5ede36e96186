"""A keeper with a LiteLLM, a clock and a log of its own."""

from dataclasses import dataclass
from typing import Any

from sidecar.keeper import Keeper
from sidecar.problems import Problems
from sidecar.registration import Row
from sidecar.row_contract import row_id
from tests.standins.clock import FakeClock
from tests.standins.litellm_table import Table

OWNER = {"cluster": "c1", "pod_uid": "u1"}


def row(served: str = "m", **info: Any) -> Row:
    """Give the wanted row of a model."""
    key = row_id("c1", "team", "u1", served)
    params = {"model": f"openai/{served}", "api_key": "sk-server"}
    return Row(key, served, served, params, {"id": key, "mode": "chat", **info}, {**OWNER, "model": served})


@dataclass
class Bench:
    """A keeper, its LiteLLM, its time and its log."""

    table: Table
    clock: FakeClock
    keeper: Keeper
    problems: Problems
    lines: list[str]

    @property
    def stored(self) -> dict[str, Any]:
        """Give the one row there is."""
        (only,) = self.table.rows.values()
        return only

    def blocked(self) -> bool:
        """Tell whether the one row is blocked."""
        return bool(self.stored["blocked"])

    def said(self, text: str) -> int:
        """Count the lines with this text."""
        return sum(text in line for line in self.lines)
