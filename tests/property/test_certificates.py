"""Certificates of a foreign hand: whatever is in them, they are read, or refused by the one error."""

from __future__ import annotations

import base64
import contextlib
import warnings
from collections.abc import Callable

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import load_pem_x509_certificate
from hypothesis import given
from hypothesis import strategies as st

from webhook.tls import certificates, issue
from webhook.tls.certificates import CertificateError
from webhook.tls.issue import Pair

NOW = 1_800_000_000.0
CA = issue.new_ca("tests", NOW - 1, NOW + 1e7)
LEAF = issue.new_leaf(CA, ["registrar.apps.svc"], NOW - 1, NOW + 1e6)
FLIPS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 7)), min_size=1, max_size=4)


def flipped(pair: Pair, flips: list[tuple[int, int]]) -> bytes:
    """Give the pair's certificate with some bits of it flipped."""
    der = bytearray(load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER))
    for at, bit in flips:
        der[at % len(der)] ^= 1 << bit
    return b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % base64.encodebytes(der)


def attempts(bad: bytes, pair: Pair) -> list[Callable[[], object]]:
    """Give all that is done with certificates that others wrote."""
    return [
        lambda: certificates.read(bad),
        lambda: certificates.check_pair(bad, pair.key),
        lambda: certificates.check_authority(bad, pair.key),
        lambda: certificates.verify(bad, bad + CA.certificate, NOW, ["registrar.apps.svc"]),
        lambda: certificates.verify(LEAF.certificate + bad, bad, NOW, ["registrar.apps.svc"]),
        lambda: issue.new_leaf(Pair(bad, pair.key), ["registrar.apps.svc"], NOW - 1, NOW + 1),
    ]


@given(st.sampled_from([CA, LEAF]), FLIPS)
def test_flipped_bits_raise_one_error_or_none(pair: Pair, flips: list[tuple[int, int]]) -> None:
    """What can be in a bundle can also be read: a bundle of rubbish stops nobody."""
    bad = flipped(pair, flips)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # of a negative serial number, say
        for text in certificates.bundle(bad + CA.certificate).values():
            certificates.read(text)
        for attempt in attempts(bad, pair):
            with contextlib.suppress(CertificateError):
                attempt()
