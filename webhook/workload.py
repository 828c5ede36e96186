"""The label on a workload's own metadata: carried to its pod template, and checked. Pure.

What is carried is one label and one annotation of ours, so that the user's keys on the template are never
written (docs/adr/0002). Of Deployments, StatefulSets and DaemonSets only: the templates of ReplicaSets and
Jobs cannot change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sidecar.contract import ANNOTATION_CARRIED_SETTINGS, DOMAIN, LABEL_CARRIED, LABEL_SERVER
from webhook.annotations import carried, read, settings
from webhook.inject import Decision, obstacles
from webhook.patch import Op, pointer
from webhook.pods import (
    Opted,
    Template,
    annotations_of,
    bad_label,
    engine_of,
    labels_of,
    mapping,
    opted_out,
    template,
)
from webhook.reasons import Problem, Reason

_SECRET: Final = f"{DOMAIN}/litellm-secret"
_PERCENT: Final = re.compile(r"([0-9]{1,9})%")


class _Carried(NamedTuple):
    """What of a workload's own metadata stands on its template; None is absent."""

    label: Any = None
    settings: Any = None


def carry(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> Decision:
    """Make the template follow the workload's label; `old` is the object before an UPDATE.

    The pods of an existing workload are replaced by that, which `problems` says.
    """
    found = template(obj)
    if found is None or _going(obj):
        return Decision()
    wanted = _wanted(obj, found.pod)
    if isinstance(wanted, Problem):
        return Decision((), (wanted,), wanted.reason)
    ops = tuple(_rewrite(found, wanted))
    was = template(old) if old is not None else None
    problems: tuple[Problem, ...] = ()
    if was is not None and _held(was.pod) != wanted and mapping(obj.get("spec")).get("replicas") != 0:
        purpose = _purpose(_asks(was.pod, _held(was.pod)), _asks(found.pod, wanted))
        problems = (_replacement(obj, purpose),)
    return Decision(ops, problems, Reason.CARRIED if ops else None)


def check(obj: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Find every mistake in a workload that asks for registrars, on itself or on its template."""
    found = template(obj)
    if found is None or _going(obj) or opted_out(obj) or opted_out(found.pod):
        return ()
    prefix = f"{found.path}.metadata"
    for labels, where in ((labels_of(found.pod), prefix), (labels_of(obj), "metadata")):
        if LABEL_SERVER in labels:
            label, place = labels[LABEL_SERVER], where
            break
    else:
        return ()
    own = {key: text for key, text in annotations_of(found.pod).items() if key != ANNOTATION_CARRIED_SETTINGS}
    _, problems = read(annotations_of(obj), "metadata.annotations")
    wishes, more = read(own, f"{prefix}.annotations")
    problems += more
    engine = engine_of(label)
    if engine is None:
        return (bad_label(label, f"{place}.labels[{LABEL_SERVER}]"), *problems)
    if place == "metadata":
        own[ANNOTATION_CARRIED_SETTINGS] = carried(annotations_of(obj))
        wishes, _ = read(own, prefix)
    met = obstacles(found.pod, Opted(engine, wishes, ()), f"{found.path}.spec")
    # A LeaderWorkerSet gives its leaders' and its workers' StatefulSets the same labels.
    return (*problems, *(problem for problem in met if problem.reason is not Reason.NOT_LEADER))


def names_secret(obj: Mapping[str, Any]) -> bool:
    """Tell whether a workload that asks for registrars names LiteLLM's Secret, on itself or its template."""
    found = template(obj)
    holders = (obj, found.pod) if found is not None else ()
    return any(LABEL_SERVER in labels_of(one) for one in holders) and any(
        _SECRET in annotations_of(one) for one in holders
    )


def _going(obj: Mapping[str, Any]) -> bool:
    # A change would not reach any pod any more, and can hold up the deletion.
    return bool(mapping(obj.get("metadata")).get("deletionTimestamp"))


def _wanted(obj: Mapping[str, Any], pod: Mapping[str, Any]) -> _Carried | Problem:
    label = labels_of(obj).get(LABEL_SERVER)
    if label is None or LABEL_SERVER in labels_of(pod) or opted_out(obj) or opted_out(pod):
        return _Carried()
    if engine_of(label) is None:
        return bad_label(label, f"metadata.labels[{LABEL_SERVER}]")
    found = annotations_of(obj)
    return _Carried(label, carried(found) if settings(found) else None)


def _held(pod: Mapping[str, Any]) -> _Carried:
    return _Carried(labels_of(pod).get(LABEL_CARRIED), annotations_of(pod).get(ANNOTATION_CARRIED_SETTINGS))


def _rewrite(found: Template, wanted: _Carried) -> Iterator[Op]:
    base = pointer(*found.path.split("."), "metadata")
    metadata = found.pod.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
        if wanted != _Carried():
            yield Op("add", base, {})
    keys = (
        ("labels", LABEL_CARRIED, wanted.label),
        ("annotations", ANNOTATION_CARRIED_SETTINGS, wanted.settings),
    )
    for kind, key, value in keys:
        held = metadata.get(kind)
        if value is None:
            if key in mapping(held):
                yield Op("remove", base + pointer(kind, key))
        elif not isinstance(held, dict):
            yield Op("add", base + pointer(kind), {key: value})
        elif held.get(key) != value:
            yield Op("replace" if key in held else "add", base + pointer(kind, key), value)


def _asks(pod: Mapping[str, Any], carried: _Carried) -> bool:
    return (carried.label is not None or LABEL_SERVER in labels_of(pod)) and not opted_out(pod)


def _purpose(before: bool, after: bool) -> str:  # noqa: FBT001 - a truth table
    if before == after:
        return "for the changed settings"
    return "to get the registrar" if after else "to run without the registrar"


def _replacement(obj: Mapping[str, Any], purpose: str) -> Problem:
    """Say what a changed template does to the pods that run."""
    spec = mapping(obj.get("spec"))
    strategy = mapping(spec.get("strategy") or spec.get("updateStrategy"))
    rolling = mapping(strategy.get("rollingUpdate"))
    kind = str(obj.get("kind"))
    if strategy.get("type") == "OnDelete":
        message = (
            f"its pods stay as they are until each is deleted by hand (updateStrategy OnDelete), {purpose}"
        )
        return Problem(Reason.PODS_REPLACED, message)
    replicas = spec.get("replicas")
    gap = _gap(kind, str(strategy.get("type")), rolling, replicas if isinstance(replicas, int) else 1)
    when = " once its rollout is resumed" if spec.get("paused") is True else ""
    message = f"the pods of this {kind} are replaced{when} {purpose}"
    if gap:
        return Problem(Reason.PODS_INTERRUPTED, f"{message}, {gap}")
    return Problem(Reason.PODS_REPLACED, message)


def _gap(kind: str, strategy: str, rolling: Mapping[str, Any], replicas: int) -> str:
    """Say how serving is interrupted meanwhile; empty if new pods come before old ones go."""
    before = "each stopped before its replacement starts"
    if kind == "StatefulSet":
        return before
    if strategy == "Recreate":
        return "all stopped before the first new one starts (strategy Recreate)"
    # Defaults of SetDefaults_Deployment and SetDefaults_DaemonSet, pkg/apis/apps/v1/defaults.go.
    if _share(rolling.get("maxSurge", 0 if kind == "DaemonSet" else "25%"), 1) == 0:
        return f"{before} (maxSurge 0)"
    if _share(rolling.get("maxUnavailable", "25%"), replicas) >= replicas:
        return "all at once (maxUnavailable is all of them)"
    return ""


def _share(value: Any, total: int) -> float:
    """Resolve a number or a percentage, unrounded; what is neither (the API server refuses it later) is 1."""
    percent = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if percent:
        return int(percent[1]) * total / 100
    return value if isinstance(value, int) else 1
