"""One fault, and what becomes of four pods that it meets: one that registers, serves, is updated, drains."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import httpx

from tests.real.faults.lives import Life, Mode
from tests.real.faults.world import World

Inflict = Callable[[World], AbstractContextManager[None]]
BOTH: Final = (Mode.BROKER, Mode.DIRECT)
BROKER: Final = (Mode.BROKER,)
DIRECT: Final = (Mode.DIRECT,)
# Rows and logs that are not right after so many seconds are wrong: more than a drain may take.
SETTLED_WITHIN: Final = 200.0
# How long a fault lasts beyond its seconds until it has met a call and somebody has named it, on a busy
# machine.
MET_WITHIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something goes wrong while inside `inflict`, for `seconds` and until it is named, and is over after it.

    `named` must be found in the logs of each mode it is crossed with (a regular expression; empty: there is
    nothing to be said); `afterwards`: only when it is over. `bounded`: it is in the part that CI runs.
    """

    name: str
    says: str
    inflict: Inflict
    named: str = ""
    modes: tuple[Mode, ...] = BOTH
    seconds: float = 4.0
    bounded: bool = False
    afterwards: bool = False


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
    world.ready(fault.modes)
    before = _found(SETTLED_WITHIN, lambda: _wrong(world, []))
    assert not before, f"before it: {before}"
    world.mark()
    born = {mode: world.new(mode) for mode in fault.modes}
    leaving = [world.belts[mode][0] for mode in fault.modes]
    for life in leaving:
        life.mark_deleted()
    with fault.inflict(world):
        for mode in fault.modes:
            world.belts[mode][1].update()
        for life in leaving:
            life.drain()
        for mode in fault.modes:
            born[mode].start()
            world.belts[mode].append(born[mode])
        time.sleep(fault.seconds)
        unmet = _found(MET_WITHIN, lambda: _unmet(world))
        if not fault.afterwards:
            _found(MET_WITHIN, lambda: _unsaid(world, fault))
    rows = _found(within, lambda: _wrong(world, leaving))
    # a line is written after what it tells of
    unsaid = unmet + _found(MET_WITHIN, lambda: _unsaid(world, fault))
    pods = 4 * len(fault.modes) + len(world.others)
    for life in world.others:
        life.end()
    for life in [*leaving, *world.others]:
        world.drop(life)
    return pods, rows, unsaid


def _found(within: float, look: Callable[[], list[str]]) -> list[str]:
    """Look until nothing is found any more, and give what still is after so many seconds."""
    end = time.monotonic() + within
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.5)
    return found


def _unmet(world: World) -> list[str]:
    """Tell of a meddling that has met no call yet: it would be no fault."""
    return [] if world.meddler.healed.is_set() or world.meddler.met.total() else ["no call met the fault"]


def _wrong(world: World, leaving: list[Life]) -> list[str]:
    """Give every row that is not as it should be, or who has not come to an end."""
    try:
        rows = world.wrong()
    except (httpx.HTTPError, AssertionError, subprocess.SubprocessError) as error:
        return [f"nobody tells of the rows: {error}"]
    return rows or [f"{life.name} still drains" for life in leaving if not life.ended()]


def _unsaid(world: World, fault: Fault) -> list[str]:
    return [
        f"nobody has said {fault.named!r} in {mode} mode"
        for mode in fault.modes
        if fault.named and not re.search(fault.named, world.said(of=mode))
    ]
