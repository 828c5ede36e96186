"""Manifests for the node: the real model servers of tests/peers/images, as a person would deploy them."""

from typing import Any

JSON = dict[str, Any]

DOMAIN = "litellm-registrar.io"
LABEL = f"{DOMAIN}/server=openai"
OPENAI = dict([LABEL.split("=")])
OLLAMA = {f"{DOMAIN}/server": "ollama"}
SECRET = "litellm-registrar"
# What asks for nothing gets next to nothing on a busy node.
SHARE = {"requests": {"cpu": "50m", "memory": "32Mi"}}
# A server with this liveness probe is restarted once the file is there; it is not after that.
ILL = "/models/ill"
UNTIL_ILL = {
    "exec": {"command": ["sh", "-c", f"! test -e {ILL}"]},
    "periodSeconds": 1,
    "timeoutSeconds": 60,  # to start a shell takes its time on a busy machine
    "failureThreshold": 1,
}


def container(model: str = "chat", *, alias: str | None = None) -> JSON:
    """Give a llama-server container on port 8080; `alias` is the served name, by default the model's."""
    arguments = ["--host", "0.0.0.0", "--port", "8080", "--offline", "--threads", "1"]  # noqa: S104 - in its pod
    slots = ["--ctx-size", "8192", "--parallel", "1" if model == "slow" else "4"]
    return {
        "name": "server",
        "image": "litellm-registrar/llama-server:test",
        "command": ["llama-server"],
        "args": ["--model", f"/models/{model}.gguf", "--alias", alias or model, *arguments, *slots],
        "ports": [{"containerPort": 8080}],
        "resources": SHARE,
        "readinessProbe": {
            "httpGet": {"path": "/health", "port": 8080},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
    }


def ollama() -> JSON:
    """Give an Ollama container with its usual port and four tiny models."""
    return {
        "name": "server",
        "image": "litellm-registrar/ollama:test",
        "ports": [{"containerPort": 11434}],
        "resources": SHARE,
        "readinessProbe": {
            "httpGet": {"path": "/api/version", "port": 11434},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
    }


def pod(namespace: str, name: str, server: JSON, labels: JSON, **settings: str) -> JSON:
    """Give a pod that belongs to no workload."""
    made = template(server, labels, {k.replace("_", "-"): v for k, v in settings.items()})
    made["metadata"] |= {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", **made}


def budget(namespace: str) -> JSON:
    """Give a PodDisruptionBudget that lets evictions take the pods of `deployment` one at a time."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "server"}}}
    metadata = {"name": "server", "namespace": namespace}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


def template(server: JSON, labels: JSON, settings: dict[str, str]) -> JSON:
    """Give a pod template; `settings` are annotations of ours by their short names."""
    annotations = {f"{DOMAIN}/{key}": value for key, value in settings.items()}
    metadata = {"labels": {"app": "server", **labels}, "annotations": annotations}
    return {"metadata": metadata, "spec": {"containers": [server]}}


def deployment(
    namespace: str, server: JSON, replicas: int = 1, labels: JSON | None = None, **settings: str
) -> JSON:
    """Give a Deployment called `server` that surges by one; the labels and settings stand on its template."""
    made = template(server, labels or {}, {k.replace("_", "-"): v for k, v in settings.items()})
    # by which a node's drain finds it, which looks into all namespaces
    made["metadata"]["labels"]["namespace"] = namespace
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "server"}},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": made,
    }
    metadata = {"name": "server", "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def job(namespace: str, server: JSON, labels: JSON) -> JSON:
    """Give a Job called `server` that must succeed at its first try."""
    pod = template(server, labels, {})
    pod["spec"]["restartPolicy"] = "Never"
    metadata = {"name": "server", "namespace": namespace}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"template": pod, "backoffLimit": 0},
    }


def secret(namespace: str, url: str, key: str) -> JSON:
    """Give the Secret that tells registrars where LiteLLM is."""
    metadata = {"name": SECRET, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {"url": url, "key": key},
    }
