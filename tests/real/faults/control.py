"""The control of the fault matrix: registrars broken on purpose, of which something must be counted."""

from __future__ import annotations

from typing import Final

from tests.real.faults import meddler
from tests.real.faults.fault import DIRECT, Fault, Verdict, meet
from tests.real.faults.table.answers import meddling
from tests.real.faults.world import World

_BROKEN: Final = "tests.real.faults.broken"
_LOST: Final = Fault(
    "deletions_lost",
    "No deletion reaches LiteLLM; there is no reaper for these pods.",
    meddling(meddler.lose, "delete"),
    modes=DIRECT,
)
_WITHIN: Final = 60


def leaves_behind(world: World) -> Verdict:
    """Have pods whose registrars take every end of a deletion for a success meet a fault."""
    world.clear()
    genuine, world.place.module = world.place.module, _BROKEN
    try:
        return meet(world, _LOST, _WITHIN)
    finally:
        world.place.module = genuine
        world.clear()
