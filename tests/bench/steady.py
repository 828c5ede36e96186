"""A registrar at rest: its memory, its calls to LiteLLM; and how fast one starts."""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from tests.bench.counting import CountingProxy
from tests.bench.figures import Figure, percentile
from tests.bench.pod import PYTHON, ROOT, Pod
from tests.peers.proxy import litellm
from tests.standins.vllm import VLLM
from webhook.inject import Injection

SERVING_SECONDS: Final = 600
# Registering, and the one look back at the table, are not steady state.
SETTLED: Final = 120
MANY: Final = 20
STARTS: Final = 20


async def measure() -> list[Figure]:
    """Give registrar_memory and steady_calls, measured over the same ten minutes."""
    with litellm() as proxy:
        async with CountingProxy(proxy.urls[0]) as one_calls, CountingProxy(proxy.urls[1]) as many_calls:
            one = Pod(one_calls.url, proxy.key, "one")
            many = Pod(many_calls.url, proxy.key, *(f"many-{number}" for number in range(MANY)))
            for pod in (one, many):
                await pod.server.load()
                pod.start_registrar()
            bare = await asyncio.create_subprocess_exec(
                *(PYTHON, "-m", "tests.bench.bare_loop", f"{one.server.url}/v1/models"), cwd=ROOT
            )
            try:
                await one.serving()
                await many.serving()
                await asyncio.sleep(SETTLED)
                before = one_calls.calls.total(), many_calls.calls.total()
                await asyncio.sleep(SERVING_SECONDS - SETTLED)
                after = one_calls.calls.total(), many_calls.calls.total()
                assert one.process is not None
                memory, bare_memory = resident_mib(one.process.pid), resident_mib(bare.pid)
            finally:
                bare.terminate()
                await bare.wait()
                await asyncio.gather(one.end(drain=False), many.end(drain=False))
    minutes = (SERVING_SECONDS - SETTLED) / 60
    rates = (after[0] - before[0]) / minutes, (after[1] - before[1]) / minutes / MANY
    limit = Injection(cluster="c", image="i").memory_limit
    return [
        Figure(
            "registrar_memory",
            memory / bare_memory,
            "ratio",
            "<= 1.15",
            f"{memory:.1f} MiB, bare httpx loop {bare_memory:.1f} MiB; the container's limit is {limit}",
        ),
        Figure(
            "steady_calls",
            max(rates),
            "calls per row and minute",
            "<= 1",
            f"1 model: {rates[0]:.2f}, {MANY} models: {rates[1]:.2f}, over {minutes:g} min",
        ),
    ]


async def measure_start() -> list[Figure]:
    """Give registrar_start; the slow ones count (p90)."""
    times = [await _start() for _ in range(STARTS)]
    return [
        Figure(
            "registrar_start",
            percentile(times, 0.9),
            "s",
            "<= 0.4",
            f"p90 of {STARTS} starts, median {percentile(times, 0.5):.2f} s",
        )
    ]


class _Noticing(VLLM):
    """Notes when it is asked for its models for the first time."""

    def __init__(self, *models: str, **common: Any) -> None:
        self.asked: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        super().__init__(*models, **common)

    async def list_models(self, request: web.Request) -> web.Response:
        """GET /v1/models."""
        if not self.asked.done():
            self.asked.set_result(time.monotonic())
        return await super().list_models(request)


async def _start() -> float:
    pod = Pod("http://127.0.0.1:9", "sk-none", "tiny", server=_Noticing)
    await pod.server.load()
    begun = time.monotonic()
    pod.start_registrar()
    assert isinstance(pod.server, _Noticing)
    asked = await asyncio.wait_for(pod.server.asked, 20)
    await pod.end(drain=False)
    return asked - begun


def resident_mib(pid: int) -> float:
    """Give a process's resident memory in MiB (VmRSS of proc(5), in kB)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has ended")
