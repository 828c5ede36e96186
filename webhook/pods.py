"""Read-only views over raw pods and workloads, just as they came from the API server.

Nothing here raises, whatever the JSON looks like: what has the wrong shape counts as absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sidecar.contract import LABEL_CARRIED, LABEL_INJECT, LABEL_SERVER, Engine
from webhook.annotations import read
from webhook.reasons import Problem, Reason, shown
from webhook.wishes import NOTHING, Wishes

# Phases of pods that have ended (core/v1 PodPhase): nothing of such a pod runs any more.
ENDED: Final = frozenset({"Succeeded", "Failed"})
_ENGINES: Final = frozenset(Engine)
# Where each kind keeps the template of its pods, best first.
_TEMPLATES: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"),
        (("spec", "template"),),
    ),
    "CronJob": (("spec", "jobTemplate", "spec", "template"),),
    # The leader's pod is the one that serves; without a template of its own it is made from the workers'.
    "LeaderWorkerSet": (
        ("spec", "leaderWorkerTemplate", "leaderTemplate"),
        ("spec", "leaderWorkerTemplate", "workerTemplate"),
    ),
}


class ContainerKind(StrEnum):
    """The three lists of containers a pod has."""

    INIT = "initContainers"
    MAIN = "containers"
    EPHEMERAL = "ephemeralContainers"


class Template(NamedTuple):
    """A pod template and where it stands in its workload, like `spec.template`."""

    pod: Mapping[str, Any]
    path: str


class Opted(NamedTuple):
    """What a pod asks for. `engine` is None when its label holds no value of ours, as `problems` says."""

    engine: Engine | None
    wishes: Wishes
    problems: tuple[Problem, ...]


def mapping(value: Any) -> Mapping[str, Any]:
    """Give the value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    """Give the value if it is a JSON list, else an empty one."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Give index and value of each object in what should be a list of objects."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield index, item


def labels_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the labels of a pod, a template or a workload."""
    return mapping(mapping(obj.get("metadata")).get("labels"))


def annotations_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the annotations of a pod, a template or a workload."""
    return mapping(mapping(obj.get("metadata")).get("annotations"))


def opted_out(obj: Mapping[str, Any]) -> bool:
    """Tell whether the object says `inject: "false"`."""
    value = labels_of(obj).get(LABEL_INJECT)
    return isinstance(value, str) and value.lower() == "false"


def opted(pod: Mapping[str, Any], path: str = "", defaults: Wishes = NOTHING) -> Opted | None:
    """Read what a pod, or the template at `path`, asks for; None if it is none of ours.

    Where its annotations say nothing, `defaults` count.
    """
    found = labels_of(pod)
    label = LABEL_SERVER if LABEL_SERVER in found else LABEL_CARRIED
    if label not in found or opted_out(pod):
        return None
    prefix = f"{path}.metadata" if path else "metadata"
    engine = engine_of(found[label])
    wishes, problems = read(annotations_of(pod), f"{prefix}.annotations", defaults)
    if engine is None:
        problems = (bad_label(found[label], f"{prefix}.labels[{label}]"), *problems)
    return Opted(engine, wishes, problems)


def engine_of(value: Any) -> Engine | None:
    """Read a value of the label `server`; None if it is not one."""
    return Engine(value) if isinstance(value, str) and value in _ENGINES else None


def bad_label(value: Any, path: str) -> Problem:
    """Say what the label `server` may hold."""
    return Problem(Reason.BAD_LABEL, f"found {shown(value)}, allowed are {', '.join(Engine)}", path)


def template(obj: Mapping[str, Any]) -> Template | None:
    """Find the pod template of a workload, by its kind; None if the kind has none or it is missing."""
    return next(templates(obj), None)


def templates(obj: Mapping[str, Any]) -> Iterator[Template]:
    """Find every pod template of a workload, by its kind, that of the serving pod first."""
    kind = obj.get("kind")
    for keys in _TEMPLATES.get(kind, ()) if isinstance(kind, str) else ():
        found: Any = obj
        for key in keys:
            found = mapping(found).get(key)
        if isinstance(found, dict):
            yield Template(found, ".".join(keys))
