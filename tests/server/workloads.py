"""One workload of every kind that is judged, around the pod of a template."""

from typing import Any

JSON = dict[str, Any]


def workload(kind: str, template: JSON, **metadata: Any) -> JSON:
    """Give a workload called `qwen` whose pods are made by this template; to KServe it is the predictor."""
    specs: dict[str, JSON] = {
        "CronJob": {"jobTemplate": {"spec": {"template": template}}},
        "LeaderWorkerSet": {"leaderWorkerTemplate": {"workerTemplate": template}},
        "InferenceService": {"predictor": {**template["spec"], **_predictor_metadata(template)}},
    }
    spec = specs.get(kind, {"template": template})
    return {"kind": kind, "metadata": {"name": "qwen", **metadata}, "spec": spec}


def _predictor_metadata(template: JSON) -> JSON:
    return {key: template["metadata"].get(key, {}) for key in ("labels", "annotations")}


# Where each kind has the spec of its pods.
PATHS = {
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"), "spec.template.spec"),
    "CronJob": "spec.jobTemplate.spec.template.spec",
    "LeaderWorkerSet": "spec.leaderWorkerTemplate.workerTemplate.spec",
    "InferenceService": "spec.predictor",
}
