"""Runs `python -m sidecar` as a process, with exactly the environment that a test gives it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from sidecar.contract import Engine, Settings

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
NONCE = "the-nonce-of-the-pod"
GRACE = 60
# Seconds for what a process says or answers, its start among it.
PATIENCE = 60.0
IDENTITY = {
    "REGISTRAR_NAMESPACE": "team",
    "REGISTRAR_POD": "qwen-0",
    "REGISTRAR_POD_UID": "u1",
    "REGISTRAR_POD_IP": HOST,
}


class Registrar:
    """A running registrar and the lines it has written."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.url = f"http://{HOST}:{port}"
        self.lines: list[str] = []
        self._grown = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))
            self._grown.set()

    async def line(self, holds: Callable[[str], bool]) -> str:
        """Wait for a line."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for line in self.lines:
                    if holds(line):
                        return line
                self._grown.clear()
                await self._grown.wait()

    async def ended(self) -> int:
        """Wait until it has exited and everything it wrote is read."""
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            await self._reading
        return code

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask its endpoint; as the kubelet does again if it does not listen yet: lines come before that."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client, asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await client.get(self.url + path, headers=headers)
                except httpx.ConnectError:
                    if self.process.returncode is not None:
                        raise
                    await asyncio.sleep(0.05)


@asynccontextmanager
async def registrar(environ: Mapping[str, str], port: int) -> AsyncIterator[Registrar]:
    """Run one with exactly this environment."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecar",
        cwd=ROOT,
        env=dict(environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Registrar(process, port)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await running.ended()


def settings(server: int, listen: int, **more: Any) -> Settings:
    """Give short times; only a drain may take long, where the machine is busy."""
    times = {"propagation": 0.5, "drain_timeout": 40.0, "grace_period": GRACE, "poll_interval": 0.5}
    return Settings(
        cluster="c1", engine=Engine.VLLM, port=server, nonce=NONCE, listen_port=listen, **times | more
    )


def swap(token: Path, text: str) -> None:
    """Change a token in one step, as the kubelet does: a file that is being written is empty for a moment."""
    following = token.with_name("following")
    following.write_text(text)
    following.replace(token)
