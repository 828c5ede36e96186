"""Whatever namespaces, pods and their owners are called and say: the series of a process stay the same."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from sidecar.broker_contract import POD_PATH, STATE_PATH
from sidecar.contract import CONTRACT_VERSION, DOMAIN, ENV_CONTRACT, LABEL_SERVER
from tests.injected import CLUSTER, injected
from tests.server.broker.brokering import Kubernetes
from tests.server.reviews import deployment, dump, pod, review
from webhook.app import MUTATE, VALIDATE, Admission
from webhook.broker.desk import Sent
from webhook.broker.own_rows import OwnRow
from webhook.broker.server import Server
from webhook.broker.settings import Settings
from webhook.inject import Injection, inject
from webhook.living.metrics import LivingMetrics
from webhook.living.pods import Living, LivingPod, living
from webhook.log import Log
from webhook.metrics import Metrics
from webhook.policy.document import parse
from webhook.policy.table import RULES
from webhook.reaper.metrics import Figures, ReaperMetrics
from webhook.reaper.registrars import count
from webhook.reaper.seen import seen_pod
from webhook.reaper.shapes import SeenPod, row_state
from webhook.registered import CONDITION
from webhook.review import BodyError
from webhook.tls.live import Live

JSON = dict[str, Any]
NAMESPACES: Final = 10_000
CONFIG: Final = Injection(cluster=CLUSTER, image="registry.example.com/registrar:1")
# A pod as the webhook leaves it: thousands are alike but for their names.
TEMPLATE: Final = injected("shop")
POLICY: Final = {
    "apiVersion": "policy.litellm-registrar.io/v1",
    "kind": "ModelServerPolicy",
    "metadata": {"name": "t"},
    "spec": {
        "defaults": {"mode": "enforce"},
        "rules": {
            "code": {"trustRemoteCode": "deny"},
            "modelSources": {"allow": ["hf://Qwen/*"]},
        },
    },
}

Series = set[tuple[str, tuple[tuple[str, str], ...]]]


def series(registry: CollectorRegistry) -> Series:
    """Give every series that is exported, without its value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in registry.collect()
        for sample in family.samples
    }


def everything(namespace: str) -> list[JSON]:
    """Give objects of every sort, good and bad, in which whatever an owner may choose is this word."""
    labelled = {LABEL_SERVER: "vllm", "team": namespace}
    asks = pod(**labelled)
    asks["metadata"]["annotations"] = {f"{DOMAIN}/alias": namespace, f"{DOMAIN}/{namespace}": namespace}
    foreign = pod(**labelled)
    foreign["spec"]["containers"][0]["args"] = ["--model", f"{namespace}/m", "--trust-remote-code"]
    nameless = pod(**labelled)
    nameless["spec"]["containers"][0] |= {"name": namespace, "image": f"{namespace}/{namespace}", "args": []}
    return [
        pod(**labelled),
        asks,
        foreign,
        nameless,
        pod(**{LABEL_SERVER: namespace}),
        pod(**{**labelled, f"{DOMAIN}/inject": namespace}),
        deployment(labelled, {f"{DOMAIN}/{namespace}": namespace}),
        {**deployment({LABEL_SERVER: namespace}), "kind": namespace},
    ]


def reviews(number: int) -> Iterator[bytes]:
    """Give what a webhook may be sent from a namespace of its own."""
    namespace = f"team-{number}"
    objects = everything(namespace)
    obj = objects[number % len(objects)]
    yield dump(review(obj, namespace=namespace, name=namespace, userInfo={"username": namespace}))
    if number % 5 == 0:
        yield dump({**review(obj, namespace=namespace), "apiVersion": f"admission.k8s.io/{namespace}"})
        yield dump(review(obj, namespace, namespace=namespace, subResource=namespace))
        yield namespace.encode()


def test_reviews_of_ten_thousand_namespaces_add_no_series() -> None:
    """Decisions, violations and mistakes are counted by words of ours alone."""
    metrics = Metrics()
    admission = Admission(CONFIG, Log(io.StringIO()), metrics=metrics)
    admission.hold(parse(json.dumps(POLICY), RULES))

    def send(number: int) -> None:
        for body in reviews(number // 2):
            with contextlib.suppress(BodyError):
                admission.answer((MUTATE, VALIDATE)[number % 2], body)

    assert_constant(send, metrics.registry, first=160)


def living_pod(number: int) -> LivingPod | None:
    """Give a pod that lives in a namespace of its own, with a registrar that says anything or without."""
    namespace = f"team-{number}"
    if number % 2:
        found = injected(namespace, namespace)
        (registrar,) = found["spec"]["initContainers"]
        registrar["image"] = f"{namespace}/registrar:{number}" if number % 3 else CONFIG.image
        for variable in registrar["env"]:
            if variable["name"] == ENV_CONTRACT:
                variable["value"] = str(number) if number % 5 else str(CONTRACT_VERSION)
        status = {"name": "registrar", "state": {"waiting": {"reason": namespace, "message": namespace}}}
        found["status"] = {"initContainerStatuses": [status]}
    else:
        objects = everything(namespace)
        found = objects[number // 2 % len(objects)]
    found["metadata"] |= {"namespace": namespace, "uid": namespace}
    return living(found, lambda pod, namespace: inject(pod, CONFIG, "0", namespace))


def test_ten_thousand_living_pods_add_no_series() -> None:
    """What their registrars are, and why they have none, is counted by words of ours alone."""
    registry = CollectorRegistry()
    metrics = LivingMetrics(registry, "x", lambda: True, lambda: 0)
    state = Living(CONFIG.image_of)
    pods: list[LivingPod] = []

    def send(number: int) -> None:
        if (found := living_pod(number)) is not None:
            pods.append(found)
        if number % 1000 == 59:  # all that a first look may find is among sixty
            metrics.pods, _ = state.look(pods, float(number), most=0)

    assert_constant(send, registry, first=60)


def reported_pod(number: int) -> SeenPod:
    """Give a pod whose condition says anything, as far as the broker's leader keeps it."""
    namespace = f"team-{number}"
    word = ("serving", f"blocked:{namespace}", namespace, "")[number % 4]
    since = f"20{number % 90 + 10}-01-01T00:00:00Z"
    said = {"type": CONDITION, "status": namespace, "reason": word, "lastTransitionTime": since}
    metadata = {"namespace": namespace, "name": namespace, "uid": namespace, "creationTimestamp": since}
    return seen_pod(
        {**TEMPLATE, "metadata": metadata, "status": {"conditions": [said] if number % 5 else []}}
    )


def test_ten_thousand_pods_and_rows_add_no_series_of_the_reaper() -> None:
    """Their states, whatever is written in their conditions and rows, are words of ours alone."""
    registry = CollectorRegistry()
    metrics = ReaperMetrics(registry, lambda: True)
    pods: list[SeenPod] = []
    rows: list[OwnRow] = []

    def send(number: int) -> None:
        pods.append(reported_pod(number))
        uid, blocked, by = pods[-1].uid if number % 3 else "gone", number % 2 == 0, f"team-{number}"
        rows.append(OwnRow(uid, uid, uid, uid, uid, blocked, number % 4 == 0, by if number % 5 == 0 else ""))
        if number % 1000 == 59:  # all that a first look may find is among sixty
            alive = {pod.uid for pod in pods}
            metrics.figures = Figures(
                at=float(number),
                rows=Counter(row_state(row, alive) for row in rows),
                registrars=count(pods, frozenset(), "2050-01-01T00:00:00Z"),
            )

    assert_constant(send, registry, first=60)
    assert metrics.figures is not None
    assert metrics.figures.registrars is not None
    assert sum(metrics.figures.registrars.states.values()) > 9000


def assert_constant(send: Callable[[int], None], registry: CollectorRegistry, first: int) -> None:
    """Hold the series after the `first` namespaces, where everything has come once, against the end."""
    for number in range(first):
        send(number)
    before = series(registry)
    for number in range(first, NAMESPACES):
        send(number)
    assert len(before) > 10
    assert series(registry) == before


def calls(number: int, kube: Kubernetes) -> Iterator[tuple[Sent, bytes]]:
    """Give what a broker may be sent by a pod in a namespace of its own."""
    namespace = f"team-{number}"
    mine = kube.run_pod(namespace, namespace, like=TEMPLATE)
    token, contract = f"Bearer {mine.token}", str(CONTRACT_VERSION)
    report = {"state": "blocked", "reason": namespace, "message": namespace, "models": number}
    sent = [
        (("POST", STATE_PATH, token, contract), json.dumps(report).encode()),
        (("POST", STATE_PATH, token, contract), json.dumps({"state": namespace}).encode()),
        (("GET", POD_PATH, token, contract), b""),
        (("GET", f"/{namespace}", token, contract), b""),
        ((namespace, POD_PATH, token, contract), b""),
        (("GET", POD_PATH, f"Bearer {namespace}", contract), b""),
        (("GET", POD_PATH, token, namespace), b""),
        (("POST", "/model/new", token, contract), json.dumps(mine.row(namespace)).encode()),
        (("POST", "/model/new", token, contract), json.dumps({namespace: namespace}).encode()),
    ]
    (method, path, authorization, version), body = sent[number % len(sent)]
    yield Sent(method, path, namespace if number % 7 == 0 else "", authorization, version, namespace), body


@pytest.fixture
def broker(tmp_path: Any) -> tuple[Server, Kubernetes]:
    """Give a broker that does not serve: a LiteLLM that nobody reaches stands behind it."""
    (tmp_path / "key").write_text("sk-1")
    given = {
        "tls_secret": "broker-tls",
        "service": "broker",
        "cluster_id": CLUSTER,
        "namespace": "litellm-registrar",
        "litellm_key_file": str(tmp_path / "key"),
        "litellm_url": "http://127.0.0.1:9",
    }
    kube = Kubernetes()
    return Server(Settings.read(given, {}), Log(io.StringIO()), kube, Live()), kube


async def test_calls_from_ten_thousand_namespaces_add_no_series(broker: tuple[Server, Kubernetes]) -> None:
    """Calls, refusals and reports are counted by words of ours alone."""
    server, kube = broker
    desk, registry = server._app._desk, server._metrics.registry

    async def send(number: int) -> None:
        for sent, body in calls(number, kube):

            async def read(body: bytes = body) -> bytes:
                return body

            await desk.answer(sent, read)

    for number in range(70):
        await send(number)
    before = series(registry)
    for number in range(70, NAMESPACES):
        await send(number)
    assert len(before) > 10
    assert series(registry) == before
    await server.close()
