"""Manifests for the tests here: a vLLM server as a person would write it."""

import json
from typing import Any

JSON = dict[str, Any]

SERVER = "litellm-registrar.io/server"
CARRIED = "litellm-registrar.io/carried"
CARRIED_SETTINGS = "litellm-registrar.io/carried-settings"
REQUIRE_LABEL = "litellm-registrar.io/require-label"
RULES: JSON = {
    "code": {"mode": "enforce", "trustRemoteCode": "deny"},
    "images": {"mode": "enforce", "allow": ["docker.io/vllm/*", "docker.io/library/busybox"]},
    "resources": {"mode": "enforce", "max": {"memory": "2Gi"}},
    "podSecurity": {"mode": "enforce", "deny": ["hostNetwork"]},
    "scope": {"mode": "enforce", "requireLabel": "deny", "keepLabel": "deny", "imageChange": "deny"},
}


def policy_file(exceptions: list[JSON] | None = None) -> str:
    """Give a policy that forbids things in namespaces called `policed-...` only."""
    spec = {
        "rules": {},
        "namespaces": [{"match": "policed-*", "rules": RULES}],
        "exceptions": exceptions or [],
    }
    head = {"apiVersion": "policy.litellm-registrar.io/v1", "kind": "ModelServerPolicy"}
    return json.dumps({**head, "metadata": {"name": "test"}, "spec": spec})


def container() -> JSON:
    """Give a vLLM container that the restricted Pod Security Standard admits."""
    return {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.32.0",
        "args": ["--model", "Qwen/Qwen3-0.6B", "--port", "8000"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def pod_spec() -> JSON:
    """Give a pod's spec with that container."""
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    return {"containers": [container()], "securityContext": security}


def pod(namespace: str, labels: JSON | None = None, annotations: JSON | None = None) -> JSON:
    """Give a pod, labelled as a vLLM server unless other labels are given."""
    labels = {SERVER: "vllm"} if labels is None else labels
    metadata = {"name": "qwen", "namespace": namespace, "labels": labels, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec()}


def workload(
    kind: str, namespace: str, labels: JSON | None = None, template_labels: JSON | None = None
) -> JSON:
    """Give a Deployment, StatefulSet, DaemonSet or Job called `qwen`; without our label unless given."""
    template = {"metadata": {"labels": {"app": "qwen", **(template_labels or {})}}, "spec": pod_spec()}
    spec: JSON = {"template": template}
    if kind == "Job":
        template["spec"]["restartPolicy"] = "Never"
    else:
        spec["selector"] = {"matchLabels": {"app": "qwen"}}
    if kind == "StatefulSet":
        spec["serviceName"] = "qwen"
    metadata = {"name": "qwen", "namespace": namespace, "labels": labels or {}}
    version = "batch/v1" if kind == "Job" else "apps/v1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def registrars(pod: JSON) -> list[JSON]:
    """Find the registrars among all containers of a pod."""
    spec = pod["spec"]
    return [c for c in (*spec.get("initContainers", ()), *spec["containers"]) if c["name"] == "registrar"]
