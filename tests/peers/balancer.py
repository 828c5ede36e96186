"""What a Service does for connections: each goes to one of the processes behind it that take it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

ADDRESS = "127.0.0.1"


class Balancer:
    """A port in front of others on loopback; `connections` have been taken so far."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = 0
        self.connections = 0
        self._ports = ports
        self._turn = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either end closes it."""
        self.connections += 1
        first = next(self._turn)
        for number in range(len(self._ports)):
            try:
                back = await asyncio.open_connection(
                    ADDRESS, self._ports[(first + number) % len(self._ports)]
                )
            except ConnectionRefusedError:
                continue
            ways = [
                asyncio.create_task(_carry(reader, back[1])),
                asyncio.create_task(_carry(back[0], writer)),
            ]
            self._tasks.update(ways)
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                self._tasks.difference_update(ways)
                back[1].close()
            break
        writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def balancer(ports: Sequence[int]) -> AsyncIterator[Balancer]:
    """Balance while inside."""
    it = Balancer(ports)
    server = await asyncio.start_server(it.take, ADDRESS, 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
