"""A broker that serves with TLS on loopback, before a stand-in of LiteLLM and a Kubernetes in memory."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from sidecar.broker_contract import CONTRACT_HEADER, DEFAULT_AUDIENCE, RULE_HEADER
from sidecar.contract import CONTRACT_VERSION
from sidecar.row_contract import NO_KEY, row_id
from tests.injected import CLUSTER, injected, running
from tests.server.running import until
from tests.standins.kube import FakeApi
from tests.standins.litellm import LiteLLM
from webhook.broker.server import Server
from webhook.broker.tokens import REVIEWS
from webhook.kube.api import JSON

IP: Final = "10.0.0.7"


def a_token(name: str) -> str:
    """Give what has the form of a ServiceAccount's token."""
    part = base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{part}.c2lnbmF0dXJl"


class Kubernetes(FakeApi):
    """A Kubernetes in memory that also reviews tokens: `bearers` is who holds which, `issued` are all."""

    def __init__(self) -> None:
        super().__init__()
        self.bearers: dict[str, JSON] = {}
        self.issued: set[str] = set()

    async def create(self, path: str, body: JSON) -> JSON:
        """Create an object; a TokenReview is answered and not kept."""
        if path != REVIEWS:
            return await super().create(path, body)
        await self._called("create", path)
        found = self.bearers.get(body["spec"]["token"], {})
        return {**body, "status": found if body["spec"]["audiences"] == [DEFAULT_AUDIENCE] else {}}

    def run_pod(
        self, namespace: str, name: str = "qwen", *addresses: str, port: int = 8000, like: JSON | None = None
    ) -> Pod:
        """Have an injected pod run, with a token of its own; `like` is what it is but for its names."""
        uid = f"uid-{namespace}-{name}"
        pod = Pod(namespace, name, uid, a_token(uid))
        manifest = like or injected(namespace, name, port)
        manifest = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace, "name": name}}
        shown = running(manifest, *(addresses or (IP,)), uid=uid)
        self.objects[pod.path] = shown
        self.issued.add(pod.token)
        extra = {
            "authentication.kubernetes.io/pod-name": [name],
            "authentication.kubernetes.io/pod-uid": [uid],
            "authentication.kubernetes.io/node-name": ["node-1"],
        }
        user = {"username": f"system:serviceaccount:{namespace}:default", "extra": extra}
        self.bearers[pod.token] = {"authenticated": True, "user": user, "audiences": [DEFAULT_AUDIENCE]}
        return pod

    def remove_pod(self, pod: Pod) -> None:
        """Have a pod gone for good; the API server takes its token no more."""
        del self.objects[pod.path], self.bearers[pod.token]

    def events(self) -> list[JSON]:
        """Give the Events."""
        return [found for path, found in self.objects.items() if "/events/" in path]


@dataclass(frozen=True)
class Pod:
    """A pod that calls the broker."""

    namespace: str
    name: str
    uid: str
    token: str = field(repr=False)

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def headers(self) -> dict[str, str]:
        """What it sends with every call."""
        return {"Authorization": f"Bearer {self.token}", CONTRACT_HEADER: str(CONTRACT_VERSION)}

    def id(self, model: str = "qwen") -> str:
        """Give the id of its row of a model."""
        return row_id(CLUSTER, self.namespace, self.uid, model)

    def row(self, model: str = "qwen", address: str = IP, **params: Any) -> JSON:
        """Give the body of a creation, as its registrar writes it."""
        owner = {"server": "vllm", "version": "0.32", "model": model, "owner": "vllm", "unknown": []}
        return {
            "model_name": model,
            "litellm_params": {
                "model": f"hosted_vllm/{model}",
                "api_base": f"http://{address}:8000/v1",
                "api_key": NO_KEY,
                "extra_headers": {},
                **params,
            },
            "model_info": {"id": self.id(model), "mode": "chat", "registrar": owner},
        }


@dataclass(frozen=True)
class Brokering:
    """A broker that serves, what stands behind it, and what it has logged."""

    server: Server
    kube: Kubernetes
    litellm: LiteLLM
    client: httpx.AsyncClient
    health: httpx.AsyncClient
    stream: io.StringIO

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines so far, without those of the start."""
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [line for line in lines if "path" in line]

    async def call(
        self, pod: Pod, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Have a pod make a call."""
        return await self.client.request(method, path, json=body, headers={**pod.headers, **(headers or {})})

    async def create(self, pod: Pod, model: str = "qwen", **params: Any) -> httpx.Response:
        """Have a pod make the row of a model."""
        return await self.call(pod, "POST", "/model/new", pod.row(model, **params))

    async def settled(self) -> None:
        """Wait until all has been asked of LiteLLM that a broker asks by itself at its start."""
        await until(lambda: "LiteLLM's key can " in self.stream.getvalue())
        await until(lambda: self.server._rows._read_at > 0)

    def rows(self) -> dict[str, str]:
        """Give the rows in LiteLLM's database, id to name."""
        return {key: row.model_name for key, row in self.litellm.database.rows.items()}


def rule(answer: httpx.Response) -> str | None:
    """Give the rule that an answer was refused by, in header and body alike."""
    named: str | None = answer.headers.get(RULE_HEADER)
    if named is not None:
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("registrar_broker", named)
        assert error["message"]
    return named


# Serves with these settings, until its end.
Broking = Callable[..., AbstractAsyncContextManager[Brokering]]
