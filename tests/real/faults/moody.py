"""A program of ours with its resolver, its clock and its disk in the hand of a test.

`python -m tests.real.faults.moody sidecar` or `... broker ARGS` (any command of the webhook's). In the folder
FAULTS_MOODS: while `no-dns` is there no name is found; `clock` holds the seconds by which the time of day is
off. After SIGUSR1 what it prints goes to a disk that is full, after SIGUSR2 to its log again. What OpenSSL
reads of the clock stays as it is, and so does the clock that counts seconds: it never jumps
(clock_gettime(2), CLOCK_MONOTONIC).
"""

from __future__ import annotations

import datetime as dt
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ENV_MOODS: Final = "FAULTS_MOODS"
NO_DNS: Final = "no-dns"
CLOCK: Final = "clock"
DISK_FULL: Final = signal.SIGUSR1
DISK_AGAIN: Final = signal.SIGUSR2
_FULL: Final = "/dev/full"  # full(4)
_PRINTED: Final = (1, 2)


def _off(folder: Path) -> float:
    try:
        return float((folder / CLOCK).read_text() or 0)
    except FileNotFoundError:
        return 0.0


def moody(folder: Path) -> None:
    """Replace what asks for names and for the time of day, for the whole process."""
    genuine: Callable[..., Any] = socket.getaddrinfo
    seconds, moment = time.time, dt.datetime

    def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
        if (folder / NO_DNS).exists() and not _numeric(host):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return genuine(host, *args, **more)

    class _Any(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, moment)

    class Shifted(dt.datetime, metaclass=_Any):
        """What `now` gives is off; every other moment is as it was."""

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return moment.now(tz) + dt.timedelta(seconds=_off(folder))

    socket.getaddrinfo = getaddrinfo
    time.time = lambda: seconds() + _off(folder)
    dt.datetime = Shifted  # type: ignore[misc]


def _numeric(host: Any) -> bool:
    text = host.decode() if isinstance(host, bytes) else str(host)
    return text.replace(".", "").isdigit() or ":" in text


def printing() -> None:
    """Let signals tell where what is printed goes."""
    log = os.dup(1)

    def full(*_: object) -> None:
        disk = os.open(_FULL, os.O_WRONLY)
        for each in _PRINTED:
            os.dup2(disk, each)
        os.close(disk)

    def again(*_: object) -> None:
        for each in _PRINTED:
            os.dup2(log, each)

    signal.signal(DISK_FULL, full)
    signal.signal(DISK_AGAIN, again)


if __name__ == "__main__":
    moody(Path(os.environ[ENV_MOODS]))
    printing()
    module = "sidecar" if sys.argv[1:] == ["sidecar"] else "webhook"
    runpy.run_module(module, run_name="__main__", alter_sys=True)
