"""A pod as the webhook leaves it in broker mode, for tests of the broker."""

from typing import Any, Final

from sidecar.contract import DOMAIN, LABEL_SERVER
from webhook.access import Broker
from webhook.inject import Injection, inject
from webhook.patch import apply

JSON = dict[str, Any]

CLUSTER: Final = "test-cluster"
_INJECTION: Final = Injection(
    cluster=CLUSTER,
    image="registry.example.com/registrar:1",
    broker=Broker("https://litellm-registrar-broker.litellm-registrar.svc:8444", ca="(the broker's CA)"),
)


def injected(namespace: str, name: str = "qwen", port: int = 8000, **annotations: str) -> JSON:
    """Give a pod with a vLLM server on a port and its registrar, ready to be created."""
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    server = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.32.0",
        "args": ["--model", "Qwen/Qwen3-0.6B", "--port", str(port)],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod: JSON = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {LABEL_SERVER: "vllm"},
            "annotations": {f"{DOMAIN}/{key.replace('_', '-')}": value for key, value in annotations.items()},
        },
        "spec": {"containers": [server], "securityContext": security},
    }
    decision = inject(pod, _INJECTION, "nonce123", namespace)
    assert decision.ops, decision
    found: JSON = apply(pod, decision.ops)
    return found


def running(pod: JSON, *addresses: str, uid: str = "uid-1", node: str = "node-1") -> JSON:
    """Give the pod as the API server shows it when it runs on a node and has these IPs."""
    return {
        **pod,
        "metadata": {**pod["metadata"], "uid": uid},
        "spec": {**pod["spec"], "nodeName": node},
        "status": {
            "phase": "Running",
            "hostIP": "192.0.2.1",
            "podIP": addresses[0] if addresses else None,
            "podIPs": [{"ip": address} for address in addresses],
        },
    }
