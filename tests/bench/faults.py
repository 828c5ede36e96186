"""The fault matrix: which rows are wrong after each fault, on real LiteLLMs and a real API server."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bench.figures import Figure
from tests.real.faults.control import leaves_behind
from tests.real.faults.fault import Verdict, meet
from tests.real.faults.table import FAULTS
from tests.real.faults.world import world


async def measure() -> list[Figure]:
    """Give fault_matrix."""
    return [await asyncio.to_thread(_measure)]


def _measure() -> Figure:
    with tempfile.TemporaryDirectory() as name, world(Path(name)) as made:
        verdicts = []
        for fault in FAULTS:
            verdict = meet(made, fault)
            verdicts.append(verdict)
            print(_told(verdict), file=sys.stderr, flush=True)
        control = leaves_behind(made)
    wrong = [row for verdict in verdicts for row in verdict.rows]
    unsaid = [reason for verdict in verdicts for reason in verdict.unsaid]
    return Figure(
        "fault_matrix",
        len(wrong),
        "rows",
        "= 0",
        f"{len(verdicts)} faults, met by {sum(each.pods for each in verdicts)} pods that register, serve, "
        f"are updated or drain; reasons that no log names: {len(unsaid)}; with a registrar that takes "
        f"every end of a deletion for a success one of these faults leaves {len(control.rows)}",
    )


def _told(verdict: Verdict) -> str:
    trouble = "; ".join([*verdict.rows, *verdict.unsaid])
    return f"{verdict.fault}: {verdict.seconds:.0f} s, {trouble or 'right'}"
