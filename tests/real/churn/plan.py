"""The lives of many pods, written down before any is lived: how long, and how each ends. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class End(StrEnum):
    """How a pod ends."""

    DRAINED = "drained"  # deleted, its registrar drains to the end
    CUT = "cut"  # deleted, its registrar killed in its drain
    LOST = "lost"  # registrar killed, the pod force-deleted, as when its node has died
    ENDED = "ended"  # registrar killed, the pod says Failed until the next one of its name comes


_SHARES: Final = {End.DRAINED: 0.5, End.CUT: 0.1, End.LOST: 0.3, End.ENDED: 0.1}
# Of those that end without a drain: killed while their registrar is still registering.
_EARLY: Final = 0.25
# Seconds until their end, at most.
_EARLY_SECONDS: Final = 3.0
# How often a registrar is killed and started again in a pod that lives on, and how often it is a process.
_RESTARTED: Final = 0.15
_PROCESSES: Final = 0.02
# A life is at most so many times as long as they are on average.
_LONGEST: Final = 5.0
_NAMESPACES: Final = 4
# Pods made a second, until there is one in each slot.
_BEGINNING: Final = 4.0
# Of three pods of a namespace two serve a model that others serve too.
_SHARED_BY: Final = 3


@dataclass(frozen=True, slots=True)
class Life:
    """One pod, from the start of its registrar on; all times in seconds.

    Its registrar is killed and started anew after `restart` (None: it is not). `cut` is how far a drain gets
    that is killed. After its end `pause` goes by until the next pod of its name is made.
    """

    seconds: float
    end: End
    pause: float
    cut: float = 0.0
    restart: float | None = None
    process: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """A name under which pods live one after the other, as a StatefulSet's; the first is made at `start`."""

    namespace: str
    name: str
    model: str
    start: float


def namespaces(prefix: str) -> list[str]:
    """Give the namespaces in which they live."""
    return [f"{prefix}-{number}" for number in range(_NAMESPACES)]


def places(count: int, prefix: str) -> list[Slot]:
    """Give so many slots, their first pods four a second."""
    spaces = namespaces(prefix)
    made = []
    for number in range(count):
        space, shared = spaces[number % _NAMESPACES], number % _SHARED_BY
        model = f"{space}/shared-{shared}" if shared else f"{space}/model-{number}"
        made.append(Slot(space, f"pod-{number}", model, number / _BEGINNING))
    return made


def lives(count: int, mean: float, seed: int = 1) -> Iterator[Life]:
    """Give so many lives of `mean` seconds on average: the same ones for the same seed."""
    numbers = random.Random(seed)  # noqa: S311 - lives, no secrets
    for _ in range(count):
        (end,) = numbers.choices([*_SHARES], [*_SHARES.values()])
        early = end is not End.DRAINED and numbers.random() < _EARLY
        seconds = (
            numbers.uniform(0, _EARLY_SECONDS)
            if early
            else min(numbers.expovariate(1 / mean), _LONGEST * mean)
        )
        yield Life(
            seconds,
            end,
            pause=numbers.expovariate(2 / mean),
            cut=numbers.uniform(0, _EARLY_SECONDS),
            restart=seconds * numbers.random() if numbers.random() < _RESTARTED else None,
            process=numbers.random() < _PROCESSES,
        )
