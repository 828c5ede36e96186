"""What every process that serves shares: its ports, the requests in hand, signals, a stop that loses none."""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from webhook.log import Log, traced

# A large object is thousands of dicts, none of them garbage; at the default of 700 new objects the collector
# would walk them several times per request (measured: a sixth of the time of a 76 kB review).
_COLLECT_EVERY: Final = 10_000
# The API server keeps its few connections for as long as it is let (seconds; aiohttp's own default).
_KEEPALIVE: Final = 3630.0
# aiohttp's own wait for answers that are being written when everything else has ended (seconds).
_WRITE_TIMEOUT: Final = 1.0


class InHand:
    """Counts the requests that have begun and are not yet answered; `idle` is set while there are none.

    (aiohttp's own graceful stop drops what still comes in of a body that it has begun to read.)
    """

    def __init__(self) -> None:
        self.count = 0
        self.idle = asyncio.Event()
        self.idle.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one request for as long as it takes."""
        self.count += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.count -= 1
            if not self.count:
                self.idle.set()


class Port:
    """One web application on one port of its own, with TLS if there is a context.

    `flag` is the setting that its number comes from, for errors. `keepalive` is for how long a connection may
    be idle between two requests, in seconds.
    """

    def __init__(self, app: web.Application, flag: str, keepalive: float = _KEEPALIVE) -> None:
        self._flag = flag
        # No client of ours compresses; without auto_decompress there is nothing to bomb.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=keepalive,
            shutdown_timeout=_WRITE_TIMEOUT,
        )

    @property
    def address(self) -> str:
        """Where it listens, like `127.0.0.1:8443`; the first of several sockets."""
        host, port = self._runner.addresses[0][:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        """Listen; no host is every interface, port 0 a free one. Raises OSError (not to be had)."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host or None, port, ssl_context=context).start()
        except OSError as error:
            raise OSError(f"--listen-address {host!r}, {self._flag} {port}: {error}") from error

    @property
    def connections(self) -> list[web.RequestHandler]:
        """Those that are open now; a request's is its `protocol`."""
        return self._runner.server.connections if self._runner.server else []

    async def refuse(self) -> None:
        """Take no new connection; what is in hand goes on."""
        for site in tuple(self._runner.sites):
            await site.stop()

    async def close(self) -> None:
        """Close at once; what is in hand has a second to be written."""
        await self._runner.cleanup()


def health(metrics: Callable[[], bytes], unready: Callable[[], str]) -> web.Application:
    """Give /healthz (alive), /metrics, and /readyz: 503 with the word of `unready` unless that is empty."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        word = unready()
        return web.Response(status=503, text=f"{word}\n") if word else web.Response(text="ok\n")

    async def metrics_text(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics_text)
    return app


async def wind_down(port: Port, in_hand: InHand, *, delay: float, most: float, hurry: asyncio.Event) -> int:
    """Let endpoints notice for `delay` (until `hurry` is set), refuse, and let what is in hand end.

    Gives how many requests are still in hand after at `most` so many seconds.
    """
    await _within(delay, hurry.wait())
    await port.refuse()
    await _within(most, in_hand.idle.wait())
    return in_hand.count


def started(parts: Mapping[str, Coroutine[Any, Any, None]], log: Log) -> list[asyncio.Task[None]]:
    """Run the parts of a process beside what it answers, by name; one that ends by an error is said."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            log.say(
                "FAILED",
                f"A part of the process has ended by an error of its own: {task.get_name()}",
                error=type(error).__name__,
                at=traced(error),
            )

    tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    for task in tasks:
        task.add_done_callback(ended)
    return tasks


class Stoppable(Protocol):
    """A server as `until_stopped` runs it."""

    async def start(self) -> None:
        """Serve from now on."""

    async def stop(self, hurry: asyncio.Event) -> None:
        """End without losing a request; `hurry`: without waiting for endpoints."""


async def until_stopped(server: Stoppable) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the wait for endpoints. Raises what `start` raises."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await server.start()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, *gc.get_threshold()[1:])
    await stop.wait()
    await server.stop(hurry)


async def _within(seconds: float, what: Awaitable[object]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(what, seconds)
