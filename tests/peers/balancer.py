"""What a Service does for connections: each goes to one of the processes behind it that take it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.standins.listening import let_in

ADDRESS = "127.0.0.1"
# Seconds for what was sent to be taken, when the other end has closed.
_FLUSH = 1.0


class Balancer:
    """A port in front of others on loopback, its `ports` of the moment; `connections` taken so far.

    `carried` tells how many connections there are now to each of the ports.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = 0
        self.connections = 0
        self.ports = [*ports]
        self.carried: Counter[int] = Counter()
        self._turn = itertools.count()
        self._taken: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either end closes it."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._taken[task] = writer
        try:
            # asyncio's streams ask a task that has ended for its exception, a cancelled one too (3.11)
            with contextlib.suppress(asyncio.CancelledError):
                await self._carry(reader, writer)
        finally:
            del self._taken[task]
            await _close(writer)

    async def end(self) -> None:
        """End every connection."""
        while taken := [*self._taken]:
            for task in taken:
                task.cancel()
            await asyncio.gather(*taken, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = next(self._turn) % max(len(self.ports), 1)
        for port in (*self.ports[first:], *self.ports[:first]):
            try:
                back = await asyncio.open_connection(ADDRESS, port)
            except ConnectionRefusedError:
                continue
            ways = [
                asyncio.create_task(_carry(reader, back[1])),
                asyncio.create_task(_carry(back[0], writer)),
            ]
            self.carried[port] += 1
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.carried[port] -= 1
                for way in ways:
                    way.cancel()
                await _close(back[1])
            return


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(_FLUSH):
            await writer.wait_closed()
    except (OSError, TimeoutError, asyncio.CancelledError):  # broken off, nobody reads, or all of it ends
        writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def balancer(ports: Sequence[int]) -> AsyncIterator[Balancer]:
    """Balance while inside."""
    it = Balancer(ports)
    async with listening(it):
        yield it


@asynccontextmanager
async def listening(it: Balancer) -> AsyncIterator[None]:
    """Have it take connections while inside, on a port of its own; then those in hand end."""
    server = await asyncio.start_server(it.take, ADDRESS, 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        await let_in(*(sock.fileno() for sock in server.sockets))
        server.close()
        await it.end()
