"""The shell scripts beside this file as Python calls, and what tests with real processes need besides."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import random
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "litellm-registrar"
HOW_TO_GET: Final = "`make test-real` installs the peers (tests/peers/install.sh real)"
# What says, with --check, whether a peer is installed.
INSTALLERS: Final = {
    "litellm": "litellm/install.sh",
    "llama-server": "model-servers/llama-server/build.sh",
    "ollama": "model-servers/ollama/build.sh",
    "vllm": "model-servers/vllm/install.sh",
}


def not_installed(*peers: str) -> list[str]:
    """Name those of these peers (keys of INSTALLERS) that this machine has not."""
    return [
        peer
        for peer in peers
        if subprocess.run([FOLDER / INSTALLERS[peer], "--check"], check=False, capture_output=True).returncode
    ]


def run(script: str, *arguments: object, work: Path, **env: str) -> str:
    """Run a script for the run in `work`; give what it prints. Raises AssertionError with its complaint."""
    command = [str(FOLDER / script), *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, "WORK": str(work), **env}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(f"{script} {shlex.join(command[1:])} failed:\n{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def work_folder(logs: Path | None = None) -> Iterator[Path]:
    """Give a folder for what a run leaves, where user postgres can reach it; at the end all in it is stopped.

    The logs are kept in `logs`, if given; everything else goes.
    """
    # a process that was killed may have left something that still writes there
    with tempfile.TemporaryDirectory(prefix="litellm-registrar-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        work.chmod(0o711)
        try:
            yield work
        finally:
            for folder in (*work.glob("run"), *work.glob("*/run")):
                run("stop.sh", work=folder.parent)
                if logs is not None:
                    shutil.copytree(folder, logs, ignore=_all_but_logs, dirs_exist_ok=True)


def _all_but_logs(_: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".log")]


# What this process has been given: address and port.
_given: set[tuple[str, int]] = set()


def free_port(address: str) -> int:
    """Find a TCP port that nothing listens on, below the range the kernel takes for outgoing connections.

    So it is still free when a server that was stopped is started again. It is given once in a process, and
    while that lives to no other one of this user: a server may bind it long after it was asked for.
    (tests/peers/kubernetes/lib.sh takes ports below 23000.)
    """
    while True:
        port = random.randint(23000, 32000)  # noqa: S311 - no secret
        if (address, port) in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            # a record lock (fcntl(2)) of one byte, which the kernel takes back at the process's end
            fcntl.lockf(_ports(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            probe.bind((address, port))
            _given.add((address, port))
            return port


@functools.cache
def _ports() -> int:
    """Open the file whose bytes stand for ports; never closed, for that would give up every lock."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return os.open(CACHE / "ports.lock", os.O_RDWR | os.O_CREAT, 0o600)


def loopback_address() -> str:
    """Give an address of the loopback network that nobody else is likely to have: one pod's IP.

    Linux answers on all of 127.0.0.0/8, so each pod of a test has an address of its own, and fixed ports
    do not clash, not even with those of another test run on the machine.
    """
    return f"127.{random.randint(2, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"  # noqa: S311 - no secret
