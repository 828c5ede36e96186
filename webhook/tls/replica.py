"""What every replica does with a Secret of certificates: serve its leaf, and see whether clients take it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from webhook.log import Log
from webhook.tls import certificates, secret
from webhook.tls.alarm import Alarm
from webhook.tls.certificates import CertificateError
from webhook.tls.issue import Pair
from webhook.tls.live import Live, written
from webhook.tls.metrics import OwnMetrics
from webhook.tls.publication import Place
from webhook.tls.secret import Held

# Without a certificate for so long (seconds) it is said that there is none: a new Secret takes a moment.
_PATIENCE: Final = 5.0
# Seconds for which it counts that clients do not take it yet: whoever publishes may be away.
_PUBLISHED_WITHIN: Final = 30.0
_UNVERIFIED: Final = (
    "The certificate that is served does not verify against what is published, clients refuse it"
)


class Replica:
    """Serves from the Secret as it was last seen; without one, or with a bad one, what it serves already.

    `names` are those that clients call it by.
    """

    def __init__(
        self,
        live: Live,
        names: Sequence[str],
        log: Log,
        metrics: OwnMetrics,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._live = live
        self._names = names
        self._log = log
        self._metrics = metrics
        self._now = now
        self._began = now()
        self._held: Held | None = None
        self._places: Sequence[Place] = ()
        self._refused: tuple[Pair, str] | None = None
        self._told: frozenset[str] = frozenset()
        self._taken = False
        self._none = Alarm(log, "There is a certificate to serve")
        self._unverified = Alarm(
            log, "The certificate that is served verifies again against what is published"
        )

    @property
    def unpublished(self) -> bool:
        """Tell whether clients cannot take what is served yet: at the start, and then no more.

        A Secret that an earlier installation left is served at once, its CA is not published at once.
        """
        return not self._taken and self._now() < self._began + _PUBLISHED_WITHIN

    def take(self, found: dict[str, Any] | None) -> Held:
        """Serve from this Secret from now on; None: there is none. Gives what can be used of it."""
        if found is None and self._held is not None:
            self._log.say("PROBLEM", "The Secret of certificates is gone; what it held is served on")
        held = secret.read(found)
        self._tell(held)
        if found is not None:
            self._held = held
        if held.ca:
            self._metrics.ends("ca", certificates.read(held.ca.certificate).not_after)
        self.serve()
        return held

    def look(self, places: Sequence[Place] | None) -> None:
        """Serve and judge by what is published there now; None: that cannot be told, what was counts."""
        if places is not None:
            self._places = places
        self.serve()
        if self._judge() and places is not None:
            self._taken = True

    def serve(self) -> None:
        """Serve the Secret's leaf if that is not done yet; what cannot be served is said and counted once."""
        leaf = self._held.leaf if self._held else None
        if self._held is None or leaf is None or leaf == self._live.pair:
            return
        now = self._now()
        try:
            _check(self._held, now)
            if self._waits(leaf, now):
                return
            # one of other names only where there is nothing better: a Secret of before the names changed
            self._live.use(leaf, now, self._names if self._live.ends > now else ())
        except CertificateError as error:
            self._refuse(leaf, str(error))
            return
        self._refused = None
        self._metrics.ends("leaf", self._live.ends)
        self._log.say("TLS", "This certificate is served from now on", ends=written(self._live.ends))

    def _waits(self, leaf: Pair, now: float) -> bool:
        """Tell whether clients would refuse this one and take the one that is served.

        Somebody put a CA and its leaf into the Secret by hand: that is served when it is published.
        """
        pair = self._live.pair
        return (
            pair is not None
            and bool(self._unverified_at(leaf, now)[0])
            and not self._unverified_at(pair, now)[0]
        )

    def _judge(self) -> bool:
        """See whether what is served verifies where it is published, say it if not, and tell."""
        now, pair = self._now(), self._live.pair
        if pair is None:
            if now - self._began >= _PATIENCE:
                self._none.sound("There is no certificate to serve yet; not ready until there is", now)
            return False
        self._none.silence()
        problem, where = self._unverified_at(pair, now)
        self._metrics.verifies.set(not problem)
        if problem:
            self._unverified.sound(f"{_UNVERIFIED}: {problem}", now, where=where)
        else:
            self._unverified.silence()
        return not problem

    def _unverified_at(self, pair: Pair, now: float) -> tuple[str, str]:
        """Give what is wrong, and one place where it is; of places with the same bundle one is looked at."""
        for bundle, where in {b"".join(place.bundle.values()): place.where for place in self._places}.items():
            try:
                certificates.verify(pair.certificate, bundle, now, self._names)
            except CertificateError as error:
                return str(error), where
        return "", ""

    def _refuse(self, leaf: Pair, problem: str) -> None:
        if self._refused == (leaf, problem):
            return
        self._refused = leaf, problem
        self._metrics.bad_pairs.inc()
        kept = "the last good one is served on" if self._live.pair else "there is none to serve"
        self._log.say("PROBLEM", f"The Secret's certificate cannot be served, {kept}: {problem}")

    def _tell(self, held: Held) -> None:
        for problem in held.problems:
            if problem not in self._told:
                self._metrics.bad_pairs.inc()
                self._log.say("PROBLEM", f"Of the Secret of certificates this cannot be used: {problem}")
        self._told = frozenset(held.problems)


def _check(held: Held, now: float) -> None:
    if held.state(now).leaf is None:
        raise CertificateError("the certificate does not verify against the Secret's own bundle")
