"""What is done to a Deployment while requests are sent to its models, and what became of these."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from tests.load import Load, Tally
from tests.node.manifests import OPENAI, budget, container, deployment
from tests.node.world import World
from tests.peers.cluster import wait_until

REPLICAS: Final = 2
_NODE: Final = "node1"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one; `old` are the pods that ended, `new` those that are there at the end."""

    tally: Tally
    old: list[str]
    new: list[str]


def under_load(world: World, model: str, change: Callable[[World], None], rate: float = 2.5) -> Change:
    """Make a Deployment with a model of this name, change it, and send requests to it all the time."""
    world.cluster.create(
        deployment(world.namespace, container(alias=model), labels=OPENAI, replicas=REPLICAS)
    )
    world.cluster.create(budget(world.namespace))
    before = world.ready_pods(REPLICAS)
    world.until_rows(model, REPLICAS, seconds=180)
    world.chat_everywhere(model)
    # a LiteLLM may stand still for long at its first stream, and servers cut who stands still
    wait_until("stream of each replica", 180, lambda: _streamed(world, model))
    # few tokens: LiteLLM spends about a millisecond on each, and two replicas share the cores with the node
    load = Load(
        world.proxy.urls,
        model,
        world.proxy.key,
        rate,
        at_once=32,
        body={"max_tokens": 8},
        stream_body={"max_tokens": 40},
    )
    tally = asyncio.run(_while_sending(load, lambda: change(world)))
    new = world.ready_pods(REPLICAS)
    old = [pod for pod in (*before, *world.registrars.pods()) if pod not in new]
    return Change(tally, list(dict.fromkeys(old)), new)


def _streamed(world: World, model: str) -> bool:
    replicas = range(len(world.proxy.urls))
    return all(world.proxy.chat(model, replica, stream=True).is_success for replica in replicas)


async def _while_sending(load: Load, change: Callable[[], None]) -> Tally:
    running = asyncio.create_task(load.run())
    try:
        await asyncio.to_thread(change)
    finally:
        load.stopping.set()
        tally = await running
    return tally


def restart(world: World) -> None:
    """`kubectl rollout restart`, until the old pods are gone."""
    before = [pod["metadata"]["name"] for pod in world.pods()]
    world.kubectl("rollout", "restart", "deployment", "server")
    world.kubectl("rollout", "status", "deployment", "server", "--timeout=400s")
    _until_gone(world, before)


def scale(world: World) -> None:
    """`kubectl scale` to twice as many, and back once all of these are registered."""
    (model,) = {row["model_name"] for row in world.proxy.rows() if world.owns(row)}
    world.kubectl("scale", "deployment", "server", f"--replicas={2 * REPLICAS}")
    before = world.ready_pods(2 * REPLICAS, seconds=300)
    world.until_rows(model, 2 * REPLICAS, seconds=180)
    world.kubectl("scale", "deployment", "server", f"--replicas={REPLICAS}")
    after = world.ready_pods(REPLICAS)
    _until_gone(world, [pod for pod in before if pod not in after])


def drain(world: World) -> None:
    """`kubectl drain` of the node's pods of this namespace.

    There is no other node: this one is uncordoned as soon as the drain has cordoned it.
    """
    before = [pod["metadata"]["name"] for pod in world.pods()]
    selector = f"--pod-selector=namespace={world.namespace}"
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=500s")
    with ThreadPoolExecutor(1) as pool:
        draining = pool.submit(world.cluster.kubectl, "drain", _NODE, selector, *flags)
        wait_until(
            "cordoned node",
            90,
            lambda: draining.done() or world.cluster.get("node", _NODE)["spec"].get("unschedulable"),
        )
        world.cluster.kubectl("uncordon", _NODE)
        draining.result()
    _until_gone(world, before)


def _until_gone(world: World, pods: list[str]) -> None:
    for pod in pods:
        world.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=400s")
