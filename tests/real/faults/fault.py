"""One fault, and what becomes of four pods that it meets: one that registers, serves, is updated, drains."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Final

import httpx

from tests.real.faults.lives import Life, Mode
from tests.real.faults.world import World

Inflict = Callable[[World], AbstractContextManager[None]]
BOTH: Final = (Mode.BROKER, Mode.DIRECT)
BROKER: Final = (Mode.BROKER,)
DIRECT: Final = (Mode.DIRECT,)
# Rows and logs that are not right after so many seconds are wrong.
SETTLED_WITHIN: Final = 100.0
# How long a fault waits beyond its seconds for the first call that it meets, on a busy machine.
MET_WITHIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something goes wrong while inside `inflict`, for `seconds`, and is over after it.

    `named` must be found in the logs of each mode it is crossed with (a regular expression; empty: there is
    nothing to be said). `bounded`: it is in the part that CI runs. `belt`: pods of the belt meet it.
    """

    name: str
    says: str
    inflict: Inflict
    named: str = ""
    modes: tuple[Mode, ...] = BOTH
    seconds: float = 4.0
    bounded: bool = False
    belt: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a fault: how many pods met it, the rows that are wrong after it, what nobody has said."""

    fault: str
    pods: int
    rows: list[str]
    unsaid: list[str]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        return not self.rows and not self.unsaid


def meet(world: World, fault: Fault, within: float = SETTLED_WITHIN) -> Verdict:
    """Have the fault happen, heal, and tell what is wrong `within` so many seconds after it.

    What is wrong is cleared away, so that the next fault meets a world that is right.
    """
    begun = time.monotonic()
    try:
        pods, rows, unsaid = _met(world, fault, within)
    except (AssertionError, OSError, httpx.HTTPError, subprocess.SubprocessError) as error:
        pods, rows, unsaid = 0, [f"the fault could not be brought about: {error}"], []
    if rows or unsaid:
        world.clear()
    return Verdict(fault.name, pods, rows, unsaid, time.monotonic() - begun)


def _met(world: World, fault: Fault, within: float) -> tuple[int, list[str], list[str]]:
    modes = fault.modes if fault.belt else ()
    world.ready(modes)
    before = _settle(world, [], within)
    assert not before, f"before it: {before}"
    world.mark()
    born = {mode: world.new(mode) for mode in modes}
    leaving = [world.belts[mode][0] for mode in modes]
    for life in leaving:
        life.mark_deleted()
    with fault.inflict(world):
        for mode in modes:
            world.belts[mode][1].update()
        for life in leaving:
            life.drain()
        for mode in modes:
            born[mode].start()
            world.belts[mode].append(born[mode])
        time.sleep(fault.seconds)
        unmet = _unmet(world)
    rows = _settle(world, leaving, within)
    unsaid = unmet + _unsaid(world, fault)
    pods = 4 * len(modes) + len(world.others)
    for life in world.others:
        life.end()
    for life in [*leaving, *world.others]:
        world.drop(life)
    return pods, rows, unsaid


def _unmet(world: World) -> list[str]:
    """Wait for the first call that a meddling meets, and tell of one that met none: it would be no fault."""
    end = time.monotonic() + MET_WITHIN
    while not (world.meddler.healed.is_set() or world.meddler.met.total()):
        if time.monotonic() > end:
            return ["no call met the fault"]
        time.sleep(0.5)
    return []


def _settle(world: World, leaving: list[Life], within: float) -> list[str]:
    """Wait until every row is as it should be, and give those that never come to be so."""
    end = time.monotonic() + within
    while True:
        rows = ["not asked yet"]
        with suppress(httpx.HTTPError, AssertionError):
            rows = world.wrong()
        if not rows and all(life.ended() for life in leaving):
            return []
        if time.monotonic() > end:
            return rows or [f"{life.name} still drains" for life in leaving if not life.ended()]
        time.sleep(0.5)


def _unsaid(world: World, fault: Fault) -> list[str]:
    if not fault.named:
        return []
    modes = fault.modes if fault.belt else BROKER
    return [
        f"nobody has said {fault.named!r} in {mode} mode"
        for mode in modes
        if not re.search(fault.named, world.said(of=mode))
    ]
