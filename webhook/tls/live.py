"""The certificate of a listener, changed while it listens.

The listener's own context never holds a pair. Each new pair is loaded into a context of its own, and only if
everything about it is right do the handshakes from then on go by that context; connections that are open
keep what they began with. (Loading into one live context is worse in two ways: after a pair that does not
belong together its handshakes fail, facts in `tests/unit/test_live.py`; and OpenSSL keeps a certificate for
each type of key, so that after a change from RSA to ECDSA some clients would still get the old one.)
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from webhook.tls.certificates import Certificate, CertificateError, check_pair, plain_names, read
from webhook.tls.issue import Pair

# A pair that begins later than now may come from a clock that is ahead of ours; it is taken up to this
# (seconds).
_CLOCK_OFF: Final = 3600


class Live:
    """What a listener serves now: `pair`, whose certificate ends at `ends` (seconds since 1970).

    `context` is for the listener, all its life. Without a pair yet every handshake is refused. May be used
    from any thread.
    """

    def __init__(self) -> None:
        self.context = _context()
        self.context.sni_callback = self._choose
        self.pair: Pair | None = None
        self.ends = 0.0
        self._chosen: ssl.SSLContext | None = None

    def use(self, pair: Pair, now: float, names: Collection[str] = ()) -> None:
        """Serve this pair from the next handshake on.

        `names` are host names and IP addresses it must be for. Raises CertificateError if it cannot be
        served; then everything is as it was.
        """
        leaf = read(pair.certificate)
        check_pair(pair.certificate, pair.key)
        _check(leaf, now, names)
        chosen = _loaded(pair)
        self._chosen, self.pair, self.ends = chosen, pair, leaf.not_after

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _own: ssl.SSLContext) -> int | None:
        # Called in every handshake, also without a name in it (an API server that calls by IP sends none).
        if self._chosen is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._chosen
        return None


def written(time: float) -> str:
    """Write a time (seconds since 1970) into a message."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _check(leaf: Certificate, now: float, names: Collection[str]) -> None:
    if leaf.not_after <= now:
        raise CertificateError(f"the certificate has ended at {written(leaf.not_after)}")
    if leaf.not_before > now + _CLOCK_OFF:
        raise CertificateError(f"the certificate begins only at {written(leaf.not_before)}")
    if missing := set(plain_names(names)) - set(leaf.names):
        raise CertificateError(f"the certificate is not for {', '.join(sorted(missing))}")


def _loaded(pair: Pair) -> ssl.SSLContext:
    """Give a context with this pair. The key is in memory only: Python's ssl reads files and nothing else."""
    context = _context()
    try:
        file = os.memfd_create("pair", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(file), "wb") as content:
                content.write(pair.certificate + b"\n" + pair.key)
            # an empty passphrase, or OpenSSL might ask for one on the terminal
            context.load_cert_chain(f"/proc/self/fd/{file}", password="")
        finally:
            os.close(file)
    except OSError as error:  # ssl.SSLError is one
        raise CertificateError(f"the pair cannot be loaded: {error.strerror or error}") from None
    return context
