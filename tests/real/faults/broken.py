"""A registrar that takes every end of a deletion for a success: shows that what is left behind is counted."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from sidecar.litellm import Absent, LiteLLM
from tests.real.faults.moody import ENV_MOODS, moody


async def delete(api: LiteLLM, row_id: str) -> Absent:
    """Ask once, and be content."""
    await genuine(api, row_id)
    return Absent()


if __name__ == "__main__":
    moody(Path(os.environ[ENV_MOODS]))
    genuine = LiteLLM.delete
    LiteLLM.delete = delete  # type: ignore[method-assign]
    runpy.run_module("sidecar", run_name="__main__", alter_sys=True)
