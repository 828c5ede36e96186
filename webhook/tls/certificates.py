"""Certificates as PEM, read: what they say, which key belongs to them, and whether they verify at a time.

All of it by `cryptography`, without I/O and without a clock: times are given, in seconds since the epoch.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import verification

# What may be asked to sign: both take the same call (Ed25519 would not, and Go and OpenSSL want no others).
SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# How many certificates may stand between leaf and root: OpenSSL's own default (X509_VERIFY_PARAM_set_depth).
MAX_DEPTH: Final = 100

# What `cryptography` raises over certificates of a foreign hand, also long after they were loaded (found by
# flipping bits in good ones).
_FAULTS: Final = (
    ValueError,
    TypeError,
    OverflowError,
    InvalidSignature,
    UnsupportedAlgorithm,
    verification.VerificationError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class CertificateError(ValueError):
    """A certificate or key cannot be used; the message says why, and holds nothing of a key."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says. `fingerprint` is its SHA-256, in hex; times are seconds since the epoch.

    `names` are its DNS names and IP addresses, sorted.
    """

    fingerprint: str
    subject: str
    issuer: str
    not_before: float
    not_after: float
    names: tuple[str, ...]


def split(pem: bytes) -> list[bytes]:
    """Give each certificate of a PEM text on its own, in order; what stands between them is left out."""
    return [block + b"\n" for block in _BLOCK.findall(pem)]


def read(pem: bytes) -> Certificate:
    """Read the first certificate of a PEM text. Raises CertificateError."""
    found = load(pem)
    return Certificate(
        fingerprint=fingerprint(found),
        subject=found.subject.rfc4514_string(),
        issuer=found.issuer.rfc4514_string(),
        not_before=found.not_valid_before_utc.timestamp(),
        not_after=found.not_valid_after_utc.timestamp(),
        names=_names(found),
    )


def plain(pem: bytes) -> bytes:
    """Give the first certificate of a PEM text and nothing else of it. Raises CertificateError."""
    return load(pem).public_bytes(Encoding.PEM)


def bundle(pem: bytes) -> dict[str, bytes]:
    """Give the certificates of a bundle by fingerprint, each once and as plain PEM; unreadable ones left out.

    A published bundle may have been written by anyone: what is not a certificate verifies nothing.
    """
    found = {}
    for block in split(pem):
        try:
            certificate = load(block)
        except CertificateError:
            continue
        found[fingerprint(certificate)] = certificate.public_bytes(Encoding.PEM)
    return found


def check_pair(certificate: bytes, key: bytes) -> None:
    """Check that the key is the first certificate's own. Raises CertificateError."""
    if load(certificate).public_key() != load_key(key).public_key():
        raise CertificateError("certificate and key do not belong together")


def check_authority(certificate: bytes, key: bytes) -> None:
    """Check that certificates can be signed with this pair and be verified by the certificate alone.

    It must be self-signed (OpenSSL takes no other for a root by default: X509_V_FLAG_PARTIAL_CHAIN is off),
    be a CA that may sign certificates, and bound neither the length of chains nor anything else.
    Raises CertificateError.
    """
    check_pair(certificate, key)
    found = load(certificate)
    with told("the CA is not self-signed"):
        found.verify_directly_issued_by(found)
    extensions = {extension.oid: extension.value for extension in found.extensions}
    basic = extensions.get(x509.BasicConstraints.oid)
    usage = extensions.get(x509.KeyUsage.oid)
    if not isinstance(basic, x509.BasicConstraints) or not basic.ca:
        raise CertificateError("the certificate is not one of a CA")
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        raise CertificateError("the CA may not sign certificates")
    if basic.path_length is not None:
        raise CertificateError("the CA bounds the length of chains")
    if bounds := [extension.oid.dotted_string for extension in found.extensions if _bounds(extension)]:
        raise CertificateError(f"the CA bounds what it may sign, by the extensions {', '.join(bounds)}")


def verify(chain: bytes, roots: bytes, now: float, names: Iterable[str]) -> str:
    """Verify a server's chain (leaf first) against a bundle, at a time, for each of the names.

    Gives the fingerprint of the root that was found. As Go and OpenSSL do, it asks of others' certificates no
    more than that they are valid, signed by CAs, and name the server. Raises CertificateError.
    """
    blocks = split(chain)
    if not blocks:
        raise CertificateError("there is no certificate")
    leaf, *between = [load(block) for block in blocks]
    trusted = [load(block) for block in bundle(roots).values()]
    if not trusted:
        raise CertificateError("the bundle holds no certificate")
    wanted = [general_name(name) for name in names]
    if not wanted:
        raise CertificateError("no name to verify for")
    with told("it does not verify"):
        policy = (
            verification.PolicyBuilder()
            .store(verification.Store(trusted))
            .time(datetime.fromtimestamp(now, UTC))
            .max_chain_depth(MAX_DEPTH)
            .extension_policies(ca_policy=_AUTHORITY, ee_policy=_SERVER)
        )
        found = [policy.build_server_verifier(name).verify(leaf, between) for name in wanted]
    return fingerprint(found[0][-1])


def load(pem: bytes) -> x509.Certificate:
    """Load the first certificate of a PEM text, if all of it can be read. Raises CertificateError."""
    with told("not a certificate"):
        found = x509.load_pem_x509_certificate(pem)
        # these are read when they are asked for; Go and OpenSSL have no use for one that has a bad one either
        _ = found.subject, found.issuer, found.public_key(), found.extensions
    return found


@contextmanager
def told(what: str) -> Iterator[None]:
    """Make one CertificateError of all that `cryptography` may raise over data of a foreign hand."""
    try:
        yield
    except CertificateError:
        raise
    except _FAULTS as error:
        found = f": {str(error)[:200]}" if str(error) else ""
        raise CertificateError(f"{what}{found}") from None


def load_key(pem: bytes) -> SigningKey:
    """Load a private key that is not encrypted, of an elliptic curve or RSA. Raises CertificateError."""
    try:
        key = load_pem_private_key(pem, password=None)
    except Exception:  # noqa: BLE001 - ValueError, TypeError, UnsupportedAlgorithm; their texts are not for logs
        raise CertificateError("not a private key, or an encrypted one") from None
    if not isinstance(key, SigningKey):
        raise CertificateError("the private key is neither of an elliptic curve nor RSA")
    return key


def fingerprint(certificate: x509.Certificate) -> str:
    """Give the SHA-256 of a certificate, in hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def general_name(name: str) -> x509.DNSName | x509.IPAddress:
    """Give a host name or an IP address as certificates hold it. Raises CertificateError."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise CertificateError(f"{name!r} is no host name: {error}") from None


def plain_names(names: Iterable[str]) -> tuple[str, ...]:
    """Write names as certificates do: DNS names in small letters, addresses in their short form; sorted."""
    return tuple(sorted({_plain(name) for name in names}))


def _bounds(extension: x509.Extension[x509.ExtensionType]) -> bool:
    """Tell whether an extension of a CA may keep a server's certificate from verifying."""
    if extension.oid in {x509.BasicConstraints.oid, x509.KeyUsage.oid}:
        return False
    return extension.critical or extension.oid in {x509.NameConstraints.oid, x509.ExtendedKeyUsage.oid}


def _plain(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses: Sequence[str] = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return plain_names([*names.get_values_for_type(x509.DNSName), *addresses])


def _may_sign(
    _policy: verification.Policy, _certificate: x509.Certificate, basic: x509.BasicConstraints
) -> None:
    if not basic.ca:
        raise ValueError("not a CA")


_AUTHORITY: Final = verification.ExtensionPolicy.permit_all().require_present(
    x509.BasicConstraints, verification.Criticality.AGNOSTIC, _may_sign
)
_SERVER: Final = verification.ExtensionPolicy.permit_all().require_present(
    x509.SubjectAlternativeName, verification.Criticality.AGNOSTIC, None
)
