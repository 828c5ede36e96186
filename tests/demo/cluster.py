"""What Kubernetes does in the demo: the API server's call of the webhook, and one node's kubelet.

The webhook, the registrars and the servers are real processes; what is played here is only who calls them and
when, in the order a real node was seen to keep (Kubernetes 1.36, native sidecars).
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx

from sidecar.contract import ENV_TOKEN_FILE
from tests import kubelet
from tests.certificates import make_ca, make_leaf
from tests.demo import manifests
from tests.demo.broker import CLUSTER, Broker, Kubernetes
from tests.demo.process import DemoError, Process
from tests.demo.timeline import Timeline
from webhook.patch import Op, apply

IMAGE: Final = "registry.example.com/litellm-registrar/sidecar:0.1.0"
START_SECONDS: Final = 120.0
_ADDRESS: Final = re.compile(r"\baddress=(\S+)")

# From a container's argument vector and its pod's IP to the command that stands in for it.
Images = Callable[[list[str], str], list[str]]


class ApiServer:
    """Posts AdmissionReviews to the webhook over TLS and applies its patches. An async context manager."""

    def __init__(self, timeline: Timeline, folder: Path, broker: Broker) -> None:
        self._timeline = timeline
        self._folder = folder
        self._broker = broker
        self._url = ""

    async def __aenter__(self) -> Self:
        """Make a CA and the webhook's certificate, and start the webhook."""
        ca = make_ca("demo CA")
        certificate, key = make_leaf(ca, ["127.0.0.1"]).write(self._folder)
        self._timeline.say("webhook", "TLS certificate made, signed by a CA of its own")
        argv = [sys.executable, "-m", "webhook", "serve", "--listen-address", "127.0.0.1"]
        argv += ["--port", "0", "--health-port", "0", "--cluster-id", CLUSTER, "--registrar-image", IMAGE]
        argv += ["--tls-cert", str(certificate), "--tls-key", str(key), "--stop-delay", "0"]
        argv += ["--broker-url", self._broker.url, "--broker-ca", str(self._broker.ca)]
        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def said(line: str) -> None:
            self._timeline.say("webhook", without_stamp(line))
            if (address := _ADDRESS.search(line)) and not started.done():
                started.set_result(address[1])

        shown = f"--tls-cert {certificate.name} --broker-ca {self._broker.ca.name}"
        self._timeline.say("webhook", f"python -m webhook serve {shown} --broker-url {self._broker.url} ...")
        async with AsyncExitStack() as stack:
            process = await Process.start(argv, {}, said)
            stack.push_async_callback(process.stop, 30.0)
            try:
                self._url = f"https://{await asyncio.wait_for(started, START_SECONDS)}"
            except TimeoutError:
                raise DemoError(f"the webhook did not start within {START_SECONDS:g} s") from None
            context = ssl.create_default_context(cadata=ca.certificate.decode())
            self._client = await stack.enter_async_context(
                httpx.AsyncClient(verify=context, trust_env=False, timeout=60)
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the webhook."""
        await self._stack.aclose()

    async def admit(
        self, kind: str, obj: dict[str, Any], old: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Give the object as it is stored after admission; warnings are shown as kubectl shows them.

        Raises DemoError if it is refused.
        """
        for path in ("/mutate", "/validate"):
            uid = str(uuid.uuid4())
            answer = await self._client.post(self._url + path, json=manifests.review(kind, obj, old, uid))
            response = answer.raise_for_status().json()["response"]
            if response["uid"] != uid or not response["allowed"]:
                raise DemoError(f"{path} refused the {kind}: {response}")
            ops = json.loads(base64.b64decode(response.get("patch", "")) or b"[]")
            for warning in response.get("warnings", ()):
                self._timeline.say("kubectl", f"Warning: {warning}")
            obj = apply(obj, [Op(op["op"], op["path"], op.get("value")) for op in ops])
        return obj


@dataclass(slots=True)
class Pod:
    """A pod on the node: its patched manifest and its processes by container name."""

    manifest: dict[str, Any]
    ip: str
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.manifest["metadata"]["name"])

    @property
    def suffix(self) -> str:
        """The part of its name that is its own."""
        return self.name.rpartition("-")[2]

    def containers(self) -> list[str]:
        """Give its containers in the order they are started: native sidecars first."""
        spec = self.manifest["spec"]
        return [c["name"] for c in (*spec.get("initContainers", ()), *spec["containers"])]


class Kubelet:
    """Starts, probes and ends pods. `folder` has the pods' tokens."""

    def __init__(self, timeline: Timeline, kubernetes: Kubernetes, folder: Path, images: Images) -> None:
        self._timeline = timeline
        self._kubernetes = kubernetes
        self._folder = folder
        self._images = images
        self._pods: list[Pod] = []
        self._client = httpx.AsyncClient(trust_env=False)

    async def __aenter__(self) -> Self:
        """Give the kubelet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Kill what is left of any pod."""
        await self._client.aclose()
        for pod in self._pods:
            for process in pod.processes.values():
                await process.kill()

    def token(self, pod: Pod) -> Path:
        """Give the file with the pod's token, as its projected volume has it."""
        return self._folder / f"token-{pod.uid}"

    async def run(self, pod: Pod) -> None:
        """Start every container with exactly the command and environment of the manifest.

        Only the token's file is elsewhere: all pods share this machine's file system.
        """
        self._pods.append(pod)
        token = self.token(pod)
        token.touch(mode=0o600)
        token.write_text(self._kubernetes.run(pod.manifest, pod.uid, pod.ip, manifests.NODE))
        for name in pod.containers():
            argv, env = kubelet.container_process(
                pod.manifest,
                name,
                pod_ip=pod.ip,
                uid=pod.uid,
                node=manifests.NODE,
                secrets={},
            )
            if ENV_TOKEN_FILE in env:
                env[ENV_TOKEN_FILE] = str(token)
            own = f" and {len(env)} variables" if env else ""
            self._timeline.say("kubelet", f"{pod.name}: container {name} started: {_short(argv)}{own}")
            pod.processes[name] = await Process.start(
                self._images(argv, pod.ip), env, self._listener(f"{name} {pod.suffix}")
            )

    async def ready(self, pod: Pod) -> None:
        """Wait until every readiness probe passes. Raises DemoError when a container ends."""
        probes = {name: kubelet.readiness(pod.manifest, name, pod.ip) for name in pod.containers()}
        waiting = {name: probe for name, probe in probes.items() if probe is not None}
        while waiting:
            for name, probe in tuple(waiting.items()):
                if pod.processes[name].ended:
                    code = await pod.processes[name].wait()
                    raise DemoError(f"{pod.name}: container {name} ended with {code}")
                if await self._passes(probe):
                    self._timeline.say("kubelet", f"{pod.name}: container {name} is ready")
                    del waiting[name]
            await asyncio.sleep(0.2)

    async def delete(self, pod: Pod) -> None:
        """End a pod in the kubelet's order, within its grace period.

        All preStop hooks at once; when the server's has answered, SIGTERM to the server; when it has ended
        and the registrar's own hook has answered, SIGTERM to the registrar. SIGKILL when the grace is over.
        """
        spec = pod.manifest["spec"]
        grace = float(spec["terminationGracePeriodSeconds"])
        self._kubernetes.delete_pod(pod.manifest)
        began = time.monotonic()
        self._timeline.say(
            "kubelet", f"{pod.name}: Terminating, grace period {grace:.0f} s; preStop hooks now"
        )
        hooks = {name: asyncio.create_task(self._pre_stop(pod, name, grace)) for name in pod.containers()}
        try:
            for group in (spec["containers"], spec.get("initContainers", ())):
                for name in (c["name"] for c in reversed(group)):
                    await hooks[name]
                    self._timeline.say("kubelet", f"{pod.name}: SIGTERM to {name}")
                    code = await pod.processes[name].stop(max(1.0, began + grace - time.monotonic()))
                    self._timeline.say("kubelet", f"{pod.name}: container {name} ended with {code}")
                    if code:
                        raise DemoError(f"container {name} of {pod.name} ended with {code}, not 0")
        finally:
            for hook in hooks.values():
                hook.cancel()
        self._kubernetes.remove_pod(pod.manifest)
        self._timeline.say("kubelet", f"{pod.name}: gone {time.monotonic() - began:.1f} s after its deletion")

    async def _pre_stop(self, pod: Pod, name: str, grace: float) -> None:
        call = kubelet.pre_stop(pod.manifest, name, pod.ip)
        if call is None:
            return
        began = time.monotonic()
        answer = await self._client.get(call.url, headers=dict(call.headers), timeout=grace)
        took = time.monotonic() - began
        self._timeline.say(
            "kubelet", f"{pod.name}: preStop of {name} answered {answer.status_code} after {took:.1f} s"
        )
        if not answer.is_success:
            raise DemoError(f"the preStop hook of {name} was answered {answer.status_code}: {answer.text}")

    async def _passes(self, probe: kubelet.HttpCall) -> bool:
        try:
            answer = await self._client.get(probe.url, headers=dict(probe.headers), timeout=probe.timeout)
        except httpx.HTTPError:
            return False
        return answer.is_success

    def _listener(self, who: str) -> Callable[[str], None]:
        def said(line: str) -> None:
            self._timeline.say(who, without_stamp(line))

        return said


def without_stamp(line: str) -> str:
    """Give a log line without its time of day: the timeline has its own."""
    stamp, _, rest = line.partition(" ")
    return rest if stamp.endswith("Z") else line


def _short(argv: list[str]) -> str:
    words = ["python" if word == sys.executable else word for word in argv]
    return " ".join(words[:4]) + (" ..." if len(words) > 4 else "")
