"""Certificates: made, read, and verified; OpenSSL's word and ours are the same."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.certificates import make_ca
from tests.handshakes import connect, trusting
from webhook.tls import certificates, issue
from webhook.tls.certificates import CertificateError
from webhook.tls.issue import Pair
from webhook.tls.live import Live

NOW = datetime.now(UTC).timestamp()  # OpenSSL looks at the clock itself
DAY = 86400.0
NAMES = ("registrar.apps.svc", "10.0.0.7", "fd00::7")
CA = issue.new_ca("tests", NOW - DAY, NOW + 1000 * DAY)
OTHER = issue.new_ca("tests", NOW - DAY, NOW + 1000 * DAY)
LEAF = issue.new_leaf(CA, NAMES, NOW - DAY, NOW + 90 * DAY)


def openssl_takes(chain: Pair, roots: bytes, name: str = NAMES[0]) -> bool:
    """Tell whether OpenSSL verifies a server, as the registrar's and kubectl's clients do."""
    live = Live()
    live.use(chain, NOW)
    try:
        connect(live.context, trusting(roots), name)
    except ssl.SSLError:
        return False
    return True


def test_what_is_made_says_what_it_is() -> None:
    """A leaf is read with its names, times and issuer."""
    leaf, ca = certificates.read(LEAF.certificate), certificates.read(CA.certificate)
    assert leaf.names == certificates.plain_names(NAMES)
    assert (leaf.not_before, leaf.not_after) == (int(NOW - DAY), int(NOW + 90 * DAY))
    assert leaf.issuer == ca.subject == ca.issuer


def test_no_two_cas_have_one_name() -> None:
    """OpenSSL finds issuers by name first."""
    assert certificates.read(CA.certificate).subject != certificates.read(OTHER.certificate).subject


def test_a_leaf_never_ends_after_its_ca() -> None:
    """Else it would fail to verify before it ends."""
    leaf = issue.new_leaf(CA, NAMES, NOW, NOW + 5000 * DAY)
    ends = [certificates.read(pair.certificate).not_after for pair in (leaf, CA)]
    assert ends[0] == ends[1]


def test_keys_are_on_p256() -> None:
    """Of CA and leaf."""
    for pair in (CA, LEAF):
        key = certificates.load_key(pair.key)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert isinstance(key.curve, ec.SECP256R1)


def test_a_key_is_in_no_representation() -> None:
    """Not of the pair, not in an error about it."""
    assert "PRIVATE" not in repr(CA)
    with pytest.raises(CertificateError) as error:
        certificates.check_pair(CA.certificate, CA.key[:120])
    assert "PRIVATE" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_leaf_verifies_by_its_ca_for_its_names(name: str) -> None:
    """Host names and addresses; OpenSSL says the same."""
    found = certificates.verify(LEAF.certificate, OTHER.certificate + CA.certificate, NOW, [name])
    assert found == certificates.read(CA.certificate).fingerprint
    assert openssl_takes(LEAF, OTHER.certificate + CA.certificate, name)


@pytest.mark.parametrize(
    ("roots", "name"),
    [(OTHER.certificate, NAMES[0]), (CA.certificate, "other.apps.svc"), (CA.certificate, "10.0.0.8")],
    ids=["another CA", "another name", "another address"],
)
def test_what_does_not_verify_is_told(roots: bytes, name: str) -> None:
    """OpenSSL says the same."""
    with pytest.raises(CertificateError):
        certificates.verify(LEAF.certificate, roots, NOW, [NAMES[0], name])
    assert not openssl_takes(LEAF, roots, name)


@pytest.mark.parametrize("time", [NOW - 2 * DAY, NOW + 91 * DAY])
def test_a_leaf_verifies_within_its_time_only(time: float) -> None:
    """Times are given: nothing looks at a clock."""
    with pytest.raises(CertificateError, match="not valid at validation time"):
        certificates.verify(LEAF.certificate, CA.certificate, time, NAMES)


@pytest.mark.parametrize(
    ("chain", "roots", "names", "message"),
    [
        (b"", CA.certificate, NAMES, "there is no certificate"),
        (LEAF.certificate, b"rubbish", NAMES, "the bundle holds no certificate"),
        (LEAF.certificate, CA.certificate, (), "no name to verify for"),
        (LEAF.certificate, CA.certificate, ("bücher",), "no host name"),
    ],
)
def test_nothing_to_verify_is_told(chain: bytes, roots: bytes, names: tuple[str, ...], message: str) -> None:
    """Each of the ways in which there is nothing."""
    with pytest.raises(CertificateError, match=message):
        certificates.verify(chain, roots, NOW, names)


def changed(times: int) -> tuple[list[Pair], Pair]:
    """Give CAs after so many changes, and what is served then: a leaf with its cross certificates."""
    cas = [CA]
    crosses: list[bytes] = []
    for _ in range(times):
        cas.append(issue.new_ca("tests", NOW - DAY, NOW + 1000 * DAY))
        crosses.insert(0, issue.cross(cas[-2], cas[-1]))
    leaf = issue.new_leaf(cas[-1], NAMES, NOW - DAY, NOW + 90 * DAY)
    return cas, Pair(leaf.certificate + b"".join(crosses), leaf.key)


@pytest.mark.parametrize("times", [1, 2, 32])
def test_who_trusts_only_a_ca_of_changes_ago_verifies(times: int) -> None:
    """By cross certificates: OpenSSL and ours alike, for every CA on the way."""
    cas, served = changed(times)
    for ca in (cas[0], cas[times // 2], cas[-1]):
        found = certificates.verify(served.certificate, ca.certificate, NOW, NAMES)
        assert found == certificates.read(ca.certificate).fingerprint
        assert openssl_takes(served, ca.certificate)
    bundle = b"".join(ca.certificate for ca in cas[-2:])
    assert openssl_takes(served, bundle)
    assert not openssl_takes(served, OTHER.certificate)


def test_without_cross_certificates_the_old_ca_does_not_help() -> None:
    """It is they that do it."""
    cas, served = changed(2)
    alone = Pair(certificates.split(served.certificate)[0], served.key)
    assert not openssl_takes(alone, cas[0].certificate)


def test_an_ended_cross_certificate_disturbs_nobody_else() -> None:
    """The chain is served until the next leaf, the oldest of it may end before."""
    ended = issue.new_ca("tests", NOW - 9 * DAY, NOW - DAY)
    middle, newest = (issue.new_ca("tests", NOW - DAY, NOW + 99 * DAY) for _ in range(2))
    leaf = issue.new_leaf(newest, NAMES, NOW - DAY, NOW + 90 * DAY)
    crosses = issue.cross(middle, newest) + _ended_cross(ended, middle)
    served = Pair(leaf.certificate + crosses, leaf.key)
    for ca in (middle, newest):
        assert openssl_takes(served, ca.certificate)
    assert not openssl_takes(served, ended.certificate)


def _ended_cross(older: Pair, newer: Pair) -> bytes:
    issuer = x509.load_pem_x509_certificate(older.certificate)
    subject = x509.load_pem_x509_certificate(newer.certificate)
    builder = x509.CertificateBuilder(
        issuer.subject,
        subject.subject,
        subject.public_key(),
        x509.random_serial_number(),
        issuer.not_valid_before_utc,
        issuer.not_valid_after_utc,
        list(subject.extensions),
    )
    signer = certificates.load_key(older.key)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_bundle_of_anyone_is_read_as_far_as_it_can_be() -> None:
    """Rubbish between certificates and double ones are left out."""
    rubbish = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    text = b"# ours\r\n" + CA.certificate + rubbish + CA.certificate.replace(b"\n", b"\r\n")
    assert certificates.bundle(text) == {certificates.read(CA.certificate).fingerprint: CA.certificate}


def own(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, *extensions: tuple[x509.ExtensionType, bool]
) -> Pair:
    """Make someone's own self-signed certificate."""
    name = x509.Name.from_rfc4514_string("CN=someone")
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(99)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    algorithm = hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey) else None
    return Pair(
        builder.sign(key, algorithm).public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


RSA = rsa.generate_private_key(65537, 2048)
BASIC = (x509.BasicConstraints(ca=True, path_length=None), True)
ONLY_CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
NO_NAMES = x509.NameConstraints([x509.DNSName("example.com")], None)


def test_someones_own_ca_with_rsa_can_sign() -> None:
    """As openssl req -x509 makes it."""
    ca = own(RSA, BASIC)
    certificates.check_authority(ca.certificate, ca.key)
    leaf = issue.new_leaf(ca, NAMES, NOW - DAY, NOW + DAY)
    certificates.verify(leaf.certificate, ca.certificate, NOW, NAMES)
    assert openssl_takes(leaf, ca.certificate)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (Pair(CA.certificate, OTHER.key), "do not belong together"),
        (Pair(CA.certificate[:300], CA.key), "not a certificate"),
        (Pair(CA.certificate, b""), "not a private key"),
        (LEAF, "not self-signed"),
        (Pair(issue.cross(CA, OTHER), OTHER.key), "not self-signed"),
        (own(RSA), "not one of a CA"),
        (own(RSA, (x509.BasicConstraints(ca=True, path_length=0), True)), "bounds the length of chains"),
        (own(RSA, BASIC, (NO_NAMES, True)), "bounds what it may sign"),
        (own(RSA, BASIC, (ONLY_CLIENTS, False)), "bounds what it may sign"),
        (own(ed25519.Ed25519PrivateKey.generate(), BASIC), "neither of an elliptic curve nor RSA"),
        (Pair(make_ca().certificate, make_ca().key), "do not belong together"),
    ],
)
def test_what_cannot_sign_for_us_is_told(pair: Pair, message: str) -> None:
    """Each CA that would make leaves which do not verify, or not everywhere."""
    with pytest.raises(CertificateError, match=message):
        certificates.check_authority(pair.certificate, pair.key)


def test_names_are_written_in_one_way() -> None:
    """As they are compared: small letters, the short form of addresses, sorted, each once."""
    names = ["Registrar.Apps.svc", "FD00:0::7", "registrar.apps.svc"]
    assert certificates.plain_names(names) == ("fd00::7", "registrar.apps.svc")
