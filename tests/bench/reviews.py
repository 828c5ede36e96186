"""The two reviews of the webhook's benchmarks: a pod of 2 containers and one of 100 (about 76 kB)."""

import json
from typing import Any


def _container(index: int) -> dict[str, Any]:
    return {
        "name": f"helper-{index}",
        "image": f"registry.example.com/team/helper-{index}:2026.11.{index}",
        "args": ["--listen", f":{9100 + index}", "--upstream", "http://127.0.0.1:8000", "--log-level=info"],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "REGION", "value": "eu-central-1"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": f"helper-{index}", "key": "token"}}},
        ],
        "ports": [{"name": f"m{index}", "containerPort": 9100 + index, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }


def pod(containers: int) -> dict[str, Any]:
    """Give a vLLM server's pod with so many containers in all."""
    server = {
        "name": "vllm",
        "image": "docker.io/vllm/vllm-openai:v0.32.0",
        "args": ["--model", "Qwen/Qwen3-8B", "--served-model-name", "qwen3", "--port", "8000"],
        "env": [{"name": "HF_HOME", "value": "/models"}],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5},
        "resources": {
            "requests": {"cpu": "4", "memory": "32Gi"},
            "limits": {"memory": "64Gi", "nvidia.com/gpu": "1"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "qwen-6d4cf56db6-",
            "namespace": "team-a",
            "labels": {"app": "qwen", "litellm-registrar.io/server": "vllm"},
            "annotations": {"litellm-registrar.io/drain-timeout": "120s"},
        },
        "spec": {
            "containers": [server, *(_container(index) for index in range(1, containers))],
            "volumes": [{"name": "cache", "emptyDir": {}}],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "serviceAccountName": "default",
        },
    }


def review(containers: int) -> bytes:
    """Give the bytes of the API server's review of that pod's creation."""
    return json.dumps(
        {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
                "requestResource": {"group": "", "version": "v1", "resource": "pods"},
                "namespace": "team-a",
                "operation": "CREATE",
                "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
                "object": pod(containers),
                "oldObject": None,
                "dryRun": False,
                "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
            },
        },
        separators=(",", ":"),
    ).encode()
