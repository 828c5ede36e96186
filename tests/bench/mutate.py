"""Throughput and latency of /mutate and /validate, against a bare app that only parses and allows."""

import asyncio
import functools
import json
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.figures import Figure
from tests.bench.reviews import review
from tests.certificates import make_ca, make_leaf
from tests.peers.scripts import free_port

ROUNDS = 5
SECONDS = 4
CONTAINERS = {"small": 2, "large": 100}


class Goal(NamedTuple):
    """Goals of one size: the ratio of reviews per second, and the p99 in ms with one client, if any."""

    ratio: float
    p99: float | None


async def measure() -> list[Figure]:
    """Give the four figures of /mutate."""
    return await _measure("mutate", {"small": Goal(0.6, 5), "large": Goal(0.7, 10)})


async def measure_validate() -> list[Figure]:
    """Give the three figures of /validate, with the policy that ships."""
    goals = {"small": Goal(0.5, None), "large": Goal(0.5, 15)}
    return await _measure("validate", goals, "--policy", "default")


async def _measure(name: str, goals: dict[str, Goal], *flags: str) -> list[Figure]:
    if shutil.which("wrk") is None:
        await _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "wrk")
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        ca = make_ca()
        leaf = make_leaf(ca, ["127.0.0.1"])
        cert, key = leaf.write(Path(folder))
        webhook = functools.partial(_webhook, flags)
        async with _serving(webhook, cert, key) as ours, _serving(_bare, cert, key) as bare:
            for size, goal in goals.items():
                body = Path(folder, f"{size}.json")
                body.write_bytes(review(CONTAINERS[size]))
                pairs = [
                    (await _load(ours, name, body, 8), await _load(bare, name, body, 8))
                    for _ in range(ROUNDS)
                ]
                rates = [(_rate(a), _rate(b)) for a, b in pairs]
                ratio = statistics.median(a / b for a, b in rates)
                bare_rate = statistics.median(b for _, b in rates)
                figures.append(
                    Figure(
                        f"{name}_{size}",
                        ratio,
                        "ratio",
                        f">= {goal.ratio}",
                        f"bare aiohttp TLS app, {bare_rate:.0f} reviews/s",
                    )
                )
                if goal.p99 is None:
                    continue
                one = [await _load(ours, name, body, 1) for _ in range(3)]
                alone = await _load(bare, name, body, 1)
                figures.append(
                    Figure(
                        f"{name}_{size}_p99",
                        statistics.median(r["p99"] for r in one),
                        "ms",
                        f"< {goal.p99:g}",
                        f"bare app, one client: {alone['p99']:.2f} ms",
                    )
                )
    return figures


def _rate(result: dict[str, Any]) -> float:
    if result["bad"]:
        raise RuntimeError(f"{result['bad']} requests were not answered with 200")
    return float(result["requests"] / result["seconds"])


async def _load(port: int, path: str, body: Path, clients: int) -> dict[str, Any]:
    script = Path(__file__).with_name("wrk.lua")
    out = await _run(
        *(
            "wrk",
            "-t1",
            f"-c{clients}",
            f"-d{SECONDS}s",
            "-s",
            str(script),
            f"https://127.0.0.1:{port}/{path}",
        ),
        env=os.environ | {"BODY": str(body)},
    )
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result


async def _run(*command: str, env: dict[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed: {err.decode()[-500:]}")
    return out.decode()


def _webhook(flags: tuple[str, ...], cert: Path, key: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "webhook", "serve", "--tls-cert", str(cert), "--tls-key", str(key)),
        *("--cluster-id", "bench", "--registrar-image", "registry.example.com/registrar:1"),
        *("--listen-address", "127.0.0.1", "--port", str(port), "--health-port", str(free_port("127.0.0.1"))),
        *("--stop-delay", "0", *flags),
    ]


def _bare(cert: Path, key: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "tests.bench.bare_app", str(cert), str(key), str(port)]


@asynccontextmanager
async def _serving(command: Any, cert: Path, key: Path) -> AsyncIterator[int]:
    port = free_port("127.0.0.1")
    process = await asyncio.create_subprocess_exec(
        *command(cert, key, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await _listening(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _listening(port: int) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError(f"nothing listens on port {port}")
