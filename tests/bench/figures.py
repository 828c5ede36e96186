"""A figure of a benchmark, and the table in BENCHMARKS.md that keeps them."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parents[2] / "BENCHMARKS.md"
HEAD: Final = """# Benchmarks

Measured by `make bench` (one figure: `make bench ONLY=name`), never asserted in a test. Each figure stands
beside its goal; where it is a ratio, the baseline was measured in the same run. Figures depend on the
machine: these are from 2 cores and 24 GiB that ran everything (load, LiteLLM, Postgres, what is measured).

| measure | value | unit | goal | met | baseline |
|---|---|---|---|---|---|
"""
TAIL_MARK: Final = "\n## What each one is\n"
_CHARTS_MARK: Final = "\n## Over time\n"
_CHART: Final = re.compile(r"^### (\S+)\n\n(```mermaid\n.*?\n```)$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chart:
    """How something went over `minutes`: values that are evenly apart."""

    title: str
    unit: str
    minutes: float
    values: tuple[float, ...]

    def drawn(self) -> str:
        """Give it as a line chart of Mermaid, which GitHub draws (mermaid.js.org, "XY Chart")."""
        highest = max(self.values, default=0.0) * 1.1 or 1.0
        values = ", ".join(f"{value:.4g}" for value in self.values)
        return (
            f'```mermaid\nxychart-beta\n  title "{self.title}"\n'
            f'  x-axis "minutes" 0 --> {self.minutes:.3g}\n  y-axis "{self.unit}" 0 --> {highest:.3g}\n'
            f"  line [{values}]\n```"
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `goal` is written as `<= 1.5`, `>= 0.6`, `> 0` or `= 0`."""

    measure: str
    value: float
    unit: str
    goal: str
    baseline: str = ""
    chart: Chart | None = None

    def met(self) -> bool:
        """Whether the value keeps the goal."""
        sign, number = self.goal.split()
        wanted = float(number)
        return {
            "<=": self.value <= wanted,
            ">=": self.value >= wanted,
            "<": self.value < wanted,
            ">": self.value > wanted,
            "=": self.value == wanted,
        }[sign]

    def line(self) -> str:
        """One line of JSON."""
        shown: dict[str, Any] = {
            "measure": self.measure,
            "value": round(self.value, 4),
            "unit": self.unit,
            "goal": self.goal,
            "baseline": self.baseline.strip(),
        }
        return json.dumps(shown)

    def row(self) -> str:
        """One row of the table."""
        met = "yes" if self.met() else "**no**"
        cells = (self.measure, f"{self.value:.4g}", self.unit, self.goal, met, self.baseline.strip())
        return f"| {' | '.join(cells)} |"


def rewrite(page: Path, measured: Iterable[Figure], order: Iterable[str], descriptions: str) -> None:
    """Put the measured rows into the page's table; rows and charts that were not measured this time stay."""
    measured, order = [*measured], [*order]
    before = page.read_text() if page.exists() else ""
    rows: dict[str, str] = {}
    for line in before.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 8 and cells[1] not in {"measure", "---"}:
            rows[cells[1]] = line
    rows |= {figure.measure: figure.row() for figure in measured}
    table = "\n".join(rows[name] for name in order if name in rows)
    charts = dict(_CHART.findall(before))
    charts |= {figure.measure: figure.chart.drawn() for figure in measured if figure.chart}
    drawn = "".join(f"\n### {name}\n\n{charts[name]}\n" for name in order if name in charts)
    over_time = f"{_CHARTS_MARK}{drawn}" if drawn else ""
    page.write_text(f"{HEAD}{table}\n{over_time}{TAIL_MARK}\n{descriptions}")


def percentile(values: Iterable[float], share: float) -> float:
    """Give the value that `share` (0 to 1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]
