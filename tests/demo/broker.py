"""The broker of the demo: its own code over TLS, before an API server that is played in memory."""

from __future__ import annotations

import asyncio
import io
import re
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Self

from sidecar.broker_contract import DEFAULT_AUDIENCE
from tests.demo.process import DemoError
from tests.demo.timeline import Timeline
from tests.standins.kube import FakeApi
from webhook.broker.server import Server
from webhook.broker.settings import Settings
from webhook.broker.tokens import REVIEWS
from webhook.kube.api import JSON
from webhook.log import Log

NAMESPACE: Final = "litellm-registrar"
CLUSTER: Final = "demo"
START_SECONDS: Final = 120.0
_SECRET: Final = "litellm-registrar-broker-tls"
_BUNDLE: Final = f"/api/v1/namespaces/{NAMESPACE}/configmaps/litellm-registrar-broker-ca"
_NODE_IP: Final = "127.0.0.1"
_LOOK_EVERY: Final = 0.05
_LONG_ID: Final = re.compile(r"(registrar-[0-9a-f]{8})[0-9a-f]{16}-[0-9a-f]{24}")


class Kubernetes(FakeApi):
    """The API server as the broker asks it: which pods there are, and whose a token is."""

    def __init__(self) -> None:
        super().__init__()
        self._holders: dict[str, JSON] = {}

    async def create(self, path: str, body: JSON) -> JSON:
        """Create an object; a TokenReview is answered and not kept."""
        if path != REVIEWS:
            return await super().create(path, body)
        spec = body["spec"]
        known = self._holders.get(spec["token"]) if spec["audiences"] == [DEFAULT_AUDIENCE] else None
        return {**body, "status": known or {"authenticated": False}}

    def run(self, manifest: JSON, uid: str, ip: str, node: str) -> str:
        """Take note of a pod that runs, and give a token of it."""
        metadata = manifest["metadata"]
        status = {"phase": "Running", "hostIP": _NODE_IP, "podIP": ip, "podIPs": [{"ip": ip}]}
        shown = {
            **manifest,
            "metadata": {**metadata, "uid": uid},
            "spec": {**manifest["spec"], "nodeName": node},
            "status": status,
        }
        self.objects[_path(metadata)] = shown
        extra = {"pod-name": metadata["name"], "pod-uid": uid, "node-name": node}
        user = {
            "username": f"system:serviceaccount:{metadata['namespace']}:default",
            "extra": {f"authentication.kubernetes.io/{key}": [value] for key, value in extra.items()},
        }
        token = ".".join(secrets.token_urlsafe(24) for _ in range(3))  # in the form of a JSON Web Token
        self._holders[token] = {"authenticated": True, "user": user, "audiences": [DEFAULT_AUDIENCE]}
        return token

    def delete_pod(self, manifest: JSON) -> None:
        """Mark a pod as deleted, with the grace that it was made with."""
        metadata = self.objects[_path(manifest["metadata"])]["metadata"]
        metadata["deletionTimestamp"] = "2026-11-21T07:00:00Z"
        metadata["deletionGracePeriodSeconds"] = manifest["spec"]["terminationGracePeriodSeconds"]

    def remove_pod(self, manifest: JSON) -> None:
        """Forget a pod that has ended, and its token."""
        found = self.objects.pop(_path(manifest["metadata"]))
        names = {"authentication.kubernetes.io/pod-uid": [found["metadata"]["uid"]]}
        self._holders = {
            token: status
            for token, status in self._holders.items()
            if not names.items() <= status["user"]["extra"].items()
        }


def _path(metadata: JSON) -> str:
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


class Broker:
    """The broker, for as long as the block lasts; it makes its own certificate."""

    def __init__(self, timeline: Timeline, folder: Path, litellm: tuple[str, str]) -> None:
        """`litellm`: the address and the key that the broker alone has."""
        self.kubernetes = Kubernetes()
        self.url = ""
        self.ca = folder / "broker-ca.crt"
        self._timeline = timeline
        self._key = folder / "litellm-key"
        self._litellm = litellm

    async def __aenter__(self) -> Self:
        """Start it, and wait until it has published what it is verified by."""
        url, key = self._litellm
        self._key.touch(mode=0o600)
        self._key.write_text(key)
        given: dict[str, str | None] = {
            "cluster_id": CLUSTER,
            "litellm_url": url,
            "litellm_key_file": str(self._key),
            "namespace": NAMESPACE,
            "tls_secret": _SECRET,
            "tls_names": "127.0.0.1",
            "listen_address": "127.0.0.1",
            "port": "0",
            "health_port": "0",
        }
        self._timeline.say("broker", f"python -m webhook broker --tls-secret {_SECRET} ...")
        log = Log(_Lines(lambda line: self._timeline.say("broker", short(line))))
        server = Server(Settings.read(given, {}), log, self.kubernetes)
        async with AsyncExitStack() as stack:
            await server.start()
            stack.push_async_callback(server.close)
            self.ca.write_text(await self._bundle())
            self.url = f"https://{server.address}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        await self._stack.aclose()

    async def _bundle(self) -> str:
        """Wait for what the broker publishes."""
        for _ in range(int(START_SECONDS / _LOOK_EVERY)):
            if published := self.kubernetes.objects.get(_BUNDLE):
                return str(published["data"]["ca-bundle.crt"])
            await asyncio.sleep(_LOOK_EVERY)
        raise DemoError(f"the broker published no certificate within {START_SECONDS:g} s")


def short(text: str) -> str:
    """Shorten the ids of rows in a text."""
    return _LONG_ID.sub(r"\1…", text)


class _Lines(io.StringIO):
    """Hands each line to a function, without its time of day."""

    def __init__(self, said: Callable[[str], None]) -> None:
        super().__init__()
        self._said = said

    def write(self, text: str) -> int:
        """Take one line."""
        self._said(text.partition(" ")[2].rstrip("\n"))
        return len(text)
