"""Requests lost while pods are replaced behind two real LiteLLM replicas (30 s reload, as shipped)."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.bench.figures import Figure
from tests.bench.pod import Pod
from tests.load import Load, Tally, examples
from tests.peers.proxy import RELOAD_SECONDS, LiteLLM, litellm

PODS: Final = 3
RATE: Final = 25.0
REQUESTS: Final = 10_000
CONTROL_REQUESTS: Final = 1_500
OVERRUN_RATE: Final = 20.0
SHORT: Final = MappingProxyType({"propagation": "12s"})
NONE: Final = MappingProxyType[str, str]({})
# Let every replica know of a row that another one wrote.
KNOWN: Final = RELOAD_SECONDS + 2


async def measure() -> list[Figure]:
    """Give rolling_restart and its control."""
    with litellm() as proxy:
        drained = await _roll(proxy, "rolling", REQUESTS, drain=True)
        control = await _roll(proxy, "control", CONTROL_REQUESTS, drain=False)
    lost_share = 100 * control.failed() / control.sent
    return [
        Figure(
            "rolling_restart",
            drained.failed(),
            "requests",
            "= 0",
            f"of {drained.sent} requests (without drain {lost_share:.1f} %). {examples(drained.lost)}",
        ),
        Figure(
            "rolling_restart_control",
            control.failed(),
            "requests",
            "> 0",
            f"of {control.sent} requests: rows deleted, server stopped at once",
        ),
    ]


async def measure_overrun() -> list[Figure]:
    """Give drain_overrun: `propagation` set to 12 s, while replicas learn of a deletion after up to 30 s."""
    with litellm() as proxy:
        tally = await _overrun(proxy)
    return [
        Figure(
            "drain_overrun",
            tally.failed(),
            "requests",
            "= 0",
            f"of {tally.sent} requests, two pods replaced. {examples(tally.lost)}",
        )
    ]


async def _roll(proxy: LiteLLM, model: str, requests: int, *, drain: bool) -> Tally:
    """Replace all pods, again and again, until so many requests were sent."""
    pods = [await _started(proxy, model, number) for number in range(PODS)]
    await asyncio.sleep(KNOWN)
    load = Load(proxy.urls, model, proxy.key, RATE, limit=requests)
    running = asyncio.create_task(load.run())
    number = PODS
    while not running.done():
        ending = []
        for index in range(PODS):  # as a Deployment does: a new one ready, then an old one ends
            old, pods[index] = pods[index], await _started(proxy, model, number)
            number += 1
            ending.append(asyncio.create_task(old.end(drain=drain)))
        await asyncio.gather(*ending)
        await asyncio.wait({running}, timeout=5 if drain else KNOWN)
    await asyncio.gather(*(pod.end(drain=False) for pod in pods))
    return running.result()


async def _overrun(proxy: LiteLLM) -> Tally:
    pod = await _started(proxy, "overrun", 0, SHORT)
    await asyncio.sleep(KNOWN)
    load = Load(proxy.urls, "overrun", proxy.key, OVERRUN_RATE)
    running = asyncio.create_task(load.run())
    for number in (1, 2):  # each registrar speaks to another replica: either one is once the late one
        old, pod = pod, await _started(proxy, "overrun", number, SHORT)
        await old.end()
        await asyncio.sleep(5)
    load.stopping.set()
    await running
    await pod.end(drain=False)
    return running.result()


async def _started(proxy: LiteLLM, model: str, number: int, annotations: Mapping[str, str] = NONE) -> Pod:
    pod = Pod(proxy.urls[number % 2], proxy.key, model, annotations=annotations)
    await pod.server.load()
    pod.start_registrar()
    await pod.serving()
    return pod
