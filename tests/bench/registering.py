"""From a server that is ready to the first chat by name on the LiteLLM replica that was not written to."""

import asyncio
import time
from typing import Final

import httpx

from tests.bench.counting import CountingProxy
from tests.bench.figures import Figure, percentile
from tests.bench.pod import Pod
from tests.peers.proxy import LiteLLM, litellm

TRIALS: Final = 200
# The registrar has come up and waits for its server.
SETTLED: Final = 1.5


async def measure() -> list[Figure]:
    """Give ready_to_routable and own_share."""
    totals, own = [], []
    with litellm() as proxy:
        async with CountingProxy(proxy.urls[0]) as before, httpx.AsyncClient(trust_env=False) as client:
            for number in range(TRIALS):
                total, share = await _trial(proxy, before, client, f"new-{number}")
                totals.append(total)
                own.append(share)
    return [
        Figure(
            "ready_to_routable",
            percentile(totals, 0.99),
            "s",
            "<= 1.5",
            f"{TRIALS} trials, median {percentile(totals, 0.5):.2f} s",
        ),
        Figure("own_share", percentile(own, 0.99), "s", "<= 0.6", f"median {percentile(own, 0.5):.2f} s"),
    ]


async def _trial(
    proxy: LiteLLM, before: CountingProxy, client: httpx.AsyncClient, model: str
) -> tuple[float, float]:
    """Give (ready to routable, ready to the create call) in seconds.

    The first chat is sent when the create call has returned: an earlier one would put the name into the other
    replica's memory of missing names for 2 s, and measure that.
    """
    pod = Pod(before.url, proxy.key, model, annotations={"propagation": "0s"})
    try:
        pod.start_registrar()
        await asyncio.sleep(SETTLED)
        ready = time.monotonic()
        await pod.server.load()
        while model not in before.created:
            if time.monotonic() - ready > 60:
                raise RuntimeError(f"{model} was not registered:\n{pod.log()}")
            await asyncio.sleep(0.002)
        while not await _answers(proxy, client, model):
            pass
        routable = time.monotonic()
        return routable - ready, before.created[model][0] - ready
    finally:
        await pod.end(drain=False)


async def _answers(proxy: LiteLLM, client: httpx.AsyncClient, model: str) -> bool:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "num_retries": 0}
    answer = await client.post(
        f"{proxy.urls[1]}/v1/chat/completions",
        json=body,
        headers={"Authorization": f"Bearer {proxy.key}"},
        timeout=60,
    )
    return answer.status_code == 200
