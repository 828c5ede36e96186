"""Whether the reaper ever removes more than its brakes let it, over random sequences of bad answers."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.bench.figures import Figure
from tests.reaping.sequences import sequence

SEQUENCES: Final = 1000
# Of the control, which takes longer: enough to show that the referee sees.
_CONTROLS: Final = 50


async def measure() -> list[Figure]:
    """Give brake_breaches, and that of the same sequences without brakes."""
    breaches, removed = await _counted(SEQUENCES, braked=True)
    seen, gone = await _counted(_CONTROLS, braked=False)
    kinds = ", ".join(f"{kind} {count}" for kind, count in seen.most_common())
    about = (
        f"{removed} rows removed in {SEQUENCES} sequences; control: the first {_CONTROLS} without brakes, "
        f"{seen.total()} breaches by {gone} removals ({kinds})"
    )
    return [
        Figure("brake_breaches", breaches.total(), "removals", "= 0", about),
        Figure("brake_breaches_control", seen.total(), "removals", "> 0", f"of {gone} without brakes"),
    ]


async def _counted(sequences: int, *, braked: bool) -> tuple[Counter[str], int]:
    breaches: Counter[str] = Counter()
    removed = 0
    for seed in range(sequences):
        world = await sequence(seed, braked=braked)
        removed += world.removed
        breaches.update(breach.kind for breach in world.breaches)
    return breaches, removed
