"""`selftest`: whether a pod that is made now would get its registrar, asked of the API server as a dry run.

And whether the broker answers, by just what that pod would have been told of it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from sidecar.contract import ENV_LITELLM_CA, ENV_LITELLM_URL, ENV_TOKEN_FILE, LABEL_SERVER
from webhook.broker.shapes import Call, RefusedError
from webhook.broker.upstream import Upstream
from webhook.container import registrar_of
from webhook.kube.api import JSON, Api, ApiError
from webhook.pods import objects

_LITTLE: Final = {"cpu": "10m", "memory": "64Mi"}

Say = Callable[[str], object]

_SECONDS: Final = 10.0
_UNAUTHENTICATED: Final = 401
# The API server calls a webhook a moment after its first pod is ready, which is all that Helm 3 waits for
# (pkg/kube/ready.go: `ReadyReplicas`; Helm 4 waits for minReadySeconds too).
_TRIES: Final = 10
_APART: Final = 1.0


async def selftest(
    api: Api, namespace: str, say: Say, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> bool:
    """Try both, say what came of it, and tell whether all is well.

    A pod without a registrar is tried again for ten seconds. Rights: `create` on pods in that namespace.
    Nothing is made in it.
    """
    path = f"/api/v1/namespaces/{namespace}/pods"
    try:
        made = await api.rehearse(path, pod())
        for _ in range(_TRIES):
            if registrar_of(made) is not None:
                break
            await sleep(_APART)
            made = await api.rehearse(path, pod())
    except ApiError as error:
        say(
            f"A labelled pod is refused in namespace {namespace}: {error}. If that is the policy's word or "
            "another's, and right, name a namespace for the test in which such a pod may be (test.namespace)"
        )
        return False
    registrar = registrar_of(made)
    if registrar is None:
        say(
            f"A labelled pod in namespace {namespace} comes back without a registrar: the API server does "
            "not reach the webhook, or its configurations leave this namespace out"
        )
        return False
    say(f"A labelled pod in namespace {namespace} gets its registrar, {registrar.get('image')}")
    env = {str(entry.get("name")): entry.get("value") for _, entry in objects(registrar.get("env"))}
    if ENV_TOKEN_FILE not in env:
        return True
    return await _broker_answers(str(env.get(ENV_LITELLM_URL)), str(env.get(ENV_LITELLM_CA)), say)


def pod() -> JSON:
    """Give a pod with the label that keeps to the restricted Pod Security Standard and asks for little."""
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    server = {
        "name": "server",
        "image": "litellm-registrar.invalid/selftest@sha256:" + "0" * 64,
        "ports": [{"containerPort": 8000}],
        "resources": {"requests": _LITTLE, "limits": _LITTLE},
        "securityContext": security,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "litellm-registrar-selftest-", "labels": {LABEL_SERVER: "openai"}},
        "spec": {"automountServiceAccountToken": False, "containers": [server]},
    }


async def _broker_answers(url: str, ca: str, say: Say) -> bool:
    """See whether the broker answers behind its certificate.

    Without a pod's token it refuses whatever is asked; a Service leads to ready pods only, and a broker that
    is not ready would have said nothing.
    """
    try:
        trust = ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError):
        say(f"The broker's certificates that pods get cannot be read: {len(ca)} characters")
        return False
    async with Upstream(url, trust) as upstream:
        try:
            reply = await upstream.send(Call("GET", "/health/readiness"), _SECONDS)
        except RefusedError as error:
            say(f"The broker does not answer at {url}: {error.message}")
            return False
    if reply.status != _UNAUTHENTICATED:
        say(f"What answers at {url} is no broker: HTTP {reply.status} to who has no token, expected was 401")
        return False
    say(f"The broker answers at {url}")
    return True
