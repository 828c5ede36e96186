"""The way from registrars to the brokers, byte by byte: it may be cut, silent, slow, or somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final

from tests.peers.balancer import ADDRESS, Balancer, listening

_LATE: Final = 2.0


class Mode(StrEnum):
    """What becomes of connections."""

    THROUGH = "through"
    CUT = "cut"
    SILENT = "silent"
    TRUNCATED = "truncated"
    LATE = "late"
    IMPOSTOR = "impostor"


class Wire(Balancer):
    """A balancer that can be changed: `mode` is for new connections, and ends those that there are."""

    def __init__(self, ports: Sequence[int]) -> None:
        super().__init__(ports)
        self.mode = Mode.THROUGH
        # Shows this certificate while it is an impostor.
        self.impostor: ssl.SSLContext | None = None

    async def change(self, mode: Mode) -> None:
        """Treat connections so from now on."""
        self.mode = mode
        for task, writer in tuple(self._taken.items()):
            writer.transport.abort()
            task.cancel()  # a handshake that is begun with it never ends

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection as the mode says."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._treat(reader, writer)

    async def _treat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode is Mode.CUT:
            writer.transport.abort()
        elif self.mode is Mode.SILENT:
            await asyncio.sleep(3600)
        elif self.mode is Mode.IMPOSTOR and self.impostor is not None:
            await writer.start_tls(self.impostor)
            await reader.read()
        elif self.mode in (Mode.TRUNCATED, Mode.LATE):
            await self._carry_badly(reader, writer)
        else:
            await super()._carry(reader, writer)

    async def _carry_badly(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry the request whole, and of what comes after it half, or all of it late."""
        back = await self._connect()
        asked = asyncio.Event()
        forth = asyncio.create_task(self._ask(reader, back[1], asked))
        try:
            while data := await back[0].read(65536):
                if asked.is_set() and self.mode is Mode.TRUNCATED:
                    writer.write(data[: len(data) // 2])
                    return
                if asked.is_set():
                    await asyncio.sleep(_LATE)
                writer.write(data)
                await writer.drain()
        finally:
            forth.cancel()
            back[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for port in self.ports:
            with contextlib.suppress(ConnectionRefusedError):
                return await asyncio.open_connection(ADDRESS, port)
        raise ConnectionRefusedError

    @staticmethod
    async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event) -> None:
        """Carry what the client says: a hello, the end of the handshake, and then its request (RFC 8446)."""
        said = 0
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                said += 1
                writer.write(data)
                await writer.drain()
                if said > 1:
                    asked.set()


@asynccontextmanager
async def wire(ports: Sequence[int]) -> AsyncIterator[Wire]:
    """Balance while inside."""
    made = Wire(ports)
    async with listening(made):
        yield made
