"""The chart's alerts before Prometheus' own promtool."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chart.exported import MINUTES
from tests.chart.rendering import JSON, one, rendered


def rules_file(given: Mapping[str, Any], folder: Path) -> Path:
    """Render the groups of alerts with these values, as a file of Prometheus' own."""
    file = folder / "rules.json"  # JSON is YAML
    file.write_text(json.dumps(one(rendered(given), "PrometheusRule")["spec"]))
    return file


def alerts(rules: Path) -> list[JSON]:
    """Give the alerts in the file."""
    return [rule for group in json.loads(rules.read_text())["groups"] for rule in group["rules"]]


def promtool(*arguments: str) -> str:
    """Run promtool, and give what it says. Raises AssertionError when it is not content."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def told(rules: Path, series: Sequence[Mapping[str, str]], expected: Sequence[str]) -> None:
    """Have promtool assert that these alerts fire when the series end, and no other."""
    firing = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected]
    query = 'count by (alertname) (ALERTS{alertstate="firing"}) > bool 0'
    test = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": query, "eval_time": f"{MINUTES}m", "exp_samples": firing}],
    }
    file = rules.parent / "test.json"
    file.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", str(file))
