"""The annotations of our domain, as they stand on pods, templates and workloads.

What a workload carries to its template is the JSON object of `carried`, one annotation; it holds the same
keys without the domain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sidecar.contract import ANNOTATION_CARRIED_SETTINGS, ANNOTATION_INJECTED
from webhook import layer
from webhook.layer import PREFIX
from webhook.reasons import Problem, Reason, shown
from webhook.wishes import NOTHING, Wishes, over

_OURS: Final = frozenset({ANNOTATION_CARRIED_SETTINGS, ANNOTATION_INJECTED})


def settings(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings among annotations, by name without the domain, unread.

    The webhook's own notes (what was carried, what was injected) are no settings.
    """
    return {
        name[len(PREFIX) :]: value
        for name, value in annotations.items()
        if name.startswith(PREFIX) and name not in _OURS
    }


def carried(annotations: Mapping[str, Any]) -> str:
    """Give the value of `carried-settings` for a template whose workload has these annotations."""
    return json.dumps(settings(annotations), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read(
    annotations: Mapping[str, Any], path: str, base: Wishes = NOTHING
) -> tuple[Wishes, tuple[Problem, ...]]:
    """Read the annotations found at `path`; what is carried beside them counts where they say nothing.

    Where neither says anything, `base` counts. A key of our domain that is unknown, or has a bad value, is a
    problem and otherwise ignored; of very many problems only the first are told.
    """
    own = settings(annotations)
    text = annotations.get(ANNOTATION_CARRIED_SETTINGS)
    if not own and text is None:
        return base, ()
    problems: list[Problem] = []
    if text is not None:
        where = f"{path}[{ANNOTATION_CARRIED_SETTINGS}]"
        found, mistakes = layer.read(_from_carried(text, where, problems))
        base = over(base, found)
        problems += [Problem(m.reason, m.message, f"{where}.{m.name}") for m in mistakes]
    found, mistakes = layer.read(own)
    problems += [Problem(m.reason, m.message, f"{path}[{PREFIX}{m.name}]") for m in mistakes]
    return over(base, found), tuple(problems[: layer.MAX_MISTAKES])


def _from_carried(text: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    problems.append(Problem(Reason.BAD_ANNOTATION, f"a JSON object is needed, found {shown(text)}", path))
    return {}
