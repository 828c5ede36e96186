"""The certificate of a listener, changed while it listens."""

import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.certificates import make_ca, make_leaf
from tests.handshakes import connect, der, trusting
from webhook.tls.certificates import CertificateError
from webhook.tls.issue import Pair
from webhook.tls.live import Live

CA = make_ca()
CLIENT = trusting(CA.certificate)
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def pair(*names: str, valid: timedelta = timedelta(days=1)) -> Pair:
    """Make a pair for 127.0.0.1 and these names."""
    made = make_leaf(CA, ["127.0.0.1", *names], valid)
    return Pair(made.certificate, made.key)


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption | None = None
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def _self_signed(key: rsa.RSAPrivateKey) -> Pair:
    """Give a certificate of 127.0.0.1 that is its own CA."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rsa")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(made.public_bytes(Encoding.PEM), _pem(key))


def client(version: ssl.TLSVersion) -> ssl.SSLContext:
    """Give a client that speaks just this version."""
    context = trusting(CA.certificate)
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["127.0.0.1", "server.example"])
def test_handshakes_get_the_new_leaf_and_open_connections_live_on(version: ssl.TLSVersion, name: str) -> None:
    """With a name in the handshake and without one, in both versions of TLS."""
    live, first, second = Live(), pair("server.example"), pair("server.example")
    live.use(first, time.time())
    old = connect(live.context, client(version), name)
    assert old.leaf == der(first.certificate)
    live.use(second, time.time())
    assert connect(live.context, client(version), name).leaf == der(second.certificate)
    assert old.carries(b"still here")


def test_a_handshake_that_has_begun_is_ended_with_what_it_began_with() -> None:
    """A change between the client's first message and its second fails nothing."""
    live, first, second = Live(), pair(), pair()
    live.use(first, time.time())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = CLIENT.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    theirs = live.context.wrap_bio(to_server, to_client, server_side=True)
    for end in (ours, theirs):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
    live.use(second, time.time())
    ours.do_handshake()
    theirs.do_handshake()
    assert ours.getpeercert(binary_form=True) == der(first.certificate)


def test_without_a_pair_a_handshake_is_refused() -> None:
    """Before its first pair a listener has nothing to show."""
    with pytest.raises(ssl.SSLError):
        connect(Live().context, CLIENT)


def bad_pairs() -> dict[str, tuple[Pair, str]]:
    """Pairs that cannot be served, and what is said of each."""
    good, other = pair(), pair()
    key = load_pem_private_key(good.key, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    encrypted = _pem(key, BestAvailableEncryption(b"secret"))
    return {
        "mismatch": (Pair(good.certificate, other.key), "do not belong together"),
        "another type of key": (Pair(good.certificate, _pem(_rsa())), "do not belong together"),
        "no certificate": (Pair(b"", good.key), "not a certificate"),
        "half a certificate": (Pair(good.certificate[:300], good.key), "not a certificate"),
        "no key": (Pair(good.certificate, b""), "not a private key"),
        "half a key": (Pair(good.certificate, good.key[:100]), "not a private key"),
        "a passphrase": (Pair(good.certificate, encrypted), "an encrypted one"),
        "ended": (pair(valid=timedelta(minutes=-4)), "has ended at"),
        "another name": (pair("elsewhere.example"), "not for server.example"),
    }


@pytest.mark.parametrize("name", bad_pairs())
def test_a_bad_pair_is_refused_and_the_old_one_stays(name: str) -> None:
    """What is wrong is told, nothing of the key with it, and handshakes go on with the last good pair."""
    bad, said = bad_pairs()[name]
    live, good = Live(), pair("server.example")
    live.use(good, time.time())
    with pytest.raises(CertificateError, match=said) as caught:
        live.use(bad, time.time(), names=["server.example"] if name == "another name" else ())
    assert live.pair == good
    for version in VERSIONS:
        assert connect(live.context, client(version)).leaf == der(good.certificate)
    for text in (str(caught.value), repr(bad)):
        assert "PRIVATE KEY" not in text
        assert not any(line in text for line in bad.key.decode().splitlines()[1:-1])


def test_loading_a_mismatched_pair_into_one_context_ends_its_handshakes(tmp_path: Path) -> None:
    """Why each pair has a context of its own: OpenSSL keeps the certificate of a pair that it refuses."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    good, other = make_leaf(CA, ["127.0.0.1"]), make_leaf(CA, ["127.0.0.1"])
    (certificate, key), (other_certificate, _) = good.write(tmp_path), other.write(tmp_path, "other")
    context.load_cert_chain(certificate, key)
    connect(context, CLIENT)
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(other_certificate, key)
    with pytest.raises(ssl.SSLError):
        connect(context, CLIENT)


def test_a_change_of_the_type_of_key_reaches_every_client() -> None:
    """After RSA and then ECDSA no client gets the RSA certificate any more, whichever it likes better."""
    live, second = Live(), pair()
    first = _self_signed(_rsa())
    live.use(first, time.time())
    prefers_rsa = client(ssl.TLSVersion.TLSv1_2)
    prefers_rsa.load_verify_locations(cadata=first.certificate.decode())
    prefers_rsa.set_ciphers("aRSA:aECDSA")
    assert connect(live.context, prefers_rsa).leaf == der(first.certificate)
    live.use(second, time.time())
    assert connect(live.context, prefers_rsa).leaf == der(second.certificate)


def test_a_pair_of_a_clock_that_is_ahead_is_taken_up_to_an_hour() -> None:
    """Whoever signed it a moment ago may have a clock that is ahead of ours."""
    live, one = Live(), pair()
    begins = time.time() - 300  # so do the tests' certificates, a moment more or less
    with pytest.raises(CertificateError, match="begins only at"):
        live.use(one, begins - 61 * 60)
    live.use(one, begins - 59 * 60)


def test_the_key_is_on_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's ssl reads keys from files only: the one it is given lies in memory and is gone afterwards."""
    paths: list[str] = []
    context = ssl.SSLContext
    load = context.load_cert_chain

    def watched(self: ssl.SSLContext, path: str, password: str) -> None:
        paths.append(str(Path(path).readlink()))
        load(self, path, password=password)

    monkeypatch.setattr(context, "load_cert_chain", watched)
    before = set(Path("/proc/self/fd").iterdir())
    Live().use(pair(), time.time())
    assert [path.split(" ")[0] for path in paths] == ["/memfd:pair"]
    # what earlier tests have left may be closed meanwhile
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_nothing_older_than_tls_1_2_is_spoken() -> None:
    """The handshake of TLS 1.1 is refused by the listener's own context, whatever OpenSSL is built with."""
    assert Live().context.minimum_version is ssl.TLSVersion.TLSv1_2
