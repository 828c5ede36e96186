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
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

# A pair that begins later than now may come from a clock that is ahead of ours; it is taken up to this.
_CLOCK_OFF: Final = timedelta(hours=1)
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


class BadPairError(ValueError):
    """A certificate and a key that cannot be served: what was found. Nothing of the key is in it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its chain (leaf first) and the leaf's key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


class Live:
    """What a listener serves now: `pair`, whose certificate ends at `ends`.

    `context` is for the listener, all its life. Without a pair yet every handshake is refused. May be used
    from any thread.
    """

    def __init__(self) -> None:
        self.context = _context()
        self.context.sni_callback = self._choose
        self.pair: Pair | None = None
        self.ends = _LONG_AGO
        self._chosen: ssl.SSLContext | None = None

    def use(self, pair: Pair, now: datetime, names: Collection[str] = ()) -> None:
        """Serve this pair from the next handshake on.

        `names` are host names and IP addresses it must be for. Raises BadPairError if it cannot be served;
        then everything is as it was.
        """
        try:
            leaf = _leaf(pair)
            _check_key(pair, leaf)
            _check(leaf, now, names)
            chosen = _loaded(pair)
        except BadPairError:
            raise
        except Exception as error:  # noqa: BLE001 - bytes of anyone: libraries fail on them in any way
            raise BadPairError(f"the pair cannot be read ({type(error).__name__})") from None
        self._chosen, self.pair, self.ends = chosen, pair, leaf.not_valid_after_utc

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _own: ssl.SSLContext) -> int | None:
        # Called in every handshake, also without a name in it (an API server that calls by IP sends none).
        if self._chosen is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._chosen
        return None


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _leaf(pair: Pair) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(pair.certificate)[0]
    except ValueError:
        raise BadPairError("the certificate is not PEM, or not whole") from None


def _check(leaf: x509.Certificate, now: datetime, names: Collection[str]) -> None:
    if leaf.not_valid_after_utc <= now:
        raise BadPairError(f"the certificate has ended at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%SZ}")
    if leaf.not_valid_before_utc > now + _CLOCK_OFF:
        raise BadPairError(f"the certificate begins only at {leaf.not_valid_before_utc:%Y-%m-%d %H:%M:%SZ}")
    if missing := set(names) - _names(leaf):
        raise BadPairError(f"the certificate is not for {', '.join(sorted(missing))}")


def _names(leaf: x509.Certificate) -> set[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    }


def _check_key(pair: Pair, leaf: x509.Certificate) -> None:
    try:
        key = load_pem_private_key(pair.key, password=None)
    except TypeError:
        raise BadPairError("the key has a passphrase") from None
    except ValueError:
        raise BadPairError("the key is not PEM, or not whole") from None
    if key.public_key() != leaf.public_key():
        raise BadPairError("the key is not the certificate's")


def _loaded(pair: Pair) -> ssl.SSLContext:
    """Give a context with this pair. The key is in memory only: Python's ssl reads files and nothing else."""
    context = _context()
    file = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(file), "wb") as content:
            content.write(pair.certificate + b"\n" + pair.key)
        # an empty passphrase, or OpenSSL might ask for one on the terminal
        context.load_cert_chain(f"/proc/self/fd/{file}", password="")
    except ssl.SSLError as error:
        raise BadPairError(f"OpenSSL does not take the pair: {error.reason}") from None
    finally:
        os.close(file)
    return context
