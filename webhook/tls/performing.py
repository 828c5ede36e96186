"""Doing what `rotation.decide` names: from what the Secret holds to what it shall hold.

The only part that is random: new keys and serial numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from webhook.tls import certificates, issue
from webhook.tls.issue import Pair
from webhook.tls.rotation import GiveUp, Keep, MakeAuthority, MakeLeaf, Note, Write
from webhook.tls.secret import Held

# Cross certificates that are served at most, the newest ones: each handshake carries them (0.5 KiB each),
# and OpenSSL takes chains of up to 100 KiB (SSL_CTX_set_max_cert_list(3)). By itself a CA changes every seven
# years.
MAX_CROSSES: Final = 32


@dataclass(frozen=True, slots=True)
class Kind:
    """Whose certificates these are. `name` stands in the CA's subject.

    `crosses`: who has to verify a leaf may know only a bundle of years ago, so cross certificates are served.
    """

    name: str
    crosses: bool


def performed(
    write: Write,
    held: Held,
    *,
    published: Sequence[Mapping[str, bytes]],
    names: Sequence[str],
    now: float,
    kind: Kind,
) -> Held:
    """Give what the Secret shall hold after a write, to be written at the version that `held` was read at.

    `published`, `names` and `now` are those that `decide` went by. Raises CertificateError if the CA's leaf
    would not verify.
    """
    match write:
        case Keep():
            there = {key: text for place in published for key, text in place.items()}
            bundle = {**{key: there[key] for key in write.until if key in there}, **held.bundle}
            return replace(held, bundle=bundle, kept={**held.kept, **write.until})
        case MakeAuthority():
            return _with_authority(write, held, now, kind)
        case MakeLeaf():
            return _with_leaf(write, held, names, now)
        case Note():
            return replace(held, seen=write.seen)
        case GiveUp():
            return replace(
                held,
                bundle={k: v for k, v in held.bundle.items() if k not in write.fingerprints},
                kept={k: v for k, v in held.kept.items() if k not in write.fingerprints},
            )


def _with_authority(write: MakeAuthority, held: Held, now: float, kind: Kind) -> Held:
    made = issue.new_ca(kind.name, write.not_before, write.not_after)
    bundle = {**held.bundle, certificates.read(made.certificate).fingerprint: made.certificate}
    held = replace(held, bundle=bundle, seen=None, asked=False)
    if not write.next_ca:
        return replace(held, ca=made)
    crosses = held.crosses
    if kind.crosses and held.ca:
        crosses = (issue.cross(held.ca, made), *crosses)
    return replace(held, next_ca=made, crosses=_chain(made, crosses, now))


def _with_leaf(write: MakeLeaf, held: Held, names: Sequence[str], now: float) -> Held:
    """Make the leaf; a CA that is given up for another leaves the Secret with its key."""
    ca = held.next_ca if write.by_next_ca else held.ca
    if ca is None:
        raise certificates.CertificateError("the CA that shall sign is not there")
    leaf = issue.new_leaf(ca, names, write.not_before, write.not_after)
    certificates.verify(leaf.certificate, ca.certificate, now, names)
    chain = b"".join((leaf.certificate, *_chain(ca, held.crosses, now)))
    held = replace(held, leaf=Pair(chain, leaf.key))
    return replace(held, ca=ca, next_ca=None, seen=None) if write.by_next_ca else held


def _chain(ca: Pair, crosses: Sequence[bytes], now: float) -> tuple[bytes, ...]:
    """Give the cross certificates that lead from a CA to those before it, as far as all are valid."""
    by_subject: dict[str, tuple[certificates.Certificate, bytes]] = {}
    for cross in crosses:
        found = certificates.read(cross)
        by_subject.setdefault(found.subject, (found, cross))
    chain: list[bytes] = []
    subject = certificates.read(ca.certificate).subject
    while subject in by_subject and len(chain) < MAX_CROSSES:
        found, cross = by_subject.pop(subject)
        if now >= found.not_after:
            break
        chain.append(cross)
        subject = found.issuer
    return tuple(chain)
