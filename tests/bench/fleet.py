"""Many injected pods of a real API server, each with a token and a real registrar; nobody runs the pods.

A thousand processes do not fit on a machine: most registrars are the code of `sidecar/` on one event loop,
put together as `sidecar/run.py` does, before a model server that answers from a table. Some are processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import httpx

from sidecar.agent import Agent
from sidecar.broker_access import ByToken
from sidecar.broker_contract import DEFAULT_AUDIENCE
from sidecar.clock import SystemClock
from sidecar.contract import (
    CONTAINER_NAME,
    ENV_LITELLM_CA,
    ENV_LITELLM_URL,
    ENV_TOKEN_FILE,
    Credentials,
    PodIdentity,
    Settings,
)
from sidecar.fate import Fate
from sidecar.keeper import Keeper
from sidecar.litellm import LiteLLM
from sidecar.log import Log
from sidecar.problems import Problems
from sidecar.run import _LIMITS, _reporting
from sidecar.servers.server import ModelServer
from sidecar.sockets import SocketSample
from sidecar.token_file import TokenFile
from sidecar.traffic import Traffic
from tests.bench.pod import PYTHON, ROOT
from tests.injected import injected
from tests.kubelet import container_process
from tests.peers.broker import NODE, BrokerProcess, Caller
from tests.peers.cluster import Cluster
from tests.peers.scripts import free_port
from tests.standins.canned import Canned
from webhook.kube.api import Api

JSON = dict[str, Any]

PORT: Final = 8000
# A thousand registrars on one event loop would be busy with looking at their servers every 5 s.
SETTINGS: Final[Mapping[str, str]] = {"poll_interval": "60s"}
# How many pods are made at a time.
_AT_ONCE: Final = 16
# Nobody evicts them when their node counts as dead.
_STAY: Final = [{"operator": "Exists"}]
_addresses = itertools.count(1)
_LISTEN_PORT: Final = {field.name: field.metadata["env"] for field in fields(Settings)}["listen_port"]


@dataclass(frozen=True)
class Planned:
    """A pod that is to be made, and the model that its server serves."""

    namespace: str
    name: str
    model: str


@dataclass
class Member:
    """A pod that was made; `env` is its registrar's environment."""

    planned: Planned
    caller: Caller = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    lines: list[str] = field(default_factory=list)
    started: float = 0.0
    registered: float | None = None

    def write(self, line: str) -> None:
        """Take a line of its registrar's log."""
        if self.registered is None and _word(line) == "SERVING":
            self.registered = time.monotonic()
        self.lines.append(line)

    @property
    def problems(self) -> list[str]:
        """Give the lines that tell an owner that something is wrong."""
        return [line for line in self.lines if _word(line) == "PROBLEM"]

    @property
    def waited(self) -> list[str]:
        """Give the lines that tell an owner that something is waited for, other than the server."""
        return [line for line in self.lines if _word(line) == "WAITING" and "reason=broker" in line]


def _word(line: str) -> str:
    return [*line.split(maxsplit=2), "", ""][1]


async def members(
    cluster: Cluster, plan: Iterable[Planned], folder: Path, broker: BrokerProcess
) -> list[Member]:
    """Make these pods, let them have IPs, and give each a token for this broker; files are in `folder`."""
    way = Way(broker.url, broker.bundle(), folder)
    api = await Api.connect(str(cluster.work / "kubeconfig"))
    slots = asyncio.Semaphore(_AT_ONCE)

    async def made(planned: Planned) -> Member:
        async with slots:
            return await member(api, cluster, planned, way)

    try:
        return await asyncio.gather(*(made(planned) for planned in plan))
    finally:
        await api.close()


@dataclass(frozen=True, slots=True)
class Way:
    """How registrars reach a broker: its address, what they trust, and the folder of their tokens."""

    url: str
    ca: str
    folder: Path


async def member(
    api: Api,
    cluster: Cluster,
    planned: Planned,
    way: Way,
    *,
    node: str = NODE,
    address: str = "",
    settings: Mapping[str, str] = SETTINGS,
) -> Member:
    """Make a pod on this node, let it have this IP (else a new one), and give it a token for the broker."""
    pod = injected(planned.namespace, planned.name, PORT, **settings)
    caller = await _made(api, cluster, pod, node, address or _address())
    file = way.folder / f"{caller.uid}.token"
    await asyncio.to_thread(file.write_text, caller.token)
    _, env = container_process(
        pod, CONTAINER_NAME, pod_ip=caller.address, uid=caller.uid, node=node, secrets={}
    )
    env |= {ENV_LITELLM_URL: way.url, ENV_LITELLM_CA: way.ca, ENV_TOKEN_FILE: str(file)}
    return Member(planned, caller, env)


def _address() -> str:
    number = next(_addresses)
    return f"127.100.{number // 250}.{number % 250 + 1}"


async def _made(api: Api, cluster: Cluster, pod: JSON, node: str, address: str) -> Caller:
    """Do what `tests.peers.broker.caller` does, by the API: a thousand kubectl would take minutes."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    pods = f"/api/v1/namespaces/{namespace}/pods"
    spec = {**pod["spec"], "nodeName": node, "tolerations": _STAY}
    uid = (await api.create(pods, {**pod, "spec": spec}))["metadata"]["uid"]
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "192.0.2.1"}
    await api.merge(f"{pods}/{name}/status", {"status": {**status, "hostIPs": [{"ip": "192.0.2.1"}]}})
    bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
    asked = {"audiences": [DEFAULT_AUDIENCE], "expirationSeconds": 3600, "boundObjectRef": bound}
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": asked}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = (await api.create(path, request))["status"]["token"]
    return Caller(cluster, namespace, name, uid, address, PORT, token)


class _NoSockets:
    """No server listens: it answers from a table."""

    def sample(self, _probers: object) -> SocketSample | None:
        """See nothing."""
        return None

    def listening(self) -> frozenset[int]:
        """See nothing."""
        return frozenset()


def answers(model: str) -> Canned:
    """Give what a vLLM with this model answers to a registrar; to questions of what it can do, a 404."""
    card = {"id": model, "object": "model", "owned_by": "vllm", "root": "/models/x", "max_model_len": 4096}
    return Canned(
        {
            "/health": "",
            "/version": {"version": "0.32.0"},
            "/v1/models": {"object": "list", "data": [card]},
            "/metrics": "vllm:num_requests_running 0.0\nvllm:num_requests_waiting 0.0\n",
        }
    )


@asynccontextmanager
async def registrar(member: Member) -> AsyncIterator[Agent]:
    """Run a pod's registrar on this event loop while inside."""
    settings, identity = Settings.from_env(member.env), PodIdentity.from_env(member.env)
    credentials, clock = Credentials.from_env(member.env), SystemClock()
    log = Log(member.write, clock.today, secrets=credentials.secrets())
    problems = Problems(log, clock)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(cadata=credentials.litellm_ca)
    canned = answers(member.planned.model)
    assert credentials.token_file is not None
    async with (
        httpx.AsyncClient(verify=tls, limits=_LIMITS, trust_env=False) as broker,
        httpx.AsyncClient(transport=httpx.MockTransport(canned.reply)) as server,
    ):
        api = LiteLLM(
            broker, ByToken(credentials.litellm_url, TokenFile(credentials.token_file, log.conceal))
        )
        keeper = Keeper(api, problems=problems, log=log, clock=clock, random=random.random)
        watched = ModelServer(settings, identity, credentials, server)
        agent = Agent(
            settings,
            identity,
            watched,
            keeper,
            Traffic(watched, _NoSockets(), tuple),
            fate=Fate(api.pod, clock),
            api_key=None,
            problems=problems,
            log=log,
            clock=clock,
        )
        reporting = _reporting(api, agent, keeper, problems, clock)
        member.started = time.monotonic()
        running = [asyncio.create_task(agent.run()), asyncio.create_task(reporting.run())]
        try:
            yield agent
        finally:
            await keeper.stop()
            tasks = [*running, *([agent._draining] if agent._draining else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def run(
    fleet: list[Member], processes: list[Member], within: float, done: Callable[[], bool], most: float
) -> None:
    """Start these registrars evenly `within` so many seconds; end them when `done`, `most` seconds later.

    `processes` are those of them that are processes of their own.
    """
    own = {id(member) for member in processes}
    async with contextlib.AsyncExitStack() as stack:
        tasks = [
            asyncio.create_task(
                _after(within * number / len(fleet), member, stack, process=id(member) in own)
            )
            for number, member in enumerate(fleet)
        ]
        await asyncio.gather(*tasks)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most):
                while not done():  # noqa: ASYNC110 - registrars say it in lines of their logs
                    await asyncio.sleep(0.2)


async def _after(seconds: float, member: Member, stack: contextlib.AsyncExitStack, *, process: bool) -> None:
    await asyncio.sleep(seconds)
    await stack.enter_async_context(registrar_process(member) if process else registrar(member))


@asynccontextmanager
async def registrar_process(
    member: Member, python: str = str(PYTHON)
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a pod's registrar as a process, beside its server: one more, at the pod's address.

    Both are killed at the end.
    """
    caller = member.caller
    served = (
        "--served-model-name",
        member.planned.model,
        "--host",
        caller.address,
        "--port",
        str(caller.port),
    )
    command = (sys.executable, "-m", "tests.standins.vllm", "serve", *served)
    server = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    member.started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(python, "-m", "sidecar"),
        cwd=ROOT,
        env={**member.env, _LISTEN_PORT: str(free_port(caller.address))},
        stdout=asyncio.subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    reading = asyncio.create_task(_read(process, member))
    try:
        yield process
    finally:
        for each in (process, server):
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                each.kill()
            await each.wait()
        await reading


async def _read(process: asyncio.subprocess.Process, member: Member) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        member.write(line.decode())


def shuffled(plan: Iterable[Planned]) -> list[Planned]:
    """Give the pods in an order in which a scheduler might start them: the same one each time."""
    order = list(plan)
    random.Random(1).shuffle(order)  # noqa: S311 - an order
    return order


def problems(fleet: Iterable[Member]) -> Iterator[str]:
    """Give every line of trouble, with its pod."""
    for member in fleet:
        for line in member.problems:
            yield f"{member.planned.namespace}/{member.planned.name}: {line.strip()}"
