"""The benchmark page: what it says must follow from what was measured."""

from pathlib import Path

import pytest

from tests.bench.figures import Chart, Figure, percentile, rewrite


@pytest.mark.parametrize(
    ("value", "goal", "met"),
    [
        (1.5, "<= 1.5", True),
        (1.6, "<= 1.5", False),
        (0.59, ">= 0.6", False),
        (0, "= 0", True),
        (1, "= 0", False),
        (0, "> 0", False),
        (5, "< 5", False),
    ],
)
def test_a_missed_goal_is_shown_as_missed(value: float, goal: str, met: bool) -> None:  # noqa: FBT001 - a table
    """A figure is met only when its value keeps the goal's sign."""
    figure = Figure("x", value, "s", goal)
    assert figure.met() is met
    assert ("**no**" in figure.row()) is not met


def test_one_figure_measured_anew_leaves_the_others(tmp_path: Path) -> None:
    """`ONLY=name` rewrites one row and keeps the rest of the table."""
    page = tmp_path / "BENCHMARKS.md"
    rewrite(page, [Figure("a", 1, "s", "<= 2"), Figure("b", 3, "s", "<= 2")], ["a", "b"], "about")
    rewrite(page, [Figure("b", 1.25, "s", "<= 2")], ["a", "b"], "about")
    rows = [line for line in page.read_text().splitlines() if line.startswith(("| a ", "| b "))]
    assert rows == ["| a | 1 | s | <= 2 | yes |  |", "| b | 1.25 | s | <= 2 | yes |  |"]


def test_a_chart_stays_until_it_is_measured_anew(tmp_path: Path) -> None:
    """The page keeps the chart of a figure through runs that do not measure it."""
    page = tmp_path / "BENCHMARKS.md"
    chart = Chart("memory", "MiB", 2.0, (80.0, 81.5, 81.0))
    rewrite(page, [Figure("a", 1, "s", "<= 2", chart=chart)], ["a", "b"], "about")
    rewrite(page, [Figure("b", 3, "s", "<= 2")], ["a", "b"], "about")
    assert page.read_text().count("```mermaid") == 1
    assert "line [80, 81.5, 81]" in page.read_text()
    rewrite(page, [Figure("a", 1, "s", "<= 2", chart=Chart("memory", "MiB", 2.0, (7.0,)))], ["a"], "about")
    assert page.read_text().count("```mermaid") == 1
    assert "line [7]" in page.read_text()


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.01, 1)])
def test_percentile_is_the_nearest_rank(share: float, value: int) -> None:
    """Of the numbers 1 to 100, the percentile is the number itself."""
    assert percentile(range(1, 101), share) == value
