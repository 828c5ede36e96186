"""The cluster's and the namespaces' defaults of annotations: from a file's text to what pods get. Pure.

    defaults:
      poll-interval: 10s
      model-info: {category: internal}
    namespaces:
      team-a:
        team-id: team-a
        litellm-params: {rpm: 60, tags: [batch]}

Nearest wins: the pod's annotation, what its workload carries, its namespace's default, the cluster's. The
objects `model-info` and `litellm-params` are put together key by key; `overrides` one after the other, the
nearest last, and without the keys that nearer objects say.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from webhook import documents, layer
from webhook.documents import Document, DocumentError, Path
from webhook.reasons import shown
from webhook.values import DNS_LABEL
from webhook.wishes import NOTHING, Wishes, over

# What a ConfigMap may hold.
MAX_TEXT: Final = 1024 * 1024
_MAX_VALUES: Final = 50_000
_SECTIONS: Final = ("defaults", "namespaces")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What counts where a pod says nothing: of the cluster, and over it of some namespaces."""

    cluster: Wishes = NOTHING
    namespaces: Mapping[str, Wishes] = field(default_factory=dict)

    def of(self, namespace: str) -> Wishes:
        """Give what counts in a namespace."""
        return self.namespaces.get(namespace, self.cluster)


NO_DEFAULTS: Final = Defaults()


class DefaultsError(ValueError):
    """The defaults cannot be taken; each of `problems` says where and why."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def parse(text: str) -> Defaults:
    """Read a file of defaults. Raises DefaultsError with everything that is wrong."""
    if len(text) > MAX_TEXT:
        raise DefaultsError([f"found {len(text)} characters, allowed are up to {MAX_TEXT}"])
    try:
        document = documents.compose(text, _MAX_VALUES)
    except DocumentError as error:
        raise DefaultsError([str(fault) for fault in error.found]) from None
    problems: list[str] = []
    top = _object(document, document.value, (), problems)
    for name in top:
        if name not in _SECTIONS:
            near = difflib.get_close_matches(name.lower(), _SECTIONS, n=1)
            hint = f", did you mean {near[0]}?" if near else f"; there are {' and '.join(_SECTIONS)}"
            problems.append(_at(document, (name,), f"unknown{hint}"))
    cluster = over(NOTHING, _section(document, top.get("defaults"), ("defaults",), problems))
    namespaces: dict[str, Wishes] = {}
    for name, value in _object(document, top.get("namespaces"), ("namespaces",), problems).items():
        path = ("namespaces", name)
        if not DNS_LABEL.fullmatch(name):
            problems.append(_at(document, path, "no namespace can be called that"))
        namespaces[name] = over(cluster, _section(document, value, path, problems))
    if problems:
        raise DefaultsError(problems)
    return Defaults(cluster, namespaces)


def _object(document: Document, value: Any, path: Path, problems: list[str]) -> dict[str, Any]:
    """Give an object; an absent or empty one is empty."""
    if isinstance(value, dict):
        return value
    if value is not None:
        problems.append(_at(document, path, f"found {shown(value)}, allowed is an object"))
    return {}


def _section(document: Document, value: Any, path: Path, problems: list[str]) -> dict[str, Any]:
    typed, mistakes = layer.read(_object(document, value, path, problems), defaults=True)
    problems += [_at(document, (*path, m.name), m.message, m.path) for m in mistakes]
    return typed


def _at(document: Document, path: Path, message: str, within: Path = ()) -> str:
    """Put path and line before a message; the line is that of the nearest place that is in the file."""
    known = (*path, *within)
    while known and known not in document.lines:
        known = known[:-1]
    line = f" (line {document.lines[known]})" if known else ""
    return f"{documents.place('', path)}{line}: {message}" if path else message
