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
from tests.real.faults.fault import MET_WITHIN, Inflict
from tests.real.faults.meddler import Call
from tests.real.faults.world import World

Kill = Callable[[], object]
# Whom a call kills, by a name: each is killed by the first one only.
Victim = Callable[[World, Call], tuple[str, Kill] | None]
Answer = Callable[[World, Call], Awaitable[web.StreamResponse]]


async def cut(_: World, call: Call) -> web.StreamResponse:
    """End the connection of the call that kills."""
    return call.cut()


async def unheard(world: World, call: Call) -> web.StreamResponse:
    """Send it to LiteLLM all the same, and let nobody hear what becomes of it."""
    world.meddler.later(call)
    return call.cut()


async def forwarded(_: World, call: Call) -> web.StreamResponse:
    """Have LiteLLM answer it, as well as it can."""
    return await call.forward()


def killed_at(
    kind: str,
    victim: Victim,
    *,
    done: bool = False,
    answer: Answer = cut,
    mend: Callable[[World], object] = lambda _: None,
) -> Inflict:
    """Kill when a call of this kind comes, or when LiteLLM has `done` it; give it this answer; then `mend`.

    Killed in a thread: whoever dies of it ends the call that it was begun by.
    """

    @contextmanager
    def inflict(world: World) -> Iterator[None]:
        struck: set[str] = set()
        killing: list[threading.Thread] = []

        async def meet(call: Call) -> web.StreamResponse:
            found = victim(world, call)
            if found is None or found[0] in struck:
                return await call.forward()
            struck.add(found[0])
            if done:
                await call.send()
            killing.append(threading.Thread(target=found[1]))
            killing[-1].start()
            return await answer(world, call)

        with world.meddling(meet, kind):
            yield
            wait_until(f"{kind} to kill at", MET_WITHIN, lambda: killing)
        for thread in killing:
            thread.join()
        mend(world)

    return inflict


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
