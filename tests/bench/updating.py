"""Requests lost while a row changes and adapters come and go; two real LiteLLM replicas, 30 s reload."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import httpx

from tests.bench.figures import Figure
from tests.bench.pod import Pod
from tests.load import Load, Tally, examples
from tests.peers.cluster import wait_until
from tests.peers.proxy import RELOAD_SECONDS, LiteLLM, litellm
from tests.standins.vllm import VLLM

ROUNDS: Final = 5
RATE: Final = 20.0
CONTEXT: Final = 1024
# So long an adapter's own requests go on.
ADAPTER_SECONDS: Final = 10
# Let every replica know of a row that another one wrote.
KNOWN: Final = RELOAD_SECONDS + 2


async def measure() -> list[Figure]:
    """Give update_gap."""
    with litellm() as proxy:
        tallies = await _change(proxy)
    lost = sum((tally.lost for tally in tallies), start=Counter[str]())
    return [
        Figure(
            "update_gap",
            lost.total(),
            "requests",
            "= 0",
            f"of {sum(tally.sent for tally in tallies)} requests; {ROUNDS} updates of the row, {ROUNDS} "
            f"adapters added and removed. {examples(lost)}",
        )
    ]


class _Changing(VLLM):
    """Takes adapters at run time."""

    def __init__(self, *models: str, **common: Any) -> None:
        super().__init__(*models, lora_updates=True, **common)


async def _change(proxy: LiteLLM) -> list[Tally]:
    pod = Pod(proxy.urls[0], proxy.key, "base", server=_Changing, annotations={"poll-interval": "1s"})
    await pod.server.load()
    pod.start_registrar()
    await pod.serving()
    await asyncio.sleep(KNOWN)
    tallies: list[Tally] = []
    async with _requests(proxy, "base", tallies):
        for number in range(1, ROUNDS + 1):
            pod.server.max_model_len = CONTEXT + number
            await _until("the new context", lambda: _context(proxy) == pod.server.max_model_len)
            adapter = f"adapter-{number}"
            await _post(pod, "/v1/load_lora_adapter", {"lora_name": adapter, "lora_path": "/adapters/x"})
            await _until("the adapter's row", lambda name=adapter: proxy.rows(name))  # type: ignore[misc]
            async with _requests(proxy, adapter, tallies):
                await asyncio.sleep(ADAPTER_SECONDS)
            await _post(pod, "/v1/unload_lora_adapter", {"lora_name": adapter})
            await _until("its end", lambda name=adapter: not proxy.rows(name))  # type: ignore[misc]
        await asyncio.sleep(KNOWN)  # until the other replica has learnt of the last change
    await pod.end(drain=False)
    return tallies


@contextlib.asynccontextmanager
async def _requests(proxy: LiteLLM, model: str, tallies: list[Tally]) -> AsyncIterator[None]:
    load = Load(proxy.urls, model, proxy.key, RATE)
    running = asyncio.create_task(load.run())
    try:
        yield
    finally:
        load.stopping.set()
        tallies.append(await running)


def _context(proxy: LiteLLM) -> int:
    (row,) = proxy.rows("base")
    return int(row["model_info"]["max_input_tokens"])


async def _until(what: str, check: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, what, 60, check, 0.5)


async def _post(pod: Pod, path: str, body: dict[str, str]) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        (await client.post(pod.server.url + path, json=body)).raise_for_status()
