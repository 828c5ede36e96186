"""An event loop in a thread: servers of the tests live there while the test itself waits for processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
_SECONDS = 60


class Background:
    """The loop; `run` has something done there, and gives what it gave."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for this, a minute at most."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_SECONDS)

    def call(self, function: Callable[[], T]) -> T:
        """Have a function called there."""

        async def called() -> T:
            return function()

        return self.run(called())

    def enter(self, stack: ExitStack, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter something there, and leave it there with the stack."""

        async def leave() -> None:
            await manager.__aexit__(None, None, None)

        entered = self.run(manager.__aenter__())
        stack.callback(lambda: self.run(leave()))
        return entered

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have this done meanwhile; at the end of the loop it is cancelled."""
        asyncio.run_coroutine_threadsafe(work, self.loop)


@contextmanager
def background() -> Iterator[Background]:
    """Run a loop while inside."""
    made = Background()
    thread = threading.Thread(target=made.loop.run_forever, name="background")
    thread.start()
    try:
        yield made
    finally:
        made.run(_cancel_all())
        made.loop.call_soon_threadsafe(made.loop.stop)
        thread.join()
        made.loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
