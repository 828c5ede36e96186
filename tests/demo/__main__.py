"""The main job on embedded stand-ins, as a timeline: `make demo`, or `python -m tests.demo`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from tests.demo.process import DemoError
from tests.demo.story import Pace, tell, verdict
from tests.demo.timeline import Timeline

INTERRUPTED = 130


async def run() -> int:
    """Tell the story on standard output; 0 only if no request was lost and everything went as it should."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    pace = Pace()
    try:
        async with asyncio.timeout(pace.limit):
            text, good = verdict(await tell(sys.stdout, pace))
    except DemoError as error:
        text, good = f"The demo failed: {error}", False
    except TimeoutError:
        text, good = f"The demo failed: not over after {pace.limit:g} s", False
    Timeline(sys.stdout).verdict(text, good=good)
    return 0 if good else 1


def main() -> int:
    """Run it; Ctrl-C, SIGTERM and SIGHUP end everything that was started, too."""
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        return asyncio.run(run())
    print("\nInterrupted; everything that was started has been ended.", file=sys.stderr)
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
