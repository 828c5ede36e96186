"""The Secret of certificates: from the API server's object to what can be used of it, and back. Pure.

What is damaged, half-written, or of a foreign hand is told and then counts as not there: keys and
certificates that do not belong together, a CA that cannot sign, a leaf that does not verify. Certificates
that can still be read stay in the bundle.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.contract import DOMAIN
from webhook.tls import certificates
from webhook.tls.certificates import CertificateError
from webhook.tls.issue import Pair
from webhook.tls.rotation import Authority, Leaf, Seen, State

# The keys of the Secret. `tls.crt` and `tls.key` as in Secrets of type kubernetes.io/tls; `tls.crt` holds the
# leaf and the cross certificates behind it.
LEAF: Final = "tls"
CA: Final = "ca"
NEXT_CA: Final = "next-ca"
BUNDLE: Final = "ca-bundle.crt"
CROSS: Final = "cross.crt"
NOTES: Final = "rotation.json"
# On the Secret, with any value: another CA is wanted. Taken away in the write that makes it.
CHANGE_CA: Final = f"{DOMAIN}/change-ca"
# cert-manager writes it on the Secrets that it fills, with the name of the Certificate (its documentation,
# reference, annotations).
_CERT_MANAGER: Final = "cert-manager.io/certificate-name"


@dataclass(frozen=True, slots=True)
class Held:
    """What can be used of a Secret. `ca` and `next_ca` can sign; `leaf` (with its chain) can be served.

    `bundle` is every certificate to be published, by fingerprint; `crosses` are all cross certificates, in
    any order. `kept` and `seen` are as in `rotation.State`. `problems`: what could not be used, and why;
    nothing of a key is in it.
    """

    ca: Pair | None = None
    next_ca: Pair | None = None
    leaf: Pair | None = None
    bundle: Mapping[str, bytes] = field(default_factory=dict)
    crosses: tuple[bytes, ...] = ()
    kept: Mapping[str, float] = field(default_factory=dict)
    seen: Seen | None = None
    asked: bool = False
    problems: tuple[str, ...] = ()

    def state(self, now: float) -> State:
        """Give what `rotation.decide` goes by. A leaf that does not verify now counts as none."""
        return State(
            ca=_authority(self.ca),
            next_ca=_authority(self.next_ca),
            leaf=self._leaf(now),
            bundle=tuple(_authority_of(certificate) for certificate in self.bundle.values()),
            kept=self.kept,
            seen=self.seen,
            asked=self.asked,
        )

    def _leaf(self, now: float) -> Leaf | None:
        if self.leaf is None:
            return None
        leaf = certificates.read(self.leaf.certificate)
        # by itself first: with its cross certificates it may as well be traced to an older CA
        for chain in (certificates.split(self.leaf.certificate)[0], self.leaf.certificate):
            try:
                issuer = certificates.verify(chain, self.bundle_text(self.bundle), now, leaf.names)
            except CertificateError:
                continue
            return Leaf(issuer, leaf.not_before, leaf.not_after, leaf.names)
        return None

    def bundle_text(self, fingerprints: Iterable[str], *published: Mapping[str, bytes]) -> bytes:
        """Write a bundle; what is not in the Secret's is taken from what is published.

        The same certificates always give the same bytes.
        """
        known = {**{k: v for place in published for k, v in place.items()}, **self.bundle}
        return b"".join(known[fingerprint] for fingerprint in sorted(fingerprints))


def read(secret: Mapping[str, Any] | None) -> Held:
    """Read a Secret as the API server gives it; None: there is none."""
    if secret is None:
        return Held()
    data, problems = _decoded(secret.get("data") or {})
    ca = _pair(data, CA, problems)
    next_ca = _pair(data, NEXT_CA, problems)
    if ca and next_ca and ca.certificate == next_ca.certificate:
        problems.append(f"{NEXT_CA}.crt: the same as {CA}.crt")
        next_ca = None
    bundle = certificates.bundle(
        b"\n".join(data.get(key, b"") for key in (f"{CA}.crt", f"{NEXT_CA}.crt", BUNDLE))
    )
    used = {certificates.read(pair.certificate).fingerprint for pair in (ca, next_ca) if pair}
    kept, seen = _notes(data.get(NOTES, b"{}"), problems)
    return Held(
        ca=ca,
        next_ca=next_ca,
        leaf=_pair(data, LEAF, problems),
        bundle=bundle,
        crosses=tuple(certificates.bundle(data.get(CROSS, b"")).values()),
        kept={key: until for key, until in kept.items() if key in bundle and key not in used},
        seen=seen,
        asked=CHANGE_CA in _annotations(secret),
        problems=tuple(problems),
    )


def others(secret: Mapping[str, Any] | None) -> str:
    """Say who else fills this Secret; empty: nobody that leaves a mark."""
    name = _annotations(secret or {}).get(_CERT_MANAGER)
    return f"cert-manager, for its Certificate {name}" if name else ""


def written(held: Held, secret: Mapping[str, Any]) -> dict[str, Any]:
    """Give the Secret's object with this in it; all else in it stays, its resourceVersion too."""
    data = {key: value for key, value in (secret.get("data") or {}).items() if key not in _KEYS}
    metadata = dict(secret.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    if not held.asked:
        annotations.pop(CHANGE_CA, None)
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    return {
        **secret,
        "metadata": metadata,
        "data": {**data, **{key: base64.b64encode(text).decode() for key, text in _data(held).items()}},
    }


_KEYS: Final = frozenset(
    {*(f"{name}.{end}" for name in (LEAF, CA, NEXT_CA) for end in ("crt", "key")), BUNDLE, CROSS, NOTES}
)


def _annotations(secret: Mapping[str, Any]) -> Mapping[str, Any]:
    return (secret.get("metadata") or {}).get("annotations") or {}


def _data(held: Held) -> dict[str, bytes]:
    data: dict[str, bytes] = {}
    for name, pair in ((LEAF, held.leaf), (CA, held.ca), (NEXT_CA, held.next_ca)):
        if pair:
            data |= {f"{name}.crt": pair.certificate, f"{name}.key": pair.key}
    notes: dict[str, Any] = {"kept": dict(held.kept)}
    if held.seen:
        notes["seen"] = {"ca": held.seen.fingerprint, "since": held.seen.since}
    return data | {
        BUNDLE: held.bundle_text(held.bundle),
        CROSS: b"".join(held.crosses),
        NOTES: json.dumps(notes, sort_keys=True).encode(),
    }


def _decoded(data: Mapping[str, Any]) -> tuple[dict[str, bytes], list[str]]:
    found, problems = {}, []
    for key in sorted(_KEYS & data.keys()):
        try:
            found[key] = base64.b64decode(data[key] or "", validate=True)
        except (binascii.Error, TypeError, ValueError):
            problems.append(f"{key}: found no base64")
    return found, problems


def _pair(data: Mapping[str, bytes], name: str, problems: list[str]) -> Pair | None:
    pair = Pair(data.get(f"{name}.crt", b""), data.get(f"{name}.key", b""))
    if not pair.certificate and not pair.key:
        return None
    try:
        if name == LEAF:
            certificates.check_pair(pair.certificate, pair.key)
        else:
            certificates.check_authority(pair.certificate, pair.key)
            # what stands beside the CA in the text is none of ours
            pair = Pair(certificates.plain(pair.certificate), pair.key)
    except CertificateError as error:
        problems.append(f"{name}.crt, {name}.key: {error}")
        return None
    return pair


def _notes(text: bytes, problems: list[str]) -> tuple[dict[str, float], Seen | None]:
    try:
        notes = json.loads(text)
        kept = {str(key): _time(value) for key, value in notes.get("kept", {}).items()}
        seen = notes.get("seen")
        return kept, Seen(str(seen["ca"]), _time(seen["since"])) if seen else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        problems.append(f"{NOTES}: cannot be read")
        return {}, None


def _time(value: Any) -> float:
    time = float(value)
    if not math.isfinite(time):
        raise ValueError("not a time")
    return time


def _authority(pair: Pair | None) -> Authority | None:
    return _authority_of(pair.certificate) if pair else None


def _authority_of(certificate: bytes) -> Authority:
    found = certificates.read(certificate)
    return Authority(found.fingerprint, found.not_before, found.not_after)
