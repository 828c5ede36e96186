"""What a process' registry declares, whether anything has been counted yet or not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

# Of prometheus_client, and the helpers that modules of ours make of them.
_MAKERS: Final = {"counter", "gauge", "histogram", "summary", "info", "enum"}


def declared(registry: CollectorRegistry) -> list[str]:
    """Give each metric as Prometheus knows it in a line: name, type, labels, and buckets of a histogram.

    Collectors of our own must have something to show. Raises AssertionError for one that has not.
    """
    lines = []
    for collector in list(registry._collector_to_names):
        # the library's own metrics tell their labels before anything is counted
        families = [collector] if hasattr(collector, "_labelnames") else list(collector.collect())
        assert families, f"{type(collector).__name__} shows nothing: give it figures"
        lines += [_line(family) for family in families]
    return sorted(lines)


def _line(metric: Any) -> str:
    name = getattr(metric, "_name", None) or metric.name
    kind = getattr(metric, "_type", None) or metric.type
    suffix = "_total" if kind == "counter" else ""
    labels = ", ".join(metric._labelnames)
    line = f"{name}{suffix} {kind} {{{labels}}}"
    if kind == "histogram":
        line += f" buckets {' '.join(f'{bound:g}' for bound in metric._upper_bounds)}"
    return line


def written(root: Path) -> Iterator[tuple[str, str]]:
    """Give file and name, without the process' prefix, of every metric that code of ours makes."""
    for path in sorted((*root.glob("webhook/**/*.py"), *root.glob("sidecar/**/*.py"))):
        text = path.read_text()
        if "prometheus_client" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and _makes(node.func) and (name := _named(node)):
                yield str(path.relative_to(root)), name


def _makes(called: ast.expr) -> bool:
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    return name.strip("_").removesuffix("MetricFamily").removesuffix("s").lower() in _MAKERS


def _named(call: ast.Call) -> str:
    """Give the end of the name that is written out; empty if it is a helper's argument."""
    first = call.args[0] if call.args else ast.Constant("")
    last = first.values[-1] if isinstance(first, ast.JoinedStr) else first
    return str(last.value).strip("_") if isinstance(last, ast.Constant) else ""
