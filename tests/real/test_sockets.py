"""The kernel's own word on connections of another process, against a server that is told when to answer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar import sockets as sockets_module
from sidecar.sockets import ServerSockets, SocketSample

pytestmark = pytest.mark.real

# Does what each line tells: s sends a request, r waits for bytes, c closes; and says when it has.
CLIENT = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for line in sys.stdin:
    for step in line.strip():
        if step == "s":
            connection.sendall(b"a request")
        elif step == "r":
            connection.recv(100)
        else:
            connection.close()
    print("done", flush=True)
"""
GAP = 1500  # ms, in place of 10 s
LONGER = 1.7
# A moment that ends before the gap does, though the machine is busy.
MOMENT = 0.05


class Talk:
    """One pooled connection of another process, seen from both ends."""

    def __init__(self, client: asyncio.subprocess.Process, server: asyncio.StreamWriter, port: int) -> None:
        self._client = client
        self.server = server
        self._sockets = ServerSockets(port)

    async def client(self, steps: str) -> None:
        """Have the client do these steps."""
        await self.begin(steps)
        await self.done()

    async def begin(self, steps: str) -> None:
        """Have the client begin these steps."""
        assert self._client.stdin is not None
        self._client.stdin.write(f"{steps}\n".encode())
        await self._client.stdin.drain()

    async def done(self) -> None:
        """Wait until it has done them."""
        assert self._client.stdout is not None
        assert await self._client.stdout.readline() == b"done\n"

    def busy(self) -> int:
        """Count busy connections."""
        sample = self._sockets.sample()
        assert isinstance(sample, SocketSample), self._sockets.why_not
        return sample.busy


@asynccontextmanager
async def talking() -> AsyncIterator[Talk]:
    """Connect another process to a server here."""
    ends: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.put_nowait(writer)
        while await reader.read(100):
            pass
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, str(port), stdin=pipe, stdout=pipe
    )
    async with server:
        yield Talk(client, await ends.get(), port)
        assert client.stdin is not None
        client.stdin.close()
        assert await client.wait() == 0


@pytest.fixture(autouse=True)
def _short_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets_module, "STREAM_GAP", GAP)


async def test_idle_between_requests() -> None:
    """A pooled connection is busy from a request to its answer, and at no other time."""
    async with talking() as talk:
        await asyncio.sleep(LONGER)
        assert talk.busy() == 0
        for _ in range(2):
            await talk.client("s")
            await asyncio.sleep(LONGER)
            assert talk.busy() == 1
            talk.server.write(b"an answer")
            await talk.client("r")
            await asyncio.sleep(LONGER)
            assert talk.busy() == 0
        await talk.client("c")
        assert talk.busy() == 0


async def test_a_stream_between_chunks() -> None:
    """A connection on which the server goes on sending is busy at every moment."""
    async with talking() as talk:
        await talk.client("s")
        for _ in range(10):
            talk.server.write(b"chunk")
            await talk.client("r")
            assert talk.busy() == 1
            await asyncio.sleep(MOMENT)
            assert talk.busy() == 1
        await asyncio.sleep(LONGER)
        assert talk.busy() == 0


async def test_the_next_request_in_the_tick_of_the_answer() -> None:
    """A client that asks again as soon as it is answered is busy, whatever the ticks of the clock."""
    async with talking() as talk:
        await talk.client("s")
        for _ in range(5):
            await talk.begin("rs")
            talk.server.write(b"an answer")
            await talk.done()
            await asyncio.sleep(LONGER)
            assert talk.busy() == 1
