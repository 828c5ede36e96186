"""Starts the two ports, waits for a signal, stops without losing a request."""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from aiohttp import web

from webhook.app import Admission, App
from webhook.config import ConfigError
from webhook.defaults_file import defaults_file
from webhook.flags import SettingsError
from webhook.followed_file import FollowedFile
from webhook.log import Log
from webhook.metrics import Metrics
from webhook.policy_file import policy_file
from webhook.settings import Settings

# A large pod is thousands of dicts, none of them garbage; at the default of 700 new objects the collector
# would walk them several times per review (measured: a sixth of the time of a 76 kB review).
_COLLECT_EVERY: Final = 10_000
# aiohttp's own wait for answers that are being written when everything else has ended (seconds).
_WRITE_TIMEOUT: Final = 1.0


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """Load the pair; TLS 1.2 and newer. Raises SettingsError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # an empty passphrase, or OpenSSL would ask for one on the terminal
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:  # ssl.SSLError is one
        problem = (
            f"--tls-cert {certificate!r}, --tls-key {key!r}: found {error.strerror or error}; allowed: "
            "readable PEM files that belong together, the key without a passphrase"
        )
        raise SettingsError([problem]) from None
    return context


class Server:
    """The webhook on its two ports."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        metrics = Metrics()
        admission = Admission(settings.injection, log, settings.on_error, metrics=metrics)
        self._app = App(admission, log, metrics)
        self._files: dict[str, FollowedFile[Any]] = {
            "defaults": defaults_file(settings.defaults, log, admission.use),
            "policy": policy_file(settings.policy, log, admission.hold),
        }
        for name, file in self._files.items():
            if getattr(settings, name):
                metrics.follow(name, partial(getattr, file, "good"))
        self._follows: list[asyncio.Task[None]] = []
        self._reviews = _runner(self._app.reviews())
        self._health = _runner(self._app.health())

    @property
    def address(self) -> str:
        """Where reviews are answered, like `127.0.0.1:8443`; the first of several sockets."""
        return _address(self._reviews)

    @property
    def health_address(self) -> str:
        """Where health is answered."""
        return _address(self._health)

    @property
    def in_hand(self) -> int:
        """How many reviews have begun and are not yet answered."""
        return self._app.in_hand

    async def start(self) -> None:
        """Listen on both ports.

        Raises SettingsError (bad certificate, defaults or policy), OSError (port not to be had).
        """
        settings = self._settings
        context = tls_context(settings.tls_cert, settings.tls_key)
        self._load()
        try:
            await self._listen(self._reviews, "--port", settings.port, context)
            await self._listen(self._health, "--health-port", settings.health_port)
        except OSError:
            await self.close()
            raise
        self._follows = [asyncio.create_task(file.follow(), name=name) for name, file in self._files.items()]
        self._log.say(
            "STARTED",
            "Admission reviews are answered",
            address=self.address,
            health=self.health_address,
            cluster=settings.cluster_id,
            image=settings.registrar_image,
            mode=settings.inject_mode,
            policy=settings.policy or None,
        )

    def _load(self) -> None:
        problems: list[str] = []
        for name, file in self._files.items():
            try:
                file.load()
            except ConfigError as error:
                problems += [f"--{name} {getattr(self._settings, name)!r}: {text}" for text in error.problems]
        if problems:
            raise SettingsError(problems)

    async def _listen(
        self, runner: web.AppRunner, flag: str, port: int, context: ssl.SSLContext | None = None
    ) -> None:
        host = self._settings.listen_address
        await runner.setup()
        try:
            await web.TCPSite(runner, host or None, port, ssl_context=context).start()
        except OSError as error:
            raise OSError(f"--listen-address {host!r}, {flag} {port}: {error}") from error

    async def close(self) -> None:
        """Close both ports at once; what is in hand has a second to be written."""
        for task in self._follows:
            task.cancel()
        if self._follows:
            await asyncio.wait(self._follows)
        await self._reviews.cleanup()
        await self._health.cleanup()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Be unready, let endpoints notice (until `hurry` is set), then end what is in hand and stop."""
        self._app.stopping = True
        self._log.say("STOPPING", "Not ready any more; reviews are still answered", in_hand=self.in_hand)
        await _within(self._settings.stop_delay, hurry.wait())
        for site in self._reviews.sites:
            await site.stop()
        await _within(self._settings.stop_timeout, self._app.idle.wait())
        cut = self.in_hand
        await self.close()
        if cut:
            self._log.say("STOPPED", "Reviews in hand were cut", cut=cut)
        else:
            self._log.say("STOPPED", "Every review in hand was answered")


def _runner(app: web.Application) -> web.AppRunner:
    # The API server never compresses; without auto_decompress there is nothing to bomb.
    return web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=_WRITE_TIMEOUT)


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _within(seconds: float, what: Awaitable[object]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(what, seconds)


async def serve(settings: Settings, log: Log) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the wait for endpoints."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    server = Server(settings, log)
    await server.start()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, *gc.get_threshold()[1:])
    await stop.wait()
    await server.stop(hurry)
