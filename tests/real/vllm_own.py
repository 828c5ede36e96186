"""What the real vLLM's parser makes of command lines, by one run of its own interpreter."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.peers.scripts import CACHE
from tests.vllm_lines import SERVE, Asked

_PYTHON: Final = CACHE / "model-servers" / "vllm" / "venv" / "bin" / "python"
_SCRIPT: Final = Path(__file__).with_name("vllm_parser.py")


class Parsed(NamedTuple):
    """Every spelling of the parser's options with what it is, and what it gives for each command line."""

    options: dict[str, list[Any]]
    answers: list[dict[str, Any] | None]


def parsed(asked: Sequence[Asked]) -> Parsed:
    """Ask the real parser. Raises CalledProcessError."""
    lines = [("serve" if one.entry == SERVE else "module", one.words) for one in asked]
    quiet = os.environ | {"VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    done = subprocess.run(
        [_PYTHON, _SCRIPT], input=json.dumps(lines), capture_output=True, text=True, check=True, env=quiet
    )
    return Parsed(**json.loads(done.stdout))
