"""What a user and the control plane would send: a Deployment and its pods; and how a patch reads."""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

NAMESPACE: Final = "team-a"
NAME: Final = "qwen"
MODEL: Final = "qwen2.5-7b"
NODE: Final = "node-1"
SHORT: Final = 110
_ONE_LINE: Final = frozenset({"name", "cpu", "drop"})


def deployment(port: int, annotations: Mapping[str, str], *flags: str) -> dict[str, Any]:
    """Give a plain vLLM Deployment of one replica, not yet labelled; `annotations` are on the object."""
    server = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.32.0",
        "command": ["vllm", "serve"],
        "args": ["Qwen/Qwen2.5-7B-Instruct", "--served-model-name", MODEL, "--port", str(port), *flags],
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "annotations": dict(annotations)},
        "spec": {
            "replicas": 1,
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": {"app": NAME}},
            "template": {"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [server]}},
        },
    }


def pod_of(workload: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    """Give the pod that the ReplicaSet of a Deployment creates."""
    template = copy.deepcopy(workload["spec"]["template"])
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()
    template["metadata"] |= {"name": f"{NAME}-{digest[:8]}-{suffix}", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", **template}


def review(kind: str, obj: Mapping[str, Any], old: Mapping[str, Any] | None, uid: str) -> dict[str, Any]:
    """Give the AdmissionReview the API server posts for a create, or an update if there is an old object."""
    group, resource = ("apps", "deployments") if kind == "Deployment" else ("", "pods")
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": resource},
            "name": obj["metadata"]["name"],
            "namespace": NAMESPACE,
            "operation": "CREATE" if old is None else "UPDATE",
            "userInfo": {"username": "demo"},
            "object": obj,
            "oldObject": old,
            "dryRun": False,
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes small things (env, ports, resources, lists of words) on one line, as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's
        super().increase_indent(flow, indentless=False)


def _mapping(dumper: _Dumper, value: dict[str, Any]) -> yaml.MappingNode:
    small = not _ONE_LINE.isdisjoint(value) and len(json.dumps(value)) <= SHORT
    return dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=small)


def _sequence(dumper: _Dumper, value: list[Any]) -> yaml.SequenceNode:
    words = all(isinstance(item, str) for item in value) and len(json.dumps(value)) <= SHORT
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=words)


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _sequence)


def yaml_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Give the unified diff of two objects as YAML, only what changed and a line around it."""
    old, new = (
        yaml.dump(dict(o), Dumper=_Dumper, sort_keys=False, width=200).splitlines() for o in (before, after)
    )
    return list(difflib.unified_diff(old, new, lineterm="", n=1))[2:]
