"""The certificate from files that something else renews: a mounted Secret of cert-manager, or anyone's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from webhook.flags import SettingsError
from webhook.log import Log
from webhook.tls.alarm import Alarm
from webhook.tls.certificates import CertificateError
from webhook.tls.issue import Pair
from webhook.tls.live import Live, written
from webhook.tls.metrics import TlsMetrics

# How often the files are looked at (seconds). The kubelet takes up to a minute to renew a mounted Secret.
_LOOK_EVERY: Final = 5.0


class PairFiles:
    """Two files, followed by their paths: the kubelet renews a mounted Secret by swapping a symlink.

    The files cannot be read at one instant, so what is bad may be two halves of two good pairs: it counts as
    bad only if it still is at the next look. The last good pair is served until there is another one.
    """

    def __init__(
        self,
        certificate: str,
        key: str,
        live: Live,
        log: Log,
        metrics: TlsMetrics,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._certificate = Path(certificate)
        self._key = Path(key)
        self._live = live
        self._log = log
        self._metrics = metrics
        self._now = now
        self._suspected = False
        self._told: tuple[Pair | None, str] | None = None
        self._ended = Alarm(log, "A certificate that has not ended is served again")

    def load(self) -> None:
        """Take the pair at the start. Raises SettingsError if it cannot be served."""
        try:
            self._take(self._read())
        except CertificateError as error:
            problem = (
                f"--tls-cert {str(self._certificate)!r}, --tls-key {str(self._key)!r}: found: {error}; "
                "allowed: PEM files that belong together, of a certificate that has not ended, the key "
                "without a passphrase"
            )
            raise SettingsError([problem]) from None

    def look(self) -> None:
        """Take up a change; say what stays bad, each problem once."""
        pair: Pair | None = None
        try:
            pair = self._read()
            if pair != self._live.pair:
                self._take(pair)
                self._say_taken()
        except CertificateError as error:
            if self._suspected:
                self._keep(pair, str(error))
            self._suspected = True
        else:
            self._suspected, self._told = False, None
        self._say_ended()

    async def run(self) -> None:
        """Look until cancelled, in a thread: a slow disk does not hold up requests."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            await asyncio.to_thread(self.look)

    def _read(self) -> Pair:
        contents = []
        for what, path in (("certificate", self._certificate), ("key", self._key)):
            try:
                contents.append(path.read_bytes())
            except OSError as error:
                raise CertificateError(f"the {what} cannot be read: {error.strerror or error}") from None
        return Pair(*contents)

    def _take(self, pair: Pair) -> None:
        self._live.use(pair, self._now())
        self._metrics.ends("leaf", self._live.ends)

    def _say_taken(self) -> None:
        self._log.say(
            "TLS",
            "The changed certificate is served from now on",
            file=str(self._certificate),
            ends=written(self._live.ends),
        )

    def _keep(self, pair: Pair | None, problem: str) -> None:
        if self._told == (pair, problem):
            return
        self._told = pair, problem
        self._metrics.bad_pairs.inc()
        self._log.say(
            "PROBLEM",
            f"The changed files of --tls-cert and --tls-key are not taken, the last good pair is served: "
            f"{problem}",
            file=str(self._certificate),
        )

    def _say_ended(self) -> None:
        now = self._now()
        if now < self._live.ends:
            self._ended.silence()
            return
        self._ended.sound(
            "The certificate that is served has ended, clients refuse it: renew the files of --tls-cert and "
            "--tls-key",
            now,
            file=str(self._certificate),
            ended=written(self._live.ends),
        )
