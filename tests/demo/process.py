"""A container's process as the demo runs it: started, listened to, signalled, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parents[2]


class DemoError(Exception):
    """The demo did not go as it should; the message says what was seen."""


class Process:
    """One child process in a session of its own, so that Ctrl-C reaches only the demo, which ends it."""

    def __init__(self, child: asyncio.subprocess.Process, said: Callable[[str], None]) -> None:
        self._child = child
        self._lines = asyncio.create_task(self._read(said))

    @classmethod
    async def start(cls, argv: Sequence[str], env: Mapping[str, str], said: Callable[[str], None]) -> Self:
        """Start it; `said` gets each line it writes to standard output or error."""
        child = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(env),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(child, said)

    async def _read(self, said: Callable[[str], None]) -> None:
        assert self._child.stdout is not None
        async for line in self._child.stdout:
            said(line.decode(errors="replace").rstrip())

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._child.returncode is not None

    async def wait(self) -> int:
        """Wait for its end and its last line, and give its exit code (negative: the signal)."""
        code = await self._child.wait()
        await asyncio.shield(self._lines)
        return code

    async def stop(self, seconds: float) -> int:
        """Send SIGTERM, and SIGKILL if it has not ended after so many seconds; give the exit code."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.wait(), seconds)
        return await self.kill()

    async def kill(self) -> int:
        """Send SIGKILL to it and everything it started, and wait."""
        self._signal(signal.SIGKILL)
        return await self.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if not self.ended:
                os.killpg(self._child.pid, number)
