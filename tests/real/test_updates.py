"""Rows follow their server while requests go on; what changes, comes, goes or sleeps costs no other one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import httpx
import pytest

from tests.load import Load, examples
from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM
from tests.peers.scripts import CACHE
from tests.peers.servers import ModelServer
from tests.real.conftest import Pods, Start
from tests.real.pods import PATIENCE, Pod, litellm_secret

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

# Less than both LiteLLMs answer on two cores that others need too.
RATE: Final = 8.0
# The same for vLLM.
SLOW_RATE: Final = 3.0
# The load before and after a change: about twice the time in which a replica learns of one.
AROUND: Final = 5.0
IDLE_SECONDS: Final = 4
LORA: Final = {"lora_name": "adapter", "lora_path": str(CACHE / "model-servers" / "models" / "slow-lora")}


@contextlib.asynccontextmanager
async def nothing_lost(proxy: LiteLLM, model: str, rate: float = RATE) -> AsyncIterator[None]:
    """Send requests by this name to both replicas all the while, and some seconds before and after."""
    body: dict[str, object] = {"max_tokens": 2}
    load = Load(proxy.urls, model, proxy.key, rate, at_once=32, body=body, stream_body={"max_tokens": 5})
    running = asyncio.create_task(load.run())
    try:
        await asyncio.sleep(AROUND)
        yield
        await asyncio.sleep(AROUND)
    finally:
        load.stopping.set()
        tally = await running
    assert tally.answered > rate * AROUND
    assert tally.failed() == 0, examples(tally.lost)


async def post(server: ModelServer, path: str, body: dict[str, Any], method: str = "POST") -> None:
    """Ask the model server itself for something that it must do."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.request(method, server.url + path, json=body)
    assert answer.status_code == 200, answer.text


async def wait(pod: Pod, what: str, check: Callable[[], object]) -> None:
    """Wait for anything while requests go on."""
    await asyncio.to_thread(pod.wait_for, what, check)


def info(pod: Pod, proxy: LiteLLM, name: str) -> dict[str, Any]:
    """Give what a row of this pod says of its model."""
    told: dict[str, Any] = pod.rows(proxy)[name]["model_info"]
    return told


def blocked(proxy: LiteLLM) -> bool:
    """Tell whether the one row there is is blocked."""
    (row,) = proxy.own_rows().values()
    return bool(row["blocked"])


async def test_a_model_made_anew_under_load(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """An Ollama tag that gets another digest and context is the same row with new facts; nothing is lost."""
    server = shared_server("ollama")
    new = {"model": "moving", "from": "tiny", "parameters": {"num_ctx": 512}, "stream": False}
    await post(server, "/api/copy", {"source": "tiny", "destination": "moving"})
    try:
        pod = await asyncio.to_thread(pods.serve, server, "ollama", proxy)
        before = info(pod, proxy, "moving:latest")
        assert before["max_input_tokens"] == 1024
        async with nothing_lost(proxy, "moving:latest"):
            await post(server, "/api/create", new)
            await wait(
                pod,
                "the new context in the row",
                lambda: info(pod, proxy, "moving:latest")["max_input_tokens"] == 512,
            )
        after = info(pod, proxy, "moving:latest")
        assert after["registrar"]["digest"] != before["registrar"]["digest"]
        assert after["id"] == before["id"]
    finally:
        await post(server, "/api/delete", {"model": "moving"}, "DELETE")


async def test_models_that_come_and_go_under_load(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """A model that is copied and deleted costs the server's other models no request."""
    server = shared_server("ollama")
    pod = await asyncio.to_thread(pods.serve, server, "ollama", proxy)
    async with nothing_lost(proxy, "tiny:latest"):
        await post(server, "/api/copy", {"source": "tiny", "destination": "passing"})
        await wait(pod, "the new row", lambda: "passing:latest" in pod.rows(proxy))
        await post(server, "/api/delete", {"model": "passing"}, "DELETE")
        await wait(pod, "its end", lambda: "passing:latest" not in pod.rows(proxy))


async def test_an_adapter_that_comes_and_goes_under_load(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """Neither its base model's requests are lost nor, from its row's creation to its unloading, its own."""
    server = shared_server("vllm")
    pod = await asyncio.to_thread(pods.serve, server, "vllm", proxy)
    async with nothing_lost(proxy, "tiny-vllm", SLOW_RATE):
        await post(server, "/v1/load_lora_adapter", LORA)
        await wait(pod, "the adapter's row", lambda: "adapter" in pod.rows(proxy))
        adapter, base = info(pod, proxy, "adapter"), info(pod, proxy, "tiny-vllm")
        async with nothing_lost(proxy, "adapter", SLOW_RATE):
            pass
        await post(server, "/v1/unload_lora_adapter", {"lora_name": "adapter"})
        await wait(pod, "its end", lambda: "adapter" not in pod.rows(proxy))
    # A LoRA's own card has no context length.
    assert adapter["max_input_tokens"] == 8192
    for key in ("max_input_tokens", "mode", "supports_function_calling"):
        assert adapter[key] == base[key], key


def test_a_llama_server_that_sleeps_is_not_woken(proxy: LiteLLM, own_server: Start, pods: Pods) -> None:
    """It is blocked, sleeps on though it is polled, and is unblocked when somebody else has woken it."""
    server = own_server("--sleep-idle-seconds", str(IDLE_SECONDS), ALIAS="dozing")
    pod = pods.admit(server, "openai", litellm_secret(proxy))

    def asleep() -> bool:
        return bool(httpx.get(f"{server.url}/props", trust_env=False, timeout=60).json()["is_sleeping"])

    def wake() -> None:
        chat = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
        answer = httpx.post(f"{server.url}/v1/chat/completions", json=chat, trust_env=False, timeout=60)
        assert answer.status_code == 200

    def serving() -> bool:
        wake()  # on a busy machine it would sleep before the registrar has looked at it
        return pod.state() == "serving"

    def unblocked() -> bool:
        wake()  # again and again: else it sleeps before this is seen
        return not blocked(proxy)

    def routed() -> bool:
        wake()
        return [proxy.chat("dozing", replica).status_code for replica in (0, 1)] == [200, 200]

    pod.start_registrar()
    pod.wait_for("registrar that serves", serving)
    wait_until("sleep", PATIENCE, asleep)
    pod.wait_for("block", lambda: blocked(proxy))
    assert "server_asleep" in pod.log()
    end = time.monotonic() + 5 * IDLE_SECONDS
    while time.monotonic() < end:  # polled each second by the registrar
        assert asleep()
        assert blocked(proxy)
        time.sleep(0.5)
    pod.wait_for("end of the block", unblocked)
    pod.wait_for("chat by both replicas", routed)


def test_a_vllm_that_sleeps_is_blocked(
    proxy: LiteLLM, shared_server: Callable[[str], ModelServer], pods: Pods
) -> None:
    """Put to sleep by /sleep its row is blocked, polls do not wake it, and it is unblocked after /wake_up."""
    server = shared_server("vllm")

    def asleep() -> bool:
        answer = httpx.get(f"{server.url}/is_sleeping", trust_env=False, timeout=60)
        return bool(answer.json()["is_sleeping"])

    def put(path: str) -> None:
        assert httpx.post(f"{server.url}{path}", trust_env=False, timeout=60).status_code == 200

    pod = pods.serve(server, "vllm", proxy)
    put("/sleep?level=1")
    try:
        pod.wait_for_state("blocked")
        pod.wait_for("block", lambda: blocked(proxy))
        time.sleep(AROUND)  # polled each second by the registrar
        assert asleep()
        assert blocked(proxy)
    finally:
        put("/wake_up")
    pod.wait_for_state("serving")
    pod.wait_for("end of the block", lambda: not blocked(proxy))
    wait_until("chat after it woke", PATIENCE, lambda: proxy.chat("tiny-vllm").status_code == 200)
