"""One pod's life on this machine: a real model server, and the registrar its patched pod names, as processes.

The pod's IP is a loopback address of its own. What a kubelet would do is done by hand: environment and
command, the readiness probe, the preStop hooks, SIGTERM in a pod's order.
"""

from __future__ import annotations

import itertools
import subprocess
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from sidecar.contract import CONTAINER_NAME, DOMAIN, LABEL_SERVER, METRICS_PATH, STATUS_PATH, Settings
from tests.kubelet import HttpCall, container_process, find_container, pre_stop, readiness
from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM
from tests.peers.servers import ModelServer

NAMESPACE: Final = "models"
SECRET: Final = "litellm-registrar"
SERVER: Final = "server"
# How long anything is waited for: a busy machine takes many times as long as a quiet one.
PATIENCE: Final = 120.0
_numbers = itertools.count(1)

Secrets = Mapping[str, Mapping[str, str]]


def manifest(
    server: ModelServer, label: str, annotations: Mapping[str, str], **container: Any
) -> dict[str, Any]:
    """Give the pod that would run this server, as a ReplicaSet makes it, with our label and annotations."""
    own = server.container()
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{server.engine}-{next(_numbers)}",
            "namespace": NAMESPACE,
            "labels": {"app": server.engine, LABEL_SERVER: label},
            "annotations": {f"{DOMAIN}/{key}": value for key, value in annotations.items()},
        },
        "spec": {
            "containers": [{"name": SERVER, **own, **container}],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
        },
    }


def litellm_secret(proxy: LiteLLM, **other: str) -> Secrets:
    """Give the Secret that a namespace needs; `other` replaces its url or key."""
    return {SECRET: {"url": proxy.urls[0], "key": proxy.key, **other}}


def model_id(row: Mapping[str, Any]) -> str:
    """Give the id of a row of /v2/model/info."""
    return str(row["model_info"]["id"])


@dataclass
class Pod:
    """A patched pod, the server in it (which somebody else starts) and its registrar."""

    patched: Mapping[str, Any]
    server: ModelServer
    secrets: Secrets
    log_path: Path
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.patched["metadata"]["name"])

    def start_registrar(self) -> None:
        """Start the registrar with exactly the command and the environment of the patched pod."""
        argv, env = container_process(
            self.patched,
            CONTAINER_NAME,
            pod_ip=self.server.host,
            uid=self.uid,
            node="node-1",
            secrets=self.secrets,
        )
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)

    def kill_registrar(self) -> None:
        """Kill -9; nothing if it does not run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log(self) -> str:
        """Give what `kubectl logs -c registrar` would show, of all its lives."""
        return self.log_path.read_text()

    def settings(self) -> Settings:
        """Give the settings the webhook wrote."""
        env = {item["name"]: item["value"] for item in self._container()["env"] if "value" in item}
        return Settings.from_env(env)

    def status(self) -> dict[str, Any]:
        """Ask the registrar how it is."""
        answer: dict[str, Any] = self._ask(STATUS_PATH).json()
        return answer

    def metrics(self) -> dict[str, float]:
        """Read the registrar's metrics as Prometheus does: each value by its name and its labels' values."""
        return {
            "/".join([sample.name.removeprefix("litellm_registrar_"), *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(self._ask(METRICS_PATH).text)
            for sample in family.samples
        }

    def state(self) -> str:
        """Give the registrar's state, or "" while it does not answer."""
        assert self.process is None or self.process.poll() is None, f"the registrar ended:\n{self.log()}"
        try:
            return str(self.status()["state"])
        except httpx.HTTPError:
            return ""

    def wait_for_state(self, state: str, seconds: float = PATIENCE) -> None:
        """Wait until the registrar is in that state."""
        self.wait_for(f"state {state}", lambda: self.state() == state, seconds)

    def wait_for_log(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until the registrar has said this."""
        self.wait_for(f"{text!r} in the log", lambda: text in self.log(), seconds)

    def wait_for(self, what: str, check: Any, seconds: float = PATIENCE) -> None:
        """Wait for anything; the registrar's log stands in the error if it does not come."""
        try:
            wait_until(what, seconds, check)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log of {self.name}:\n{self.log()}") from None

    def rows(self, proxy: LiteLLM) -> dict[str, dict[str, Any]]:
        """Give this pod's rows in LiteLLM, by their names there."""
        rows = proxy.rows()
        own = [row for row in rows if row["model_info"].get("registrar", {}).get("pod_uid") == self.uid]
        return {row["model_name"]: row for row in own}

    def is_ready(self) -> bool:
        """Probe the registrar's readiness as the kubelet does, with more patience for an answer."""
        call = readiness(self.patched, CONTAINER_NAME, self.server.host)
        assert call is not None
        try:
            return _send(replace(call, timeout=PATIENCE)) == 200
        except httpx.HTTPError:
            return False

    def drain(self) -> None:
        """Run the pod's preStop hooks, all at once as the kubelet does, until they have answered."""
        hooks = [pre_stop(self.patched, name, self.server.host) for name in (SERVER, CONTAINER_NAME)]
        calls = [hook for hook in hooks if hook is not None]
        assert len(calls) == 2, "both containers have our hook"
        with ThreadPoolExecutor(len(calls)) as pool:
            assert list(pool.map(_send, calls)) == [200, 200]

    def delete(self) -> None:
        """End the pod as the kubelet does: hooks, then SIGTERM to the server, then to the registrar."""
        self.drain()
        self.server.stop()
        self.terminate()

    def terminate(self) -> None:
        """SIGTERM to the registrar, which must end by itself."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, self.log()
        self.process = None

    def _ask(self, path: str) -> httpx.Response:
        url = f"http://{self.server.host}:{self.settings().listen_port}{path}"
        return httpx.get(url, trust_env=False, timeout=30)

    def _container(self) -> Mapping[str, Any]:
        return find_container(self.patched, CONTAINER_NAME)


def _send(call: HttpCall) -> int:
    answer = httpx.get(call.url, headers=dict(call.headers), timeout=call.timeout, trust_env=False)
    return answer.status_code
