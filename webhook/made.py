"""The pods of an object: the pod itself, or those that a workload would make. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sidecar.contract import LABEL_CARRIED, LABEL_SERVER, Engine
from webhook import kserve_pods
from webhook.kserve_pods import Place
from webhook.pods import engine_of, labels_of, mapping, objects, opted_out, templates

# Workloads whose own label is carried to their template (webhook.workload).
_CARRYING: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_INFERENCE_SERVICE: Final = "serving.kserve.io/InferenceService"
WORKLOADS: Final = frozenset(
    {
        *(f"apps/{kind}" for kind in (*_CARRYING, "ReplicaSet")),
        *("batch/Job", "batch/CronJob", "leaderworkerset.x-k8s.io/LeaderWorkerSet", _INFERENCE_SERVICE),
    }
)
# One step of a JSON path: a key, or what stands in brackets.
_STEP: Final = re.compile(r"[^.\[\]]+|\[[^\]]*\]")


class Made(NamedTuple):
    """A pod, where its spec stands, and the name it has or begins with.

    `places` puts the beginnings of JSON paths right where the pod does not stand in the object as it is.
    """

    pod: Mapping[str, Any]
    path: str
    name: str
    places: tuple[Place, ...] = ()

    @property
    def ours(self) -> bool:
        """Tell whether the pod has a label of ours, whatever its value."""
        found = labels_of(self.pod)
        return LABEL_SERVER in found or LABEL_CARRIED in found

    @property
    def engine(self) -> Engine | None:
        """What the label says; None if it says nothing of ours."""
        found = labels_of(self.pod)
        return engine_of(found[LABEL_SERVER] if LABEL_SERVER in found else found.get(LABEL_CARRIED))

    def place(self, path: str) -> str:
        """Give the path within the object of a path within this pod."""
        for begin, there in self.places:
            if path.startswith(begin):
                return there + path[len(begin) :]
        return path


def made(kind: str, obj: Mapping[str, Any]) -> Iterator[Made]:
    """Give the pods of an object. `kind` has its group: `Pod`, `apps/Deployment`, as in a review."""
    metadata = mapping(obj.get("metadata"))
    name = metadata.get("name") or metadata.get("generateName")
    name = name if isinstance(name, str) else ""
    if kind == "Pod":
        yield Made(obj, "spec", name)
    elif kind == _INFERENCE_SERVICE:
        for component, pod, places in kserve_pods.pods(obj):
            yield Made(pod, "spec", f"{name}-{component}-", places)
    elif kind in WORKLOADS:
        for template in templates(obj):
            pod = _claimed(_labelled(template.pod, obj), obj, name)
            yield Made(pod, f"{template.path}.spec", f"{name}-")


def stands(obj: Mapping[str, Any], path: str) -> bool:
    """Tell whether an object has what a JSON path points to, like `spec.containers[0].args[1]`."""
    found: Any = obj
    for step in _STEP.findall(path):
        key = step[1:-1] if step[0] == "[" else step
        if isinstance(found, list) and key.isascii() and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            return False
    return True


def _labelled(pod: Mapping[str, Any], obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the template as it is once the workload's own label is carried to it."""
    own = labels_of(obj)
    if (
        LABEL_SERVER not in own
        or LABEL_SERVER in labels_of(pod)
        or obj.get("kind") not in _CARRYING
        or opted_out(obj)
        or opted_out(pod)
    ):
        return pod
    labels = {**labels_of(pod), LABEL_CARRIED: own[LABEL_SERVER]}
    return {**pod, "metadata": {**mapping(pod.get("metadata")), "labels": labels}}


def _claimed(pod: Mapping[str, Any], obj: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Give the template with the volumes that a StatefulSet puts into its first pod.

    A claim takes the place of a volume of its name (`updateStorage` of
    `pkg/controller/statefulset/stateful_set_utils.go`).
    """
    spec = mapping(obj.get("spec"))
    claims = {
        claim: {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}-0"}}
        for _, template in objects(spec.get("volumeClaimTemplates"))
        if isinstance(claim := mapping(template.get("metadata")).get("name"), str)
    }
    if not claims:
        return pod
    pod_spec = mapping(pod.get("spec"))
    volumes = [claims.pop(str(volume.get("name")), volume) for _, volume in objects(pod_spec.get("volumes"))]
    return {**pod, "spec": {**pod_spec, "volumes": [*volumes, *claims.values()]}}
