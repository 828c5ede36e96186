"""Making keys and certificates: CAs, servers' leaves, and cross certificates. ECDSA P-256, PEM.

Times are seconds since the epoch. Only what is random comes from outside: keys and serial numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webhook.tls.certificates import (
    CertificateError,
    SigningKey,
    check_pair,
    general_name,
    load,
    load_key,
    told,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate, maybe with others behind it, and its key; both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


def new_ca(name: str, not_before: float, not_after: float) -> Pair:
    """Make a self-signed CA. Its name ends with some letters of its key, so that no two are alike."""
    key = _new_key()
    identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    subject = _name(f"{name[:44]} CA {identity.digest.hex()[:8]}")
    certificate = _authority(subject, subject, key, not_before, not_after).sign(key, hashes.SHA256())
    return _pair(certificate, key)


def new_leaf(ca: Pair, names: Iterable[str], not_before: float, not_after: float) -> Pair:
    """Make a server's certificate for DNS names and IP addresses, signed by `ca`.

    It never ends after its CA. Raises CertificateError if `ca` cannot sign, has ended, or there is no name.
    """
    issuer, signer = _signer(ca)
    sans = [general_name(name) for name in names]
    if not sans:
        raise CertificateError("a server's certificate needs a name")
    key = _new_key()
    end = min(not_after, issuer.not_valid_after_utc.timestamp())
    with told("no certificate can be made"):
        builder = _builder(_name("litellm-registrar"), issuer.subject, key, not_before, end)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .add_extension(_identity_of(issuer), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return _pair(certificate, key)


def cross(older: Pair, newer: Pair) -> bytes:
    """Sign the newer CA's name and key with the older CA: who trusts only the older verifies by it (PEM).

    It is valid while both are. Raises CertificateError if `older` cannot sign.
    """
    issuer, signer = _signer(older)
    subject = load(newer.certificate)
    certificate = (
        _authority(
            subject.subject,
            issuer.subject,
            load_key(newer.key),
            max(cert.not_valid_before_utc.timestamp() for cert in (issuer, subject)),
            min(cert.not_valid_after_utc.timestamp() for cert in (issuer, subject)),
        )
        .add_extension(_identity_of(issuer), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)


def _signer(ca: Pair) -> tuple[x509.Certificate, SigningKey]:
    check_pair(ca.certificate, ca.key)
    return load(ca.certificate), load_key(ca.key)


def _authority(
    subject: x509.Name, issuer: x509.Name, key: SigningKey, not_before: float, not_after: float
) -> x509.CertificateBuilder:
    """Begin a CA's certificate. Chains behind it have any length: each change of CA makes them one longer."""
    return (
        _builder(subject, issuer, key, not_before, not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs=True), critical=True)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: SigningKey, not_before: float, not_after: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(not_after, UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _identity_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Name the issuer's key as its own certificate does: OpenSSL holds the two against each other."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate=certificate.public_bytes(Encoding.PEM),
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
