"""TLS handshakes in memory: what a client gets to see, without a socket."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding


@dataclass(frozen=True, slots=True)
class Connection:
    """Both ends of an open connection."""

    client: ssl.SSLObject
    server: ssl.SSLObject
    _pipes: tuple[ssl.MemoryBIO, ssl.MemoryBIO]

    @property
    def leaf(self) -> bytes:
        """The certificate the client was shown, DER."""
        shown = self.client.getpeercert(binary_form=True)
        assert shown is not None
        return shown

    def carries(self, text: bytes) -> bool:
        """Send something each way and tell whether it arrives."""
        self.client.write(text)
        self.server.write(self.server.read(len(text)))
        return self.client.read(len(text)) == text


def connect(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "127.0.0.1") -> Connection:
    """Shake hands. Raises ssl.SSLError if either end refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (ours, theirs, ours, theirs, ours):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return Connection(ours, theirs, (to_server, to_client))


def trusting(ca: bytes) -> ssl.SSLContext:
    """Give a client's context that trusts this CA (PEM) only."""
    return ssl.create_default_context(cadata=ca.decode())


def der(certificate: bytes) -> bytes:
    """Give the first certificate of a PEM text as DER."""
    return x509.load_pem_x509_certificates(certificate)[0].public_bytes(Encoding.DER)
