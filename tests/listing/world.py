"""A small cluster and its LiteLLM, in which everything that a list tells of differs once."""

from __future__ import annotations

import json
from typing import Any, Final

from sidecar.broker_contract import State
from sidecar.contract import LABEL_CARRIED, LABEL_INJECT, LABEL_SERVER
from sidecar.row_contract import MARK, MARKED_BY_US, NODE_NOT_READY, REAPER_KEY, row_id
from tests.injected import injected, running
from tests.standins.kube import FakeApi
from webhook.broker.shapes import Call, Reply
from webhook.registered import Registered

JSON = dict[str, Any]

CLUSTER: Final = "3f0c2f5e-6f53-4c0e-9a39-1f6f4bd9d7a1"
NOW: Final = "2026-11-21T12:00:00Z"
NODES: Final = {"node-a": True, "node-b": False}


def pod(
    name: str,
    state: State | None = State.SERVING,
    *,
    namespace: str = "team-a",
    node: str = "node-a",
    address: str = "10.0.0.7",
    created: str = "2026-11-18T08:00:00Z",
    reason: str = "",
    **status: Any,
) -> JSON:
    """Give a pod with a registrar that has told this state, and why it does not serve."""
    made = running(injected(namespace, name), address, uid=f"uid-{name}", node=node)
    made["metadata"]["creationTimestamp"] = created
    if state:
        routable = state is State.SERVING
        since = "2026-11-21T11:57:30Z"
        condition = Registered(routable, state, reason, f"It is {state}", since).condition()
        made["status"]["conditions"] = [{"type": "Ready", "status": "True"}, condition]
    made["status"] |= status
    return made


def without_registrar(name: str, **labels: str) -> JSON:
    """Give a pod that was made while the webhook was away."""
    metadata = {"name": name, "namespace": "team-a", "uid": f"uid-{name}", "labels": labels}
    return {"metadata": metadata, "spec": {"nodeName": "node-a"}, "status": {"phase": "Running"}}


def without_labels(found: JSON) -> JSON:
    """Give the pod after somebody has taken its labels."""
    return {**found, "metadata": {**found["metadata"], "labels": {}}}


def deleted(found: JSON) -> JSON:
    """Give the pod as it is while it ends."""
    return {**found, "metadata": {**found["metadata"], "deletionTimestamp": NOW}}


def row(
    pod_name: str,
    model: str,
    *,
    namespace: str = "team-a",
    cluster: str = CLUSTER,
    address: str = "http://10.0.0.7:8000/v1",
    mark: str = "",
    **info: Any,
) -> JSON:
    """Give the row of a pod's model as LiteLLM shows it."""
    uid = f"uid-{pod_name}"
    block = {"cluster": cluster, "namespace": namespace, "pod": pod_name, "pod_uid": uid, "model": model}
    if mark:
        block[MARK] = mark
    return {
        "model_name": model,
        "litellm_params": {"model": f"hosted_vllm/{model}", "api_base": address},
        "model_info": {
            "id": row_id(cluster, namespace, uid, model),
            "db_model": True,
            "blocked": False,
            "registrar": block,
            **info,
        },
    }


def foreign(model: str, key: str = "made-by-hand") -> JSON:
    """Give a row that no registrar made."""
    params = {"model": "openai/gpt-4o", "api_base": "https://api.openai.com/v1"}
    return {"model_name": model, "litellm_params": params, "model_info": {"id": key, "db_model": True}}


PODS: Final = (
    pod("qwen-6d4b9c7f5-x2k8p"),
    pod("two-models", created="2026-11-21T11:50:00Z"),
    pod("starting", State.WAITING, reason="server_loading", created="2026-11-21T11:59:12Z"),
    pod("ill", State.BLOCKED, reason="server_timeout"),
    pod("on-a-lost-node", node="node-b"),
    pod("on-no-node-any-more", node="node-c"),
    pod("moved", address="10.0.0.9"),
    deleted(pod("draining", State.DRAINING, namespace="team-b")),
    pod("done", State.DRAINED, phase="Succeeded"),
    pod(
        "no-image",
        None,
        initContainerStatuses=[{"name": "registrar", "state": {"waiting": {"reason": "ErrImagePull"}}}],
    ),
    without_registrar("missed", **{LABEL_CARRIED: "vllm"}),
    without_registrar("opted-out", **{LABEL_SERVER: "vllm", LABEL_INJECT: "false"}),
    {**pod("made-anew"), "metadata": {**pod("made-anew")["metadata"], "uid": "uid-of-the-next"}},
    without_labels(pod("lost-its-label")),
)
ROWS: Final = (
    row("qwen-6d4b9c7f5-x2k8p", "qwen3", created_at="2026-11-18T08:02:11Z"),
    row("two-models", "llama-4"),
    row("two-models", "llama-4-turbo", blocked=True),
    row("ill", "mistral", mark=MARKED_BY_US, blocked=True),
    row("on-a-lost-node", "phi", blocked=True, **{REAPER_KEY: NODE_NOT_READY}),
    row("on-no-node-any-more", "phi"),
    row("moved", "gemma"),
    row("done", "batch"),
    row("crashed", "qwen3"),
    row("made-anew", "olmo"),
    row("lost-its-label", "granite"),
    row("another", "llama-4", namespace="team-b", cluster="another-cluster"),
    foreign("gpt-4o"),
    foreign("gemma", "hand-made-gemma"),
)


class Table:
    """A LiteLLM that shows rows; `fault` is what it answers instead."""

    def __init__(self, *rows: JSON) -> None:
        self.rows = [*rows]
        self.fault: Reply | None = None
        self.asked: list[Call] = []

    async def send(self, call: Call, _: float) -> Reply:
        """Answer as /v2/model/info does."""
        self.asked.append(call)
        if self.fault:
            return self.fault
        assert (call.method, call.path) == ("GET", "/v2/model/info")
        size, number = int(call.query["size"]), int(call.query["page"])
        shown = self.rows[(number - 1) * size : number * size]
        return Reply(200, json.dumps({"data": shown, "total_count": len(self.rows)}).encode())


def kubernetes(*pods: JSON) -> FakeApi:
    """Give an API server with these pods and the nodes."""
    api = FakeApi()
    for name, ready in NODES.items():
        conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
        put(api, f"/api/v1/nodes/{name}", {"metadata": {"name": name}, "status": {"conditions": conditions}})
    for found in pods:
        put(api, path(found), found)
    return api


def path(found: JSON) -> str:
    """Give where a pod is."""
    metadata = found["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def put(api: FakeApi, at: str, found: JSON) -> None:
    """Put an object there with the uid that it has, not one of the stand-in's."""
    uid = found["metadata"].get("uid")
    api.put(at, found)
    if uid:
        api.objects[at]["metadata"]["uid"] = uid
