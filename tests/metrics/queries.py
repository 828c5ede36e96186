"""What queries of alerts and dashboards ask for, held against what is exported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

GOLDEN: Final = Path(__file__).parent / "exported.txt"
# What Prometheus adds to each series: by the ServiceMonitor's or PodMonitor's way of finding targets.
_OF_TARGETS: Final = frozenset({"namespace", "job", "pod"})
_SERIES: Final = re.compile(r"\b(litellm_registrar_\w+)(?:\s*\{([^}]*)\})?")
_MATCHER: Final = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING: Final = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
# The suffixes of a histogram's series, and the label that its buckets have beside its own.
_OF_HISTOGRAMS: Final = {"_bucket": {"le"}, "_sum": set(), "_count": set()}


def exported() -> dict[str, frozenset[str]]:
    """Give the labels of every series that processes export, by its name, as they were reviewed."""
    found: dict[str, frozenset[str]] = {}
    for line in GOLDEN.read_text().splitlines():
        name, kind, *_ = line.split()
        labels = set(re.findall(r"\w+", line.partition("{")[2].partition("}")[0]))
        for suffix, more in _OF_HISTOGRAMS.items() if kind == "histogram" else [("", set[str]())]:
            found[name + suffix] = frozenset(labels | more)
    return found


def asked(query: str) -> dict[str, frozenset[str]]:
    """Give the labels that a query chooses by, for each series of ours in it."""
    return {name: frozenset(_MATCHER.findall(chosen)) for name, chosen in _SERIES.findall(query)}


def unknown(query: str) -> list[str]:
    """Give what a query asks for and nobody exports: series, and labels of a series."""
    known, wrong = exported(), []
    names = asked(query)
    for name, labels in names.items():
        if name not in known:
            wrong.append(name)
        else:
            wrong += [f"{name}{{{label}}}" for label in sorted(labels - known[name] - _OF_TARGETS)]
    possible = _OF_TARGETS.union(*(known.get(name, frozenset()) for name in names))
    grouped = {label for labels in _GROUPING.findall(query) for label in re.findall(r"\w+", labels)}
    return wrong + [f"by ({label})" for label in sorted(grouped - possible)]
