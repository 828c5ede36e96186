"""Real model servers, started by the scripts of `tests/peers/model-servers`, each at its own address."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.peers.scripts import free_port, loopback_address, run, work_folder

ANY = "0.0.0.0"  # noqa: S104 - what a server in a pod listens on


@dataclass
class ModelServer:
    """One server process; `engine` is a folder of model-servers, `flags` are what its run.sh takes."""

    engine: str
    work: Path
    flags: Sequence[str] = ()
    env: dict[str, str] = field(default_factory=dict)
    host: str = field(default_factory=loopback_address)
    port: int = 0

    def __post_init__(self) -> None:
        self.port = self.port or free_port(self.host)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        script = f"model-servers/{self.engine}/run.sh"
        run(script, self.port, *self.flags, work=self._folder, HOST=self.host, **self.env)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after 15 s."""
        run("stop.sh", f"{self.engine}-{self.port}", work=self._folder)

    def kill(self) -> None:
        """SIGKILL, as a crash or the kernel out of memory does."""
        run("stop.sh", "-KILL", f"{self.engine}-{self.port}", work=self._folder)

    @property
    def _folder(self) -> Path:
        return self.work / f"{self.host}-{self.port}"

    def container(self) -> dict[str, Any]:
        """Give the container of a pod that would run this very server: image, command line, environment."""
        return _CONTAINERS[self.engine](self)


def _llama_server(server: ModelServer) -> dict[str, Any]:
    listen = ["--host", ANY, "--port", str(server.port)]
    return {
        "image": "ghcr.io/ggml-org/llama.cpp:server",
        "args": ["--model", "/models/tiny.gguf", *listen, *_own(server)],
    }


def _ollama(server: ModelServer) -> dict[str, Any]:
    listen = {"name": "OLLAMA_HOST", "value": f"{ANY}:{server.port}"}
    return {"image": "ollama/ollama:0.17.4", "env": [listen]}


def _vllm(server: ModelServer) -> dict[str, Any]:
    listen = ["--port", str(server.port)]
    return {
        "image": "vllm/vllm-openai:v0.32.0",
        "args": ["--model", "/models/tiny", *listen, *_own(server)],
    }


def _own(server: ModelServer) -> list[str]:
    """Leave out the flags that only run.sh knows."""
    return [flag for flag in server.flags if flag not in _OF_RUN_SH]


_OF_RUN_SH = frozenset(
    {
        *("--slow", "--vision", "--embed", "--rerank"),
        *("--tools", "--no-tools", "--base", "--thinking", "--more"),
    }
)
_CONTAINERS = {"llama-server": _llama_server, "ollama": _ollama, "vllm": _vllm}


@contextmanager
def model_server(engine: str, *flags: str, logs: Path | None = None, **env: str) -> Iterator[ModelServer]:
    """Run one server; `flags` and `env` as its run.sh takes them (ALIAS: the served model name)."""
    with work_folder(logs) as work:
        server = ModelServer(engine, work, flags, env)
        server.start()
        yield server


# Counters of tokens that were read or written, as each engine calls them.
_TOKENS = {
    "vllm": ("vllm:prompt_tokens_total", "vllm:generation_tokens_total"),
    "llama-server": ("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total"),
}


def computed(server: ModelServer) -> int:
    """Give how many tokens a server read and wrote so far; of Ollama how many models it has loaded.

    A llama-server must run with --metrics.
    """
    if server.engine == "ollama":
        return len(_get(server, "/api/ps").json()["models"])
    lines = (line.split() for line in _get(server, "/metrics").text.splitlines())
    names = _TOKENS[server.engine]
    found = [int(float(line[-1])) for line in lines if line and line[0].partition("{")[0] in names]
    assert len(found) >= len(names), f"{server.url}/metrics has not {names}"
    return sum(found)


def _get(server: ModelServer, path: str) -> httpx.Response:
    flags = list(server.flags)
    key = flags[flags.index("--api-key") + 1] if "--api-key" in flags else "none"
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.get(server.url + path, headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Make whoever opens a file wait until this ends, at most 45 s: a server then stays at loading it.

    By a lease (fcntl(2), F_SETLEASE), for which nobody may have the file open yet.
    """
    descriptor = os.open(file, os.O_RDWR)
    try:
        # In place of SIGIO, which would end this process when the file is opened.
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(descriptor)


_F_SETSIG = 10  # Linux, asm-generic/fcntl.h; Python has no name for it
