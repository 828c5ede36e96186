"""Reviews as the API server sends them, for the tests of the webhook's server."""

import base64
import json
from typing import Any

from webhook.patch import Op, apply

GROUPS = {
    "Pod": "",
    "Job": "batch",
    "CronJob": "batch",
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io",
    "InferenceService": "serving.kserve.io",
}
UID = "705ab4f5-6393-11e8-b7cc-42010a800002"


def pod(**labels: str) -> dict[str, Any]:
    """Give the pod of a vLLM Deployment as its ReplicaSet makes it; by default labelled `vllm`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "qwen-6d4cf56db6-",
            "labels": {"app": "qwen"} | (labels or {"litellm-registrar.io/server": "vllm"}),
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "qwen-6d4cf56db6", "controller": True}
            ],
        },
        "spec": {
            "containers": [
                {
                    "name": "vllm",
                    "image": "docker.io/vllm/vllm-openai:v0.32.0",
                    "args": ["--model", "Qwen/Qwen3-8B", "--port", "8000"],
                    "ports": [{"name": "http", "containerPort": 8000}],
                    "resources": {"limits": {"nvidia.com/gpu": "1"}},
                }
            ],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
        },
    }


def deployment(labels: dict[str, str], annotations: dict[str, str] | None = None) -> dict[str, Any]:
    """Give a Deployment of that pod, with these labels and annotations of its own."""
    template = pod(app="qwen")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "qwen",
            "namespace": "team-a",
            "labels": labels,
            "annotations": annotations or {},
        },
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "qwen"}},
            "template": {"metadata": {"labels": {"app": "qwen"}}, "spec": template["spec"]},
        },
    }


def review(obj: dict[str, Any] | None, operation: str = "CREATE", **request: Any) -> dict[str, Any]:
    """Give the review of a request about the object; further arguments are fields of the request."""
    kind = (obj or {}).get("kind", "Pod")
    group = GROUPS.get(kind, "apps")
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": UID,
            "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": f"{kind.lower()}s"},
            "requestKind": {"group": group, "version": "v1", "kind": kind},
            "namespace": "team-a",
            "operation": operation,
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": obj,
            "oldObject": None,
            "dryRun": False,
        }
        | request,
    }


def dump(value: Any) -> bytes:
    """Give the bytes that are sent."""
    return json.dumps(value).encode()


def patched(obj: dict[str, Any], response: dict[str, Any]) -> Any:
    """Give the object with the answer's patch applied, as the API server does."""
    ops = json.loads(base64.b64decode(response["patch"]))
    return apply(obj, [Op(op["op"], op["path"], op.get("value")) for op in ops])
