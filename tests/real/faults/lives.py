"""One pod's life in the world of faults: its object, its model server, and its registrar as a process."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import httpx

from sidecar.contract import (
    CONTAINER_NAME,
    DEFAULT_LITELLM_SECRET,
    DEFAULT_PORT,
    DOMAIN,
    ENV_TOKEN_FILE,
    LABEL_SERVER,
    STATUS_PATH,
)
from sidecar.row_contract import pod_prefix, row_id
from tests.kubelet import container_process, pre_stop
from tests.peers.broker import NODE, Caller, caller
from tests.peers.cluster import Cluster, wait_until
from tests.peers.scripts import loopback_address
from tests.peers.webhook import CLUSTER_ID, ROOT
from tests.real.faults.background import Background
from tests.real.faults.judging import Wanted
from tests.real.faults.moody import ENV_MOODS
from tests.standins.vllm import VLLM
from webhook.inject import Injection, inject
from webhook.patch import apply

JSON = dict[str, Any]

PORT: Final = 8000
NAMESPACE: Final = "models"
# Of pods of somebody else: names of one namespace's rows may not be another's.
OTHERS: Final = "others"
# What pods without a broker call their cluster: no broker looks after rows of it.
DIRECT_CLUSTER: Final = "another-cluster"
# A drain has time for a LiteLLM that is killed and starts again, on a busy machine too.
ANNOTATIONS: Final = {"poll-interval": "1s", "propagation": "3s", "drain-timeout": "180s"}
_LENGTH: Final = 1024
_IMAGE: Final = "litellm-registrar/sidecar:test"


class Mode(StrEnum):
    """How a registrar reaches LiteLLM."""

    BROKER = "broker"
    DIRECT = "direct"


@dataclass
class Place:
    """Where pods live: what each needs of the world. `url` and `key` are LiteLLM's, for direct mode."""

    cluster: Cluster
    loop: Background
    folder: Path
    moods: Path
    url: str
    key: str = field(repr=False)
    module: str = "tests.real.faults.moody"
    # Which token pods are given.
    token: Callable[[Caller], str] = attrgetter("token")


@dataclass
class Life:
    """A pod; its registrar runs from `start` on, until it is killed or told to end."""

    place: Place
    mode: Mode
    name: str
    namespace: str
    model: str
    address: str
    uid: str
    manifest: JSON = field(repr=False)
    caller: Caller | None = None
    server: VLLM = field(init=False, repr=False)
    process: subprocess.Popen[bytes] | None = None
    # Its rows are to be in LiteLLM, and whether they are to be blocked there.
    lives: bool = False
    blocked: bool = False
    over: bool = False
    _ending: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.server = VLLM(self.model, address=(self.address, PORT), max_model_len=_LENGTH)
        self.place.loop.run(self.server.load())

    @property
    def cluster_id(self) -> str:
        """What its cluster is called in LiteLLM."""
        return CLUSTER_ID if self.mode is Mode.BROKER else DIRECT_CLUSTER

    @property
    def prefix(self) -> str:
        """How ids of its rows begin."""
        return pod_prefix(self.cluster_id, self.namespace, self.uid)

    @property
    def log(self) -> Path:
        """What its registrar prints, of all its lives."""
        return self.place.folder / f"{self.name}.log"

    @property
    def token_file(self) -> Path:
        """Where its registrar finds its token."""
        return self.place.folder / f"{self.name}.token"

    def wanted(self) -> dict[str, Wanted]:
        """Give the rows that are to be in LiteLLM, by id."""
        if not self.lives:
            return {}
        block = {
            "cluster": self.cluster_id,
            "namespace": self.namespace,
            "pod": self.name,
            "pod_uid": self.uid,
        }
        base = f"http://{self.address}:{PORT}/v1"
        return {
            row_id(self.cluster_id, self.namespace, self.uid, model): Wanted(
                model, base, block, self.server.max_model_len, self.blocked
            )
            for model in self.server.models
        }

    def start(self) -> None:
        """Start its registrar as the kubelet does; from now on it is to have its rows."""
        secrets = {DEFAULT_LITELLM_SECRET: {"url": self.place.url, "key": self.place.key}}
        argv, env = container_process(
            self.manifest, CONTAINER_NAME, pod_ip=self.address, uid=self.uid, node=NODE, secrets=secrets
        )
        assert argv[1:] == ["-m", "sidecar"]
        if self.caller is not None:
            self.mount()
            env[ENV_TOKEN_FILE] = str(self.token_file)
        env[ENV_MOODS] = str(self.place.moods)
        command = [sys.executable, "-m", self.place.module, "sidecar"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=ROOT)
        self.lives = True

    def mount(self) -> None:
        """Write its token where its registrar finds it: at once, as the kubelet does."""
        assert self.caller is not None
        part = self.token_file.with_suffix(".part")
        part.write_text(self.place.token(self.caller))
        part.replace(self.token_file)

    def update(self) -> None:
        """Have its server serve one more model, and all of them with a longer context."""

        async def change() -> None:
            self.server.models.append(f"{self.model}-more")
            self.server.max_model_len *= 2

        self.place.loop.run(change())

    def kill(self) -> None:
        """Kill -9 its registrar; nothing if it does not run."""
        # several threads may be at this pod's end
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def crash(self) -> None:
        """Kill -9 its registrar; if it is not at its end, the kubelet starts it again after a moment."""
        self.kill()
        time.sleep(0.5)
        if self.lives:
            self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send its registrar a signal."""
        process = self.process
        if process is not None:
            process.send_signal(number)

    def status(self) -> JSON:
        """Ask its registrar how it is; empty while it does not answer."""
        try:
            url = f"http://{self.address}:{DEFAULT_PORT}{STATUS_PATH}"
            found: JSON = httpx.get(url, trust_env=False, timeout=5).json()
        except httpx.HTTPError:
            return {}
        return found

    def wait_for_state(self, state: str, seconds: float = 120) -> None:
        """Wait until its registrar is in that state."""
        try:
            wait_until(f"state {state}", seconds, lambda: self.status().get("state") == state)
        except AssertionError as error:
            raise AssertionError(f"{error} of {self.name}:\n{self.log.read_text()}") from None

    def mark_deleted(self) -> None:
        """Delete its object: the API server waits for a kubelet."""
        if self.caller is not None:
            self.caller.delete(grace=self.manifest["spec"]["terminationGracePeriodSeconds"])

    def drain(self) -> None:
        """Do meanwhile what the kubelet does with a deleted pod: hooks, SIGTERM, and the object goes."""
        self.lives = False
        self._ending = threading.Thread(target=self._end)
        self._ending.start()

    def end(self) -> None:
        """End all of it at once, as a node's power does; the object goes too."""
        if not self.over:
            self.leave()
            self.remove()

    def leave(self) -> None:
        """End its registrar and its server; the object stays."""
        self.lives, self.over = False, True
        self.kill()
        self.place.loop.run(self.server.__aexit__(None, None, None))

    def ended(self) -> bool:
        """Tell whether a drain that was begun is over."""
        return self._ending is None or not self._ending.is_alive()

    def remove(self) -> None:
        """Take its object away, once the API server can be asked."""
        if self.caller is None:
            return
        where = ("pod", self.name, "-n", self.namespace, "--force", "--grace-period=0")
        more = ("--wait=false", "--ignore-not-found")
        wait_until(
            "deleted pod",
            180,
            lambda: not self.place.cluster.kubectl("delete", *where, *more, check=False).code,
            every=1,
        )

    def _end(self) -> None:
        hooks = [pre_stop(self.manifest, name, self.address) for name in ("vllm", CONTAINER_NAME)]
        with ThreadPoolExecutor(len(hooks)) as pool:
            list(pool.map(_call, hooks))
        process = self.process
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        self.end()


def _call(hook: Any) -> None:
    assert hook is not None, "both containers have our hook"
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(hook.url, headers=dict(hook.headers), timeout=hook.timeout, trust_env=False)


def manifest(name: str, namespace: str, model: str) -> JSON:
    """Give a pod as its owner writes it."""
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    own = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    server = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.32.0",
        "args": ["--model", f"models/{model}", "--port", str(PORT)],
        "securityContext": own,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {LABEL_SERVER: "vllm"},
            "annotations": {f"{DOMAIN}/{key}": value for key, value in ANNOTATIONS.items()},
        },
        # nobody evicts it when its node counts as dead
        "spec": {
            "containers": [server],
            "securityContext": security,
            "tolerations": [{"operator": "Exists"}],
        },
    }


def brokered(place: Place, name: str, namespace: str = NAMESPACE, address: str = "") -> Life:
    """Make a pod, as the API server and its webhook leave it; nobody runs it yet."""
    address = address or loopback_address()
    model = f"{namespace}-model"
    made = caller(place.cluster, manifest(name, namespace, model), address, PORT)
    stored = place.cluster.get("pod", name, namespace)
    return Life(place, Mode.BROKER, name, namespace, model, address, made.uid, stored, made)


def direct(place: Place, name: str) -> Life:
    """Make a pod whose registrar has LiteLLM's key; there is no object of it."""
    model = f"{NAMESPACE}-direct-model"
    pod = manifest(name, NAMESPACE, model)
    decision = inject(pod, Injection(cluster=DIRECT_CLUSTER, image=_IMAGE), uuid.uuid4().hex)
    assert decision.ops, decision
    address = loopback_address()
    injected: JSON = apply(pod, decision.ops)
    return Life(place, Mode.DIRECT, name, NAMESPACE, model, address, str(uuid.uuid4()), injected)
