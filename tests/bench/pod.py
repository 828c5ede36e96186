"""A pod of a benchmark: a stand-in vLLM in this process, and its registrar as a process.

The servers are stand-ins so that their answers take a known time; LiteLLM and the registrar are real.
"""

import asyncio
import contextlib
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx

from sidecar.contract import CONTAINER_NAME, DEFAULT_LITELLM_SECRET, DEFAULT_PORT, DOMAIN, LABEL_SERVER
from tests.kubelet import container_process, pre_stop
from tests.peers.scripts import loopback_address
from tests.standins.vllm import VLLM
from webhook.inject import Injection, inject
from webhook.patch import apply

ROOT: Final = Path(__file__).parents[2]
# With what the registrar's image holds and nothing else; `make bench` makes it.
PYTHON: Final = ROOT / ".venv" / "sidecar" / "bin" / "python"
CLUSTER: Final = "bench"
# A short answer takes 50 ms, a stream 5 s.
THINK: Final = 0.05
CHUNKS: Final = 50
GAP: Final = 0.1


def patched(server: VLLM, annotations: Mapping[str, str]) -> dict[str, Any]:
    """Give the pod of this server as the webhook lets it into the cluster."""
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"vllm-{uuid.uuid4().hex[:8]}",
            "namespace": "bench",
            "labels": {LABEL_SERVER: "vllm"},
            "annotations": {f"{DOMAIN}/{key}": value for key, value in annotations.items()},
        },
        "spec": {
            "containers": [
                {
                    "name": "vllm",
                    "image": "vllm/vllm-openai:v0.32.0",
                    "args": ["--model", "/models/tiny", "--port", str(server.port)],
                }
            ]
        },
    }
    decision = inject(pod, Injection(cluster=CLUSTER, image="registrar:bench"), uuid.uuid4().hex)
    if not decision.ops:
        raise RuntimeError(f"the pod was not injected: {decision.problems}")
    patched_pod: dict[str, Any] = apply(pod, decision.ops)
    return patched_pod


class Pod:
    """One pod; `models` are what its server serves once `load` was called."""

    def __init__(
        self,
        url: str,
        key: str,
        *models: str,
        server: type[VLLM] = VLLM,
        annotations: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.ip = loopback_address()
        self.server = server(*models, address=(self.ip, 0), think=THINK, chunks=CHUNKS, gap=GAP)
        self.manifest = patched(self.server, annotations)
        self.uid = str(uuid.uuid4())
        self._secrets = {DEFAULT_LITELLM_SECRET: {"url": url, "key": key}}
        self._log = Path(tempfile.gettempdir(), f"registrar-{self.uid}.log")
        self.process: subprocess.Popen[bytes] | None = None

    def start_registrar(self) -> None:
        """Start the registrar by the pod's own command and environment."""
        argv, env = container_process(
            self.manifest,
            CONTAINER_NAME,
            pod_ip=self.ip,
            uid=self.uid,
            node="node-1",
            secrets=self._secrets,
        )
        command = [str(PYTHON), *argv[1:]]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=ROOT)

    async def serving(self, seconds: float = 60) -> None:
        """Wait until the registrar says that all models are registered."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            for _ in range(int(seconds / 0.1)):
                with contextlib.suppress(httpx.HTTPError):  # not listening yet
                    answer = await client.get(f"http://{self.ip}:{DEFAULT_PORT}/status")
                    if answer.json()["state"] == "serving":
                        return
                await asyncio.sleep(0.1)
        raise RuntimeError(f"not serving after {seconds:g} s:\n{self.log()}")

    async def drain(self) -> None:
        """Run the preStop hooks of both containers, at once, as the kubelet does."""
        hooks = [pre_stop(self.manifest, name, self.ip) for name in ("vllm", CONTAINER_NAME)]
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.TaskGroup() as group:
            for hook in hooks:
                if hook is None:
                    raise RuntimeError("a container has no hook")
                group.create_task(client.get(hook.url, headers=dict(hook.headers), timeout=hook.timeout))

    async def end(self, *, drain: bool = True) -> None:
        """End the pod in the kubelet's order; without `drain` as if there were no hooks."""
        if drain:
            await self.drain()
        await self.server.kill()
        await self.stop_registrar()
        await self.server.__aexit__(None, None, None)

    async def stop_registrar(self) -> None:
        """SIGTERM and the end of it; SIGKILL after 20 s."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 20)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        self._log.unlink(missing_ok=True)

    def log(self) -> str:
        """Give what `kubectl logs -c registrar` would show."""
        return self._log.read_text()
