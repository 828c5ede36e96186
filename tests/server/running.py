"""What the fixtures of this folder give: a webhook that serves with TLS on loopback, and a client for it."""

import asyncio
import contextlib
import io
import json
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from webhook.server import Server


@dataclass(frozen=True)
class Tls:
    """A certificate of 127.0.0.1 in files, a client's context that trusts its CA only, and another key."""

    certificate: Path
    key: Path
    other_key: Path
    ca: str
    client: ssl.SSLContext


@dataclass(frozen=True)
class Running:
    """A webhook that serves, and what it has logged."""

    server: Server
    client: httpx.AsyncClient
    health: httpx.AsyncClient
    stream: io.StringIO

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines so far."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    async def post(self, path: str, body: bytes, content_type: str = "application/json") -> httpx.Response:
        """Post a body."""
        return await self.client.post(path, content=body, headers={"Content-Type": content_type})


# Seconds for an answer of a server in the test's own process, however busy the machine is.
PATIENCE = 60.0

# Serves with these settings, until its end.
Serving = Callable[..., AbstractAsyncContextManager[Running]]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds, for at most a minute."""
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to hold within a minute")


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection to its end: one that is left to the garbage collector is a warning in some test."""
    writer.close()
    with contextlib.suppress(OSError):  # the other end was quicker
        await writer.wait_closed()


def renew(path: Path, text: str) -> None:
    """Put another file in the place of this one at once, as a mounted ConfigMap is renewed."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
