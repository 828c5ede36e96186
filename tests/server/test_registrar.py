"""`python -m sidecar` as a process, on stand-ins: what it lives with, what it hides, how it ends."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from sidecar.contract import CONTRACT_VERSION, NONCE_HEADER, Engine, LogFormat, Settings
from tests.standins.listening import free_port
from tests.standins.litellm import LiteLLM
from tests.standins.litellm_store import MASTER_KEY
from tests.standins.vllm import VLLM

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
NONCE = "the-nonce-of-the-pod"
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
        async with asyncio.timeout(20):
            while True:
                for line in self.lines:
                    if holds(line):
                        return line
                self._grown.clear()
                await self._grown.wait()

    async def ended(self) -> int:
        """Wait until it has exited and everything it wrote is read."""
        async with asyncio.timeout(20):
            code = await self.process.wait()
            await self._reading
        return code

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask its endpoint."""
        async with httpx.AsyncClient(timeout=20) as client:
            return await client.get(self.url + path, headers=headers)


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
    """Give short times."""
    times = {"propagation": 0.5, "drain_timeout": 5.0, "grace_period": 20.0, "poll_interval": 0.5}
    return Settings(
        cluster="c1", engine=Engine.VLLM, port=server, nonce=NONCE, listen_port=listen, **times | more
    )


async def test_a_whole_life() -> None:
    """Found, registered, drained by the hook, ended by SIGTERM: in JSON, and without a secret in any line."""
    listen = free_port(HOST, 0)
    async with LiteLLM(1) as litellm, VLLM("qwen", api_key="sk-of-the-server") as server:
        environ = {
            **IDENTITY,
            **settings(server.port, listen, log_format=LogFormat.JSON).to_env(),
            "REGISTRAR_LITELLM_URL": litellm.url + "/",
            "REGISTRAR_LITELLM_KEY": MASTER_KEY,
            "REGISTRAR_SERVER_API_KEY": "sk-of-the-server",
        }
        async with registrar(environ, listen) as running:
            await running.line(lambda line: '"waiting"' in line)
            assert (await running.get("/ready")).status_code == 503
            await server.load()
            await running.line(lambda line: '"serving"' in line)
            assert (await running.get("/ready")).status_code == 200
            status = (await running.get("/status")).json()
            assert (status["state"], list(status["models"])) == ("serving", ["qwen"])
            assert (await running.get("/drain")).status_code == 403
            drained = await running.get("/drain", **{NONCE_HEADER: NONCE})
            assert drained.json() == {"end": "done", "cut": 0, "rows_left": 0}
            assert not litellm.database.rows
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
    events = [json.loads(line)["event"] for line in running.lines]
    assert events[0] == "started"
    assert events[-1] == "stopped"
    for word in ("found", "registered", "draining", "gone", "problem"):
        assert word in events
    text = "\n".join([*running.lines, json.dumps(status)])
    for secret in (NONCE, MASTER_KEY, "sk-of-the-server"):
        assert secret not in text


async def test_a_user_in_litellms_address_is_hidden() -> None:
    """An address with user and password shows neither."""
    listen = free_port(HOST, 0)
    environ = {
        **IDENTITY,
        **settings(1, listen).to_env(),
        "REGISTRAR_LITELLM_URL": "http://us3r:passw0rd@127.0.0.1:1",
        "REGISTRAR_LITELLM_KEY": "sk-1",
    }
    async with registrar(environ, listen) as running:
        await running.line(lambda line: "litellm_unreachable" in line)
    assert "passw0rd" not in "\n".join(running.lines)


async def test_a_missing_secret_is_a_named_state() -> None:
    """Without the Secret the server is watched, nothing is registered, and the pod ends without delay."""
    listen = free_port(HOST, 0)
    async with VLLM("qwen") as server:
        await server.load()
        environ = {**IDENTITY, **settings(server.port, listen).to_env()}
        async with registrar(environ, listen) as running:
            await running.line(lambda line: "reason=litellm_no_secret" in line)
            await running.line(lambda line: " FOUND " in line)
            assert (await running.get("/status")).json()["state"] == "waiting"
            drained = await running.get("/drain", **{NONCE_HEADER: NONCE})
            assert drained.json()["end"] == "done"
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0


async def test_a_bad_environment_is_lived_with() -> None:
    """Half an environment: named in the log and by /status, hooks answered, no exit until SIGTERM."""
    listen = free_port(HOST, 0)
    environ = {"REGISTRAR_NONCE": NONCE, "REGISTRAR_LISTEN_PORT": str(listen), "REGISTRAR_SERVER_PORT": "x"}
    async with registrar(environ, listen) as running:
        line = await running.line(lambda line: "reason=contract_bad" in line)
        assert "REGISTRAR_CLUSTER is missing" in line
        assert "REGISTRAR_SERVER_PORT='x'" in line.replace("\\", "")
        status = (await running.get("/status")).json()
        assert status["state"] == "contract_bad"
        assert (await running.get("/ready")).status_code == 503
        assert (await running.get("/drain", **{NONCE_HEADER: NONCE})).status_code == 200
        assert running.process.returncode is None
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_a_server_key_that_litellm_would_resolve_registers_nothing() -> None:
    """LiteLLM would send its own master key to that server: said, and no row is made."""
    listen = free_port(HOST, 0)
    environ = {
        **IDENTITY,
        **settings(1, listen).to_env(),
        "REGISTRAR_SERVER_API_KEY": "os.environ/LITELLM_MASTER_KEY",
    }
    async with registrar(environ, listen) as running:
        assert "REGISTRAR_SERVER_API_KEY" in await running.line(lambda line: "reason=contract_bad" in line)
        assert (await running.get("/status")).json()["state"] == "contract_bad"


async def test_a_newer_contract_is_said_and_worked_with() -> None:
    """What can be read is used."""
    listen = free_port(HOST, 0)
    environ = {**IDENTITY, **settings(1, listen, contract=99).to_env(), "REGISTRAR_NEW": "x"}
    async with registrar(environ, listen) as running:
        assert f"theirs=99 ours={CONTRACT_VERSION}" in await running.line(
            lambda line: "reason=contract_newer" in line
        )
        await running.line(lambda line: "reason=server_refused" in line)


async def test_a_newer_contract_that_cannot_be_read_is_lived_with() -> None:
    """An engine this registrar has never heard of, from a newer webhook: said as such."""
    listen = free_port(HOST, 0)
    environ = {**IDENTITY, **settings(1, listen, contract=99).to_env(), "REGISTRAR_ENGINE": "quantum"}
    async with registrar(environ, listen) as running:
        line = await running.line(lambda line: "reason=contract_newer" in line)
        assert "quantum" in line
        assert (await running.get("/status")).json()["state"] == "contract_newer"


async def test_a_taken_port_is_named_and_tried_again() -> None:
    """Another program has the port: said; the models are registered all the same."""
    async with LiteLLM(1) as litellm, VLLM("qwen") as server:
        await server.load()
        taken = server.port
        environ = {
            **IDENTITY,
            **settings(server.port, taken).to_env(),
            "REGISTRAR_LITELLM_URL": litellm.url,
            "REGISTRAR_LITELLM_KEY": MASTER_KEY,
        }
        async with registrar(environ, taken) as running:
            await running.line(lambda line: "reason=port_in_use" in line)
            await running.line(lambda line: " SERVING " in line)


async def test_a_bad_authority_is_named() -> None:
    """A ca.crt that is none stops nothing but LiteLLM's calls."""
    listen = free_port(HOST, 0)
    environ = {
        **IDENTITY,
        **settings(1, listen).to_env(),
        "REGISTRAR_LITELLM_URL": "https://127.0.0.1:1",
        "REGISTRAR_LITELLM_KEY": "sk-1",
        "REGISTRAR_LITELLM_CA": "no certificate",
    }
    async with registrar(environ, listen) as running:
        await running.line(lambda line: "reason=litellm_bad_ca" in line)
        await running.line(lambda line: "reason=server_refused" in line)
