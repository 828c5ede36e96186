"""The story the demo tells: a label, a pod, a registration, requests, a rolling update, nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

import httpx

from sidecar.broker_contract import CONTRACT_HEADER
from sidecar.contract import CONTRACT_VERSION, DOMAIN, LABEL_SERVER
from tests.demo import manifests
from tests.demo.broker import Broker, short
from tests.demo.cluster import ApiServer, Images, Kubelet, Pod
from tests.demo.process import DemoError
from tests.demo.timeline import Timeline
from tests.load import Load, Tally, examples
from tests.standins.listening import free_port
from tests.standins.litellm import LiteLLM
from tests.standins.litellm_store import MASTER_KEY, Key
from webhook.broker.key_abilities import ROUTES

INTRO: Final = (
    "Real: webhook and broker over TLS; the registrars, started with the command and environment of the "
    "patched pods; every request. Stand-ins: vLLM, and LiteLLM with two replicas over one database, each of "
    "which learns of the other's writes only at its reload. Kubernetes is played: an API server in memory, "
    "which knows whose a token is, and a kubelet that keeps to a real one's order. Scaled down: LiteLLM "
    "reloads every {reload:g} s (as shipped: 30 s), the registrar waits {propagation:g} s for that (by "
    "default: 35 s), the model loads in {load:g} s. All pods share this machine's network, so each has a "
    "loopback address and a server port of its own."
)
REPORT_SECONDS: Final = 2.0
BROKERS_KEY: Final = "sk-of-the-broker"
# The clients' and the broker's, which can do what rows need and nothing else.
KEYS: Final = {MASTER_KEY: Key(), BROKERS_KEY: Key(allowed_routes=ROUTES)}
# A model of LiteLLM's own configuration, which is nobody's here.
CONFIGURED: Final = {
    "model_name": "gpt-4o",
    "litellm_params": {"model": "openai/gpt-4o", "api_key": "sk-of-openai"},
    "model_info": {"id": "configured-1", "db_model": False},
}

# The name of a LiteLLM replica, the short name of a pod.
Route = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the story goes: times in seconds, `rate` in requests per second.

    `look` is how long one watches a steady state, `limit` when the demo gives up.
    """

    reload: float = 3.0
    propagation: float = 5.0
    load: float = 3.0
    stream: float = 2.0
    look: float = 5.0
    rate: float = 15.0
    limit: float = 300.0


@dataclass(slots=True)
class Stage:
    """Everything on stage.

    `addresses`: IP and server port of each pod. `pods`: the short name of the pod of each row ever seen.
    """

    pace: Pace
    timeline: Timeline
    api: ApiServer
    kubelet: Kubelet
    litellm: LiteLLM
    broker: Broker
    addresses: tuple[tuple[str, int], ...]
    pods: dict[str, str] = field(default_factory=dict)

    def annotations(self) -> dict[str, str]:
        """Give what the Deployment asks of its registrars, beside its label."""
        propagation, drain = f"{self.pace.propagation:g}", "30"
        return {f"{DOMAIN}/propagation": propagation, f"{DOMAIN}/drain-timeout": drain}


async def tell(out: TextIO, pace: Pace) -> Tally:
    """Tell the whole story, and give what became of the requests. Raises DemoError when it goes wrong."""
    if sys.platform != "linux":
        raise DemoError(
            f"each pod gets a loopback address of its own, which {sys.platform} has not: use Linux"
        )
    timeline = Timeline(out)
    timeline.note(INTRO.format(reload=pace.reload, propagation=pace.propagation, load=pace.load))

    def litellm_said(replica: str, text: str) -> None:
        timeline.say(f"litellm {replica}", short(text))

    with tempfile.TemporaryDirectory(prefix="litellm-registrar-demo-") as folder:
        timeline.chapter(
            "Broker and webhook start; LiteLLM is there already, and only the broker has its key"
        )
        async with (
            LiteLLM(
                2, reload=pace.reload, keys=KEYS, tell=litellm_said, config_models=[CONFIGURED]
            ) as litellm,
            Broker(timeline, Path(folder), (litellm.url, BROKERS_KEY)) as broker,
            ApiServer(timeline, Path(folder), broker) as api,
            Kubelet(timeline, broker.kubernetes, Path(folder), _images(pace)) as kubelet,
        ):
            return await _act(Stage(pace, timeline, api, kubelet, litellm, broker, _addresses()))


async def _act(stage: Stage) -> Tally:
    timeline, pace = stage.timeline, stage.pace
    deployment = await _label(stage)
    first = await _pod(stage, deployment, 0, "x2x9p", show=True)
    await _start(stage, first)
    await _try_the_token(stage, first)
    async with _traffic(stage) as load:
        await asyncio.sleep(pace.look)
        timeline.chapter("A rolling update: the second pod replaces the first")
        _, port = stage.addresses[1]
        newer = manifests.deployment(port, stage.annotations(), "--max-model-len", "4096")
        newer["metadata"]["labels"] = dict(deployment["metadata"]["labels"])
        timeline.say("kubectl", f"kubectl apply, with --port {port} --max-model-len 4096")
        deployment = await stage.api.admit("Deployment", newer, deployment)
        second = await _pod(stage, deployment, 1, "k7w4d", show=False)
        await _start(stage, second)
        timeline.chapter("The first pod is deleted: out of LiteLLM first, then drained, then stopped")
        timeline.say("kubernetes", f"rolling update: {second.name} is ready, so {first.name} is deleted")
        await stage.kubelet.delete(first)
        await asyncio.sleep(min(pace.look, REPORT_SECONDS))
    _check(stage, second)
    return load.tally


async def _label(stage: Stage) -> dict[str, Any]:
    """Label an existing Deployment, and give it as it is stored."""
    _, port = stage.addresses[0]
    before = manifests.deployment(port, stage.annotations())
    labelled = manifests.deployment(port, stage.annotations())
    labelled["metadata"]["labels"] = {LABEL_SERVER: "vllm"}
    stage.timeline.chapter("Somebody labels a Deployment")
    stage.timeline.say("kubectl", f"kubectl label deployment {manifests.NAME} {LABEL_SERVER}=vllm")
    after = await stage.api.admit("Deployment", labelled, before)
    stage.timeline.say("webhook", "what that changed in the Deployment:")
    stage.timeline.diff(manifests.yaml_diff(labelled, after))
    return after


async def _pod(stage: Stage, deployment: dict[str, Any], number: int, suffix: str, *, show: bool) -> Pod:
    """Create a pod from the template through the webhook."""
    if show:
        stage.timeline.chapter("Its pod is created")
    created = manifests.pod_of(deployment, suffix)
    patched = await stage.api.admit("Pod", created)
    if show:
        stage.timeline.say("webhook", "what that changed in the pod:")
        stage.timeline.diff(manifests.yaml_diff(created, patched))
    return Pod(patched, stage.addresses[number][0])


async def _start(stage: Stage, pod: Pod) -> None:
    await stage.kubelet.run(pod)
    await stage.kubelet.ready(pod)


async def _try_the_token(stage: Stage, pod: Pod) -> None:
    """Show what can be done with a pod's token: nothing to rows that are not that pod's."""
    stage.timeline.chapter("Somebody takes the pod's token, and tries to delete gpt-4o")
    token = stage.kubelet.token(pod).read_text()
    headers = {"Authorization": f"Bearer {token}", CONTRACT_HEADER: str(CONTRACT_VERSION)}
    trust = ssl.create_default_context(cafile=stage.broker.ca)
    async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=60) as client:
        for where, url, expected in (
            ("at the broker", stage.broker.url, 403),
            ("at LiteLLM itself", stage.litellm.url, 401),
        ):
            answer = await client.post(f"{url}/model/delete", json={"id": "configured-1"}, headers=headers)
            said = answer.json()["error"]["message"]
            stage.timeline.say("somebody", f"POST /model/delete {where}: {answer.status_code}, {said}")
            if answer.status_code != expected:
                raise DemoError(f"a stolen token was answered {answer.status_code} {where}, not {expected}")


@contextlib.asynccontextmanager
async def _traffic(stage: Stage) -> AsyncIterator[Load]:
    """Send requests to both replicas in turn until the end of the block, then wait for every answer."""
    pace, timeline = stage.pace, stage.timeline
    timeline.chapter("Requests flow, through both replicas")
    urls = tuple(replica.url for replica in stage.litellm.replicas)
    load = Load(urls, manifests.MODEL, MASTER_KEY, pace.rate)
    timeline.say(
        "client",
        f"{pace.rate:g} chats a second for {manifests.MODEL!r}, every fourth a stream of {pace.stream:g} s, "
        "without retries",
    )
    sending, reporting = asyncio.create_task(load.run()), asyncio.create_task(_report(stage, load))
    try:
        yield load
        load.stopping.set()
        await sending
        if reporting.done():
            reporting.result()  # it never ends but by an error
        _say_traffic(stage, load, Counter())
    finally:
        for task in (sending, reporting):
            task.cancel()
        await asyncio.gather(sending, reporting, return_exceptions=True)


async def _report(stage: Stage, load: Load) -> None:
    before: Counter[Route] = Counter()
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        now = _routed(stage)
        _say_traffic(stage, load, now - before)
        before = now


def _routed(stage: Stage) -> Counter[Route]:
    """Count the requests by replica and by the short name of the pod they went to."""
    for model_id, row in stage.litellm.database.rows.items():
        pod = row.model_info["registrar"]["pod"]
        stage.pods[model_id] = pod.rpartition("-")[2]
    return Counter(
        {
            (replica.name, stage.pods.get(model_id, model_id)): number
            for replica in stage.litellm.replicas
            for model_id, number in replica.router.served.items()
        }
    )


def _say_traffic(stage: Stage, load: Load, lately: Counter[Route]) -> None:
    tally = load.tally
    via = {replica: "" for replica, _ in sorted(lately)}
    for (replica, pod), number in sorted(lately.items()):
        via[replica] += f" {number} to {pod}"
    where = "".join(f"; {replica}:{pods}" for replica, pods in via.items())
    stage.timeline.say(
        "client",
        f"{tally.sent} sent, {tally.answered} answered, {tally.unanswered()} in flight, "
        f"{tally.failed()} failed{where}",
    )


def _check(stage: Stage, survivor: Pod) -> None:
    """Raise DemoError if LiteLLM does not hold exactly the row of the pod that lives."""
    left = [row.model_info["registrar"]["pod"] for row in stage.litellm.database.rows.values()]
    if left != [survivor.name]:
        raise DemoError(f"in LiteLLM's database are rows of {left}, expected one of {survivor.name}")
    idle = [r.name for r in stage.litellm.replicas if not r.router.served]
    if idle:
        raise DemoError(f"no request went through {', '.join(idle)}")


def _addresses() -> tuple[tuple[str, int], ...]:
    """Choose the IP and the server port of each pod; two demos at once do not meet."""
    network = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}"  # noqa: S311 - not a secret
    return tuple((ip, free_port(ip, port)) for ip, port in ((f"{network}.11", 8000), (f"{network}.12", 8001)))


def _images(pace: Pace) -> Images:
    """Give the command that stands in for a container's own: vLLM's image is not here."""

    def command(argv: list[str], pod_ip: str) -> list[str]:
        if argv[:1] != ["vllm"]:
            return argv
        own = ["--host", pod_ip, "--stand-in-load-seconds", str(pace.load)]
        own += ["--stand-in-stream-seconds", str(pace.stream)]
        return [sys.executable, "-m", "tests.standins.vllm", *argv[1:], *own]

    return command


def verdict(tally: Tally) -> tuple[str, bool]:
    """Give the last line, and whether it is a good one."""
    text = f"{tally.sent} requests sent, {tally.failed()} failed"
    if tally.failed():
        text += f": {examples(tally.lost)}"
    return text, tally.failed() == 0 and tally.answered == tally.sent > 0
