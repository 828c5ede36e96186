"""Hours in a moment: an event loop whose clock jumps to the next timer whenever nothing else is to do."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Waits for nothing; the time it was asked to wait has passed then."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Give what is ready now."""
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits, and no timer runs"
            self.passed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own, that begins at 1000."""

    def __init__(self) -> None:
        self._selector_of_time = _Selector()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        """Give the seconds on that clock."""
        return 1000.0 + self._selector_of_time.passed


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run this without waiting for any timer."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now() -> float:
    """Give the seconds on the running loop's clock."""
    return asyncio.get_running_loop().time()
