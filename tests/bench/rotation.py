"""Failed calls of a real API server while the webhook's own certificate and its CA change."""

import tempfile
from pathlib import Path
from typing import Final

from tests.bench.figures import Figure
from tests.peers.cluster import control_plane
from tests.peers.rotating import Rotating, Tally, rotating

_SHOWN: Final = 3


async def measure() -> list[Figure]:
    """Give rotation_failures."""
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as cluster:
        async with rotating(cluster, Path(folder)) as it:
            await it.until_renewed()
            await it.change_ca()
            await it.until_published(2)
            await it.until_renewed()
            await it.until_published(1)
            return [_figure(it)]


def _figure(it: Rotating) -> Figure:
    failed = it.pods.failed + it.handshakes.failed
    return Figure(
        "rotation_failures",
        len(failed),
        "calls",
        "= 0",
        f"of {it.pods.sent} pods made over {it.front.connections} connections to 2 replicas, and "
        f"{it.handshakes.sent} handshakes by what was published at that moment; a renewal, a CA change. "
        f"{_examples(it.pods)}{_examples(it.handshakes)}".strip(),
    )


def _examples(tally: Tally) -> str:
    return "; ".join(tally.failed[:_SHOWN])
