"""Processes that are killed by a call, or stand still."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from tests.peers.cluster import wait_until
from tests.real.faults.meddler import Call
from tests.real.faults.world import World

Kill = Callable[[Callable[[], None]], None]
Meet = Callable[[Call, Kill], Awaitable[web.StreamResponse]]


@contextmanager
def killing_at(world: World, kind: str, meet: Meet) -> Iterator[None]:
    """Have calls of a kind met while inside, and wait until what was killed at them is dead: something is.

    `meet` kills in a thread: whoever dies of it ends the call that it was begun by.
    """
    killing: list[threading.Thread] = []

    def kill(how: Callable[[], None]) -> None:
        killing.append(threading.Thread(target=how))
        killing[-1].start()

    async def met(call: Call) -> web.StreamResponse:
        return await meet(call, kill)

    with world.meddling(met, kind):
        yield
        wait_until(f"{kind} to kill at", 30, lambda: killing)
        for thread in killing:
            thread.join()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process, and its children, for a while."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in (*map(int, children), pid):
            os.kill(each, signal.SIGCONT)
