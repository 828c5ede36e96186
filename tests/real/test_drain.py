"""A pod's end on the real LiteLLM and real servers: what is in flight ends, and no request is lost."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from sidecar.sockets import connections, owes
from sidecar.traffic import QUIET_SECONDS
from tests.load import Load, examples
from tests.peers.proxy import LiteLLM
from tests.peers.servers import ModelServer
from tests.real.conftest import QUICK_ANNOTATIONS, Pods, Start

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

# The label for each engine, and its slow model.
SLOW = {
    "llama-server": ("openai", "tiny-llama-server"),
    "ollama": ("ollama", "tiny-slow:latest"),
    "vllm": ("vllm", "tiny-vllm"),
}
# How many requests at once, and whether streamed. Ollama and llama-server work on one at a time here.
KINDS = {"plain": (1, False), "streamed": (1, True), "queued": (3, False)}
CASES = [("vllm", "plain"), *((engine, kind) for engine in ("llama-server", "ollama") for kind in KINDS)]
# A drain that saw nothing in flight would end so many seconds after it began: the replicas' time, then rest.
BLIND = 1 + QUIET_SECONDS
# So long the requests shall take all together: longer on a machine that others use too, and shorter if these
# have just come to rest.
SECONDS = 24


@dataclass(frozen=True)
class Ended:
    """A request that has ended: when, and with how many tokens."""

    at: float
    tokens: int


def ask(proxy: LiteLLM, model: str, tokens: int, begun: threading.Event | None = None) -> Ended:
    """Send one request that takes long and read its whole answer: streamed if `begun` is given, and set."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    body |= {"max_tokens": tokens, "num_retries": 0}
    headers = {"Authorization": f"Bearer {proxy.key}"}
    url = f"{proxy.urls[0]}/v1/chat/completions"
    if begun is None:
        answer = httpx.post(url, json=body, headers=headers, timeout=300, trust_env=False)
        assert answer.status_code == 200, answer.text
        return Ended(time.monotonic(), answer.json()["usage"]["completion_tokens"])
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    events = []
    with httpx.stream("POST", url, json=body, headers=headers, timeout=300, trust_env=False) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            begun.set()
            events += [line.removeprefix("data: ")] if line else []
    assert events[-1] == "[DONE]", events[-1]
    return Ended(time.monotonic(), json.loads(events[-2])["usage"]["completion_tokens"])


def speed(proxy: LiteLLM, model: str) -> float:
    """Measure how many tokens a second a model writes now; it is loaded when this returns."""
    ask(proxy, model, 1)
    begun = time.monotonic()
    return 60 / (ask(proxy, model, 60).at - begun)


def in_flight_at(server: ModelServer) -> int:
    """Count the connections on which the server owes an answer for longer than it takes to answer a poll.

    LiteLLM refuses a request that it has not sent yet when the drain deletes the row.
    """

    def owed() -> set[object]:
        return {one.remote for one in connections(local_port=server.port) if owes(one)}

    before = owed()
    time.sleep(0.5)
    return len(before & owed())


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_what_is_in_flight_ends_before_the_drain(
    case: tuple[str, str],
    proxy: LiteLLM,
    shared_server: Callable[[str], ModelServer],
    pods: Pods,
) -> None:
    """The hook answers when the last request has ended, and soon after it, though LiteLLM keeps its pool."""
    engine, kind = case
    label, model = SLOW[engine]
    count, stream = KINDS[kind]
    server = shared_server(engine)
    pod = pods.serve(server, label, proxy, QUICK_ANNOTATIONS | {"propagation": "1s", "drain-timeout": "200s"})
    # A row without the registrar's `Connection: close`, as another tool would make it: LiteLLM keeps its
    # connections to the server open when they are idle.
    params = {"model": f"openai/{model}", "api_base": f"{server.url}/v1", "api_key": "none"}
    proxy.create("pooled", params, {"id": f"pooled-{engine}-{kind}"})
    share, first = int(speed(proxy, "pooled") * SECONDS / count), threading.Event() if stream else None
    with ThreadPoolExecutor(count) as pool:
        requests: list[Future[Ended]] = [pool.submit(ask, proxy, model, share, first) for _ in range(count)]
        in_flight = first.is_set if first else lambda: in_flight_at(server) == count
        pod.wait_for("requests in flight", in_flight)
        begun = time.monotonic()
        pod.drain()
        drained = time.monotonic()
        ended = [request.result(timeout=60) for request in requests]
    assert [one.tokens for one in ended] == [share] * count
    last = max(one.at for one in ended)
    assert last - begun > BLIND + 0.5, "the requests ended so early that this shows nothing"
    # LiteLLM keeps an idle connection for two minutes: who counted those would wait as long.
    assert last - 0.2 < drained < last + 60


def test_what_a_drain_cuts_is_what_a_client_loses(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """A stream that outlives the drain timeout: one in flight at SIGTERM, one that LiteLLM breaks off."""
    server = own_server("--slow", ALIAS="cut")
    pod = pods.serve(
        server, "openai", proxy, QUICK_ANNOTATIONS | {"propagation": "1s", "drain-timeout": "10s"}
    )
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(ask, proxy, "cut", int(speed(proxy, "cut") * 60), begun)
        assert begun.wait(120)
        pod.drain()
        told = pod.metrics()
        server.stop()
        lost = request.exception(120)
    assert isinstance(lost, AssertionError | KeyError | httpx.HTTPError), "it was answered whole"
    assert told["drains_total/overdue"] == told["drain_cut_requests_total"] == 1
    assert told["requests_in_flight_at_sigterm"] == 1
    assert told["drain_seconds/in_flight"] > 1
    assert told["time_to_routable_seconds"] > 0
    assert told["litellm_calls_total/delete/absent"] == told["state/drained"] == 1


async def test_replacing_a_pod_under_load_loses_nothing(
    shipped: LiteLLM, own_server: Start, pods: Pods
) -> None:
    """A pod is replaced by another of its name, as a rolling update does it: every request is answered."""
    flags, env = ("--slow", "--parallel", "8"), {"ALIAS": "rolling"}
    old = pods.serve(own_server(*flags, **env), "openai", shipped, {})
    load = Load(
        urls=shipped.urls,
        model="rolling",
        key=shipped.key,
        rate=5,
        stream_every=5,
        body={"max_tokens": 2},
        stream_body={"max_tokens": 50},
    )
    running = asyncio.create_task(load.run())
    try:
        server = await asyncio.to_thread(own_server, *flags, **env)
        new = await asyncio.to_thread(pods.serve, server, "openai", shipped, {})
        await asyncio.to_thread(old.delete)
        left = shipped.own_rows()
    finally:
        load.stopping.set()
        tally = await running
    assert [row["model_info"]["registrar"]["pod"] for row in left.values()] == [new.name]
    assert tally.sent > 150
    assert tally.failed() == 0, examples(tally.lost)
