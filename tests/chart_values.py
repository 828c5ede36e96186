"""The table of the chart's values: from the comments in values.yaml, for the README beside it.

A value is documented by `# -- ` right above its key, and the comment lines that follow. A mapping with such a
comment is one value, whole; one without is a heading whose keys are the values.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

_MARK: Final = "# -- "
_MAPPING: Final = "tag:yaml.org,2002:map"


class UndocumentedError(ValueError):
    """A value has no comment; the message says which, and where."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its keys with dots between, what the chart ships, what it is for."""

    path: str
    default: Any
    meaning: str


def values(text: str) -> list[Value]:
    """Read all values of a values.yaml, in its order. Raises UndocumentedError, yaml.YAMLError."""
    lines = [line.strip() for line in text.splitlines()]
    return list(_below(yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text), (), lines))


def _below(node: Any, shipped: Any, above: Sequence[str], lines: Sequence[str]) -> Iterator[Value]:
    for key, value in node.value:
        path, default = (*above, key.value), shipped[key.value]
        comment = _comment(lines[: key.start_mark.line])
        if comment:
            yield Value(".".join(path), default, comment)
        elif value.tag == _MAPPING and value.value:
            yield from _below(value, default, path, lines)
        else:
            where = f"line {key.start_mark.line + 1}"
            raise UndocumentedError(
                f"values.yaml: {'.'.join(path)} ({where}): found no {_MARK.strip()} above it"
            )


def _comment(above: Sequence[str]) -> str:
    """Give the comment that ends the lines above a key, if it is one on a value."""
    found: list[str] = []
    for line in reversed(above):
        if not line.startswith("#"):
            break
        found.insert(0, line)
        if line.startswith(_MARK):
            return " ".join([line.removeprefix(_MARK), *(more.removeprefix("# ") for more in found[1:])])
    return ""


def rows(text: str) -> list[tuple[str, str, str]]:
    """Give a row of Markdown for each value: its path, what ships, what it is for."""
    return [
        (f"`{value.path}`", f"`{json.dumps(value.default, ensure_ascii=False)}`", value.meaning)
        for value in values(text)
    ]
