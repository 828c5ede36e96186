"""The program's start and end: signals, readiness, requests in hand, exit codes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.server.reviews import dump, pod, review
from tests.server.running import PATIENCE, Tls, closed


@dataclass
class Program:
    """`python -m webhook serve` as a process of its own."""

    process: asyncio.subprocess.Process
    tls: Tls
    address: str = ""
    health: str = ""

    async def line(self) -> dict[str, Any]:
        """Give the next line of its log."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return line

    async def begin(self, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send the head of a review, wait until it is in hand, send the first byte of its body."""
        host, port = self.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=self.tls.client)
        writer.write(b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        writer.write(f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body[:1])
        return reader, writer


@pytest.fixture
async def program(tls: Tls, request: pytest.FixtureRequest) -> AsyncIterator[Program]:
    """Give a program that serves; `param` are more arguments."""
    command = [
        *(sys.executable, "-m", "webhook", "serve", "--log-format", "json"),
        *("--tls-cert", str(tls.certificate), "--tls-key", str(tls.key), "--listen-address", "127.0.0.1"),
        *("--port", "0", "--health-port", "0", "--cluster-id", "test", "--registrar-image", "registrar:1"),
        *getattr(request, "param", ()),
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    it = Program(process, tls)
    try:
        started = await it.line()
        it.address, it.health = started["address"], started["health"]
        yield it
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


# A second signal ends the delay when all has been seen that holds during it.
@pytest.mark.parametrize("program", [("--stop-delay", "600", "--stop-timeout", "60")], indirect=True)
async def test_a_stop_loses_no_review(program: Program, tls: Tls) -> None:
    """On SIGTERM it is unready but serves on; then it closes, ends what is in hand, and exits with 0."""
    body = dump(review(pod()))
    async with (
        httpx.AsyncClient(
            base_url=f"https://{program.address}", verify=tls.client, timeout=PATIENCE
        ) as client,
        httpx.AsyncClient(base_url=f"http://{program.health}", timeout=PATIENCE) as health,
    ):
        headers = {"Content-Type": "application/json"}
        before = await client.post("/mutate", content=body, headers=headers)
        assert (before.status_code, before.headers.get("connection")) == (200, None)
        assert (await program.line())["event"] == "injected"
        reader, writer = await program.begin(body)
        program.process.send_signal(signal.SIGTERM)
        assert (await program.line())["event"] == "stopping"

        ready = await health.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "stopping\n")
        assert (await health.get("/healthz")).status_code == 200
        during = await client.post("/mutate", content=body, headers=headers)
        assert (during.status_code, during.headers["connection"]) == (200, "close")
        assert (await program.line())["event"] == "injected"

        program.process.send_signal(signal.SIGTERM)
        await _until_refused(program.address)
        writer.write(body[1:])
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"patchType":"JSONPatch"' in answer
        await closed(writer)
    assert [(await program.line())["event"] for _ in range(2)] == ["injected", "stopped"]
    assert await program.process.wait() == 0


@pytest.mark.parametrize("program", [("--stop-delay", "0", "--stop-timeout", "0.3")], indirect=True)
async def test_a_client_that_never_ends_does_not_hold_the_stop(program: Program) -> None:
    """After --stop-timeout the program ends all the same, and says how many reviews were cut."""
    _, writer = await program.begin(dump(review(pod())))
    program.process.terminate()
    assert (await program.line())["in_hand"] == 1
    line = await program.line()
    while line["event"] != "stopped":
        line = await program.line()
    assert (line["message"], line["cut"]) == ("Reviews in hand were cut.", 1)
    assert await program.process.wait() == 0
    await closed(writer)


@pytest.mark.parametrize("program", [("--stop-delay", "0.5")], indirect=True)
async def test_the_wait_for_endpoints_ends_by_itself(program: Program) -> None:
    """After --stop-delay the program stops without another signal."""
    program.process.terminate()
    assert [(await program.line())["event"] for _ in range(2)] == ["stopping", "stopped"]
    assert await program.process.wait() == 0


async def test_the_log_is_utf_8_whatever_the_locale(program: Program, tls: Tls) -> None:
    """A name outside ASCII is logged, and its review answered, where standard output is said to be ASCII."""
    async with httpx.AsyncClient(
        base_url=f"https://{program.address}", verify=tls.client, timeout=PATIENCE
    ) as client:
        body, headers = dump(review(pod(), name="é")), {"Content-Type": "application/json"}
        assert (await client.post("/mutate", content=body, headers=headers)).status_code == 200
    assert (await program.line())["name"] == "é"


@pytest.mark.parametrize("program", [("--stop-delay", "60")], indirect=True)
async def test_a_second_signal_ends_the_wait_for_endpoints(program: Program) -> None:
    """Whoever sends SIGTERM or SIGINT again does not want to wait."""
    program.process.send_signal(signal.SIGINT)
    assert (await program.line())["event"] == "stopping"
    program.process.send_signal(signal.SIGINT)
    assert (await program.line())["event"] == "stopped"
    assert await program.process.wait() == 0


async def _until_refused(address: str) -> None:
    host, port = address.split(":")
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                return
            except ConnectionResetError:  # it closes just now
                continue
            await closed(writer)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("missing.crt", None, "No such file or directory"),
        ("not.crt", "not PEM", "not a certificate"),
    ],
)
def test_a_bad_certificate_ends_with_2(tls: Tls, name: str, text: str | None, found: str) -> None:
    """The message has both flags, both files and what is wrong with them; the key is not asked for."""
    path = tls.certificate.parent / name
    if text is not None:
        path.write_text(text)
    done = _start("--tls-cert", str(path), "--tls-key", str(tls.key))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"webhook: error: --tls-cert '{path}', --tls-key '{tls.key}': found: ")
    assert found in done.stderr


def test_a_key_of_another_certificate_ends_with_2(tls: Tls) -> None:
    """A pair that does not belong together is found at the start, not by the first client."""
    done = _start("--tls-cert", str(tls.certificate), "--tls-key", str(tls.other_key))
    assert done.returncode == 2
    assert "found: certificate and key do not belong together; allowed: " in done.stderr


def test_an_address_that_is_not_here_ends_with_1(tls: Tls) -> None:
    """The message has the flags and the system's word."""
    pair = ("--tls-cert", str(tls.certificate), "--tls-key", str(tls.key))
    done = _start(*pair, "--listen-address", "203.0.113.7")
    assert done.returncode == 1
    assert done.stderr.startswith("webhook: error: --listen-address '203.0.113.7', --port 8443: ")


def _start(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "webhook",
        "serve",
        "--cluster-id",
        "c",
        "--registrar-image",
        "i",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
