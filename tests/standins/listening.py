"""How a stand-in listens: real HTTP on loopback, refused until told to listen, cut when told to die."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import time
from typing import Final

from aiohttp import web

BACKLOG: Final = 128
CUT: Final = 0.001  # aiohttp takes 0 for no limit
_SECONDS: Final = 30.0


class Listener:
    """One aiohttp application on one loopback address and port.

    The port is bound at once and kept to the end, without listening: until `listen` a client is refused, as
    by a vLLM that loads its model (`setup_server` in vLLM's launcher.py binds early and listens late).
    `port` 0 takes a free one. `keepalive` is how long an idle connection is kept, in seconds. `tls`: HTTPS.
    """

    def __init__(
        self,
        app: web.Application,
        host: str = "127.0.0.1",
        port: int = 0,
        keepalive: float = 75.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self._app = app
        self._keepalive = keepalive
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._reserved = _bound(host, port)
        self.port: int = self._reserved.getsockname()[1]

    @property
    def url(self) -> str:
        """`http://HOST:PORT` (or https), with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def listening(self) -> bool:
        """Whether connections are accepted now."""
        return self._runner is not None

    async def listen(self) -> None:
        """Accept connections from now on. Nothing happens if it does already."""
        if self._runner is not None:
            return
        runner = web.AppRunner(
            self._app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=self._keepalive,
            shutdown_timeout=CUT,
            handler_cancellation=True,
        )
        await runner.setup()
        await web.SockSite(runner, self._reserved, backlog=BACKLOG, ssl_context=self._tls).start()
        self._runner = runner

    async def refuse(self) -> None:
        """Stop listening and cut every open connection at once; `listen` may follow."""
        if await self._end():
            self._reserved = await self._bound_again()

    async def stop_accepting(self) -> None:
        """Refuse new connections; those that are open live on."""
        if self._runner is not None:
            await let_in(self._reserved.fileno())
            for site in tuple(self._runner.sites):
                await site.stop()

    async def close(self) -> None:
        """End for good and free the port."""
        await self._end()
        self._reserved.close()

    async def _end(self) -> bool:
        """Cut everything, if there is anything to cut; tell whether there was."""
        runner, self._runner = self._runner, None
        if runner is None:
            return False
        await let_in(self._reserved.fileno())
        await runner.cleanup()
        return True

    async def _bound_again(self) -> socket.socket:
        """Bind the port once more: a process that another thread is just starting has it open for a moment.

        Between fork and exec (fcntl(2), FD_CLOEXEC).
        """
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                return _bound(self.host, self.port)
            await asyncio.sleep(0.01)
        return _bound(self.host, self.port)


async def let_in(*listening: int) -> None:
    """Accept nothing more (`listening` are files), and let those in that are accepted.

    Asyncio forgets them when it closes now: `_accept_connection2` in its selector_events.py takes a moment,
    and `Server._attach` then refuses.
    """
    for file in listening:
        if file >= 0:
            asyncio.get_running_loop().remove_reader(file)
    # to be accepted, to be made, to be taken
    for _ in range(3):
        await asyncio.sleep(0)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def free_port(host: str, preferred: int = 0) -> int:
    """Give the preferred port if nothing listens on it at this address, else a free one.

    Below the range that the kernel takes where no port is asked for, and below what the peers take: nobody
    else gets it before who is meant to.
    """
    others = random.sample(range(12_000, 20_000), 1_000)
    for port in (preferred, *others) if preferred else others:
        with contextlib.suppress(OSError), _bound(host, port):
            return port
    raise OSError(f"no free port on {host}")
