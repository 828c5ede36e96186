"""Random sequences of what can happen to reapers, with and without their brakes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from sidecar.row_contract import row_id
from tests.reaping.peers import Broker, TrustingHands, leads
from tests.reaping.world import BOUNDS, CLUSTER, NAMESPACE, Kube, Pod, Rows, World
from webhook.reaper import core, term
from webhook.reaper.hands import Hands
from webhook.reaper.shapes import Bounds
from webhook.reaper.share import LEAVE

_Step = Callable[[World, random.Random, list[Broker]], None]


def _begin(world: World, chance: random.Random, _: list[Broker]) -> None:
    name = f"pod-{chance.randrange(30)}"
    if name not in world.pods:
        node = f"node-{chance.randrange(2)}"
        world.start(name, f"uid-{chance.getrandbits(48):012x}", node, chance.randint(1, 2))


def _end(world: World, chance: random.Random, _: list[Broker]) -> None:
    """Crash a pod: it is gone, or has ended, or another one has its name; its rows stay."""
    if not world.pods:
        return
    name = chance.choice([*world.pods])
    how = chance.randrange(3)
    if how == 0:
        world.pods[name].phase = "Failed"
        return
    del world.pods[name]
    if how == 1:
        world.pods[name] = Pod(name, f"uid-{chance.getrandbits(48):012x}", "node-0")


def _many_end(world: World, chance: random.Random, brokers: list[Broker]) -> None:
    for _ in range(chance.randint(5, 20)):
        _end(world, chance, brokers)


def _kube(world: World, chance: random.Random, _: list[Broker]) -> None:
    world.tell(chance.choice([*Kube, Kube.WELL, Kube.WELL, Kube.WELL]))


def _rows(world: World, chance: random.Random, _: list[Broker]) -> None:
    world.litellm = chance.choice([*Rows, Rows.WELL, Rows.WELL])


def _node(world: World, chance: random.Random, _: list[Broker]) -> None:
    name = chance.choice([*world.nodes])
    world.nodes[name] = not world.nodes[name]


def _lead(world: World, chance: random.Random, brokers: list[Broker]) -> None:
    leads(world, chance.choice(brokers))


def _word(world: World, chance: random.Random, _: list[Broker]) -> None:
    meta = world.lease["metadata"]
    meta["annotations"] = {**meta.get("annotations", {}), LEAVE: str(chance.randint(1, 4))}
    meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)


_STEPS: Final[tuple[_Step, ...]] = (
    *(_begin,) * 6,
    *(_end,) * 3,
    *(_kube,) * 3,
    *(_rows,) * 2,
    *(_many_end, _node, _lead, _word),
)


async def sequence(seed: int, steps: int = 60, *, braked: bool = True) -> World:
    """Live through random changes with two replicas that both look after each.

    Without brakes (`braked` is False) the reaper believes what it is told and minds no share: a referee that
    finds nothing then is none.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    world = World()
    hands = Hands if braked else TrustingHands
    bounds = BOUNDS if braked else Bounds(BOUNDS.grace, BOUNDS.node_grace, 1.0, 10**6)
    brokers = [Broker(world, f"broker-{number}", bounds, hands) for number in range(2)]
    leads(world, brokers[0])
    for broker in brokers:
        await broker.look()
    for number in range(10):
        world.start(f"pod-{number}", f"uid-{number}", f"node-{number % 2}")
    block = {"cluster": "another", "namespace": NAMESPACE, "pod": "gone", "pod_uid": "uid-x"}
    world.foreign(row_id("another", NAMESPACE, "uid-x", "m"), block)
    world.foreign(row_id(CLUSTER, NAMESPACE, "uid-y", "m"), {**block, "cluster": CLUSTER})
    world.foreign("made-by-hand", {})
    with nullcontext() if braked else _unbraked():
        for _ in range(steps):
            chance.choice(_STEPS)(world, chance, brokers)
            for _ in range(chance.randint(1, 6)):
                world.pass_time(chance.uniform(2, 15))
                await asyncio.gather(*(broker.look() for broker in brokers))
    return world


def _unbraked() -> Any:
    """Have nothing hold the reaper back."""

    def look(sight: Any, before: Any, bounds: Any) -> Any:
        memory, plan = core.look(sight, before, bounds)
        return memory, replace(plan, held=frozenset())

    return patch.object(term, "look", look)
