"""What a simulated cluster knows of certificates: `Paper`, plain facts, or `Real`, keys and PEM.

On paper thousands of events take a second. Both do the same; a test holds them against each other.
"""

# ruff: noqa: D102 - what the methods of both are for stands in Makers

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import floor
from typing import Any, Final, Protocol

from webhook.tls import certificates, issue, secret
from webhook.tls.performing import Kind, performed
from webhook.tls.rotation import (
    Authority,
    GiveUp,
    Keep,
    Leaf,
    MakeAuthority,
    MakeLeaf,
    Note,
    Seen,
    State,
    Write,
)

DAY: Final = 86400.0
SERVICE: Final = "registrar.apps.svc"
Places = list[Any]

# What hands do to a Secret: halves that do not belong together, notes lost or of the future, others' pairs.
DAMAGE: Final = ("leaf", "ca", "next_ca", "notes", "seen", "foreign ca", "foreign leaf", "foreign both")


class Makers(Protocol):
    """What is done with certificates; Secrets, bundles and leaves are values only this knows."""

    nothing: Any  # a bundle that holds nothing

    def state(self, held: Any, now: float) -> State:
        """Read a Secret."""

    def perform(self, write: Write, held: Any, places: Places, names: Sequence[str], now: float) -> Any:
        """Give the Secret after a write."""

    def fingerprints(self, bundle: Any) -> Collection[str]:
        """Tell what is in a bundle."""

    def text(self, held: Any, wanted: Collection[str], places: Places) -> Any:
        """Write a bundle."""

    def leaf(self, held: Any) -> Any:
        """Give what a replica would serve of a Secret, if it can be."""

    def verifies(self, leaf: Any, bundle: Any, now: float) -> bool:
        """Tell whether a leaf verifies for the service."""

    def ask(self, held: Any) -> Any:
        """Ask for another CA."""

    def damage(self, held: Any, how: str, now: float) -> Any:
        """Edit a Secret by hand, in one of the ways of DAMAGE."""

    def ends(self, bundle: Any) -> float:
        """Tell when the last certificate of a bundle ends."""

    def foreign(self, now: float) -> Any:
        """Make a bundle that someone else publishes."""


# -- on paper


@dataclass(frozen=True, slots=True)
class PaperCross:
    """A cross certificate: of whose key, by whom."""

    subject: str
    issuer: str
    not_after: float


EMPTY: Final = State()


@dataclass(frozen=True, slots=True)
class PaperSecret:
    """What the Secret holds: its state as it can be read, the leaf's chain, all cross certificates."""

    state: State = EMPTY
    chain: tuple[PaperCross, ...] = ()
    crosses: tuple[PaperCross, ...] = ()


PaperLeaf = tuple[Leaf, tuple[PaperCross, ...]]
PaperBundle = Mapping[str, Authority]


class Paper:
    """Certificates as plain facts; `crosses` as in `performing.Kind`."""

    def __init__(self, *, crosses: bool = False) -> None:
        self.nothing: PaperBundle = {}
        self._crosses = crosses
        self._serial = count()

    def state(self, held: PaperSecret | None, now: float) -> State:
        if held is None:
            return State()
        state = held.state
        used = {ca.fingerprint for ca in (state.ca, state.next_ca) if ca}
        known = {authority.fingerprint: authority for authority in state.bundle}
        leaf = state.leaf
        if leaf and not verifies_on_paper((leaf, held.chain), known, now):
            leaf = None
        kept = {key: until for key, until in state.kept.items() if key in known and key not in used}
        return replace(state, leaf=leaf, kept=kept)

    def perform(
        self, write: Write, held: PaperSecret | None, places: Places, _names: Sequence[str], now: float
    ) -> PaperSecret:
        held = held or PaperSecret()
        state = replace(held.state, kept=self.state(held, now).kept)
        match write:
            case Keep():
                there = {key: authority for place in places for key, authority in place.items()}
                there |= {authority.fingerprint: authority for authority in state.bundle}
                bundle = tuple(there[key] for key in {*write.until, *(a.fingerprint for a in state.bundle)})
                state = replace(state, bundle=bundle, kept={**state.kept, **write.until})
            case MakeAuthority():
                return self._with_authority(write, held, state, now)
            case MakeLeaf():
                return self._with_leaf(write, held, state, _names, now)
            case Note():
                state = replace(state, seen=write.seen)
            case GiveUp():
                gone = write.fingerprints
                bundle = tuple(a for a in state.bundle if a.fingerprint not in gone)
                kept = {key: until for key, until in state.kept.items() if key not in gone}
                state = replace(state, bundle=bundle, kept=kept)
        return replace(held, state=state)

    def _with_authority(
        self, write: MakeAuthority, held: PaperSecret, state: State, now: float
    ) -> PaperSecret:
        made = self._authority(write.not_before, write.not_after)
        crosses = held.crosses
        if write.next_ca and self._crosses and state.ca:
            end = min(made.not_after, state.ca.not_after)
            crosses = (PaperCross(made.fingerprint, state.ca.fingerprint, end), *crosses)
        if write.next_ca:
            crosses = chain_on_paper(made.fingerprint, crosses, now)
        state = replace(state, bundle=(*state.bundle, made), seen=None, asked=False)
        state = replace(state, next_ca=made) if write.next_ca else replace(state, ca=made)
        return replace(held, state=state, crosses=crosses)

    def _with_leaf(
        self, write: MakeLeaf, held: PaperSecret, state: State, names: Sequence[str], now: float
    ) -> PaperSecret:
        ca = state.next_ca if write.by_next_ca else state.ca
        assert ca is not None
        leaf = Leaf(ca.fingerprint, floor(write.not_before), floor(write.not_after), tuple(names))
        state = replace(state, leaf=leaf)
        if write.by_next_ca:
            state = replace(state, ca=ca, next_ca=None, seen=None)
        return replace(held, state=state, chain=chain_on_paper(ca.fingerprint, held.crosses, now))

    def fingerprints(self, bundle: PaperBundle) -> Collection[str]:
        return bundle.keys()

    def text(self, held: PaperSecret | None, wanted: Collection[str], places: Places) -> PaperBundle:
        known = {key: authority for place in places for key, authority in place.items()}
        known |= {authority.fingerprint: authority for authority in (held or PaperSecret()).state.bundle}
        return {key: known[key] for key in wanted}

    def leaf(self, held: PaperSecret | None) -> PaperLeaf | None:
        return (held.state.leaf, held.chain) if held and held.state.leaf else None

    def verifies(self, leaf: PaperLeaf, bundle: PaperBundle, now: float) -> bool:
        return SERVICE in leaf[0].names and verifies_on_paper(leaf, bundle, now)

    def ends(self, bundle: PaperBundle) -> float:
        return max((authority.not_after for authority in bundle.values()), default=0)

    def ask(self, held: PaperSecret) -> PaperSecret:
        return replace(held, state=replace(held.state, asked=True))

    def foreign(self, now: float) -> PaperBundle:
        made = self._authority(now - DAY, now + 400 * DAY)
        return {made.fingerprint: made}

    def damage(self, held: PaperSecret, how: str, now: float) -> PaperSecret:
        state = held.state
        match how:
            case "leaf":
                return replace(held, state=replace(state, leaf=None), chain=())
            case "ca":
                return replace(held, state=replace(state, ca=None))
            case "next_ca":
                return replace(held, state=replace(state, next_ca=None))
            case "notes":
                return replace(held, state=replace(state, kept={}, seen=None))
            case "seen":
                ca = state.next_ca or state.ca
                seen = Seen(ca.fingerprint if ca else "", now + 300 * DAY)
                return replace(held, state=replace(state, seen=seen))
            case "foreign ca":
                made = self._authority(now - DAY, now + 1000 * DAY)
                return replace(held, state=replace(state, ca=made, bundle=(*state.bundle, made)))
            case "foreign leaf" | "foreign both":
                made = self._authority(now - DAY, now + 1000 * DAY)
                leaf = Leaf(made.fingerprint, floor(now - DAY), floor(now + 80 * DAY), (SERVICE,))
                if how == "foreign both":
                    state = replace(state, ca=made, bundle=(*state.bundle, made))
                return replace(held, state=replace(state, leaf=leaf), chain=())
        raise AssertionError(how)

    def _authority(self, not_before: float, not_after: float) -> Authority:
        return Authority(f"ca-{next(self._serial):04}", floor(not_before), floor(not_after))


def chain_on_paper(ca: str, crosses: Sequence[PaperCross], now: float) -> tuple[PaperCross, ...]:
    """Give the cross certificates behind a CA, as far as all are valid."""
    by_subject = {cross.subject: cross for cross in reversed(crosses)}
    chain: list[PaperCross] = []
    while ca in by_subject and by_subject[ca].not_after > now:
        chain.append(by_subject[ca])
        ca = chain[-1].issuer
    return tuple(chain)


def verifies_on_paper(leaf: PaperLeaf, roots: PaperBundle, now: float) -> bool:
    """Tell whether there is a path of valid certificates from a leaf to a root."""
    certificate, chain = leaf
    if not certificate.not_before <= now <= certificate.not_after:
        return False
    reached = certificate.issuer
    by_subject = {cross.subject: cross for cross in chain}
    while True:
        root = roots.get(reached)
        if root and root.not_before <= now <= root.not_after:
            return True
        cross = by_subject.pop(reached, None)
        if cross is None or now > cross.not_after:
            return False
        reached = cross.issuer


# -- with real certificates


class Real:
    """Real certificates, and the Secret as the API server's object."""

    def __init__(self, *, crosses: bool = False) -> None:
        self.nothing = b""
        self._kind = Kind("tests", crosses=crosses)

    def state(self, held: dict[str, Any] | None, now: float) -> State:
        return secret.read(held).state(now)

    def perform(
        self, write: Write, held: dict[str, Any] | None, places: Places, names: Sequence[str], now: float
    ) -> dict[str, Any]:
        made = performed(
            write,
            secret.read(held),
            published=[certificates.bundle(place) for place in places],
            names=names,
            now=now,
            kind=self._kind,
        )
        return secret.written(made, held or {"metadata": {"name": "certificates"}})

    def fingerprints(self, bundle: bytes) -> Collection[str]:
        return certificates.bundle(bundle).keys()

    def text(self, held: dict[str, Any] | None, wanted: Collection[str], places: Places) -> bytes:
        return secret.read(held).bundle_text(wanted, *(certificates.bundle(place) for place in places))

    def leaf(self, held: dict[str, Any] | None) -> issue.Pair | None:
        return secret.read(held).leaf

    def verifies(self, leaf: issue.Pair, bundle: bytes, now: float) -> bool:
        try:
            certificates.verify(leaf.certificate, bundle, now, [SERVICE])
        except certificates.CertificateError:
            return False
        return True

    def ends(self, bundle: bytes) -> float:
        ends = [certificates.read(text).not_after for text in certificates.bundle(bundle).values()]
        return max(ends, default=0)

    def ask(self, held: dict[str, Any]) -> dict[str, Any]:
        return {**held, "metadata": {**held["metadata"], "annotations": {secret.CHANGE_CA: "now"}}}

    def foreign(self, now: float) -> bytes:
        return issue.new_ca("foreign", now - DAY, now + 400 * DAY).certificate

    def damage(self, held: dict[str, Any], how: str, now: float) -> dict[str, Any]:
        data = dict(held["data"])
        if how in {"leaf", "ca", "next_ca"}:
            key = {"leaf": "tls.key", "ca": "ca.key", "next_ca": "next-ca.key"}[how]
            data[key] = base64.b64encode(base64.b64decode(data.get(key, ""))[:90]).decode()
        elif how == "notes":
            data.pop("rotation.json", None)
        elif how == "seen":
            read = secret.read(held)
            state = read.state(now)
            ca = state.next_ca or state.ca
            seen = Seen(ca.fingerprint if ca else "", now + 300 * DAY)
            return secret.written(replace(read, seen=seen), held)
        else:
            made = issue.new_ca("foreign", now - DAY, now + 1000 * DAY)
            if how != "foreign leaf":
                data |= _encoded("ca", made)
            if how != "foreign ca":
                data |= _encoded("tls", issue.new_leaf(made, [SERVICE], now - DAY, now + 80 * DAY))
        return {**held, "data": data}


def _encoded(name: str, pair: issue.Pair) -> dict[str, str]:
    return {
        f"{name}.crt": base64.b64encode(pair.certificate).decode(),
        f"{name}.key": base64.b64encode(pair.key).decode(),
    }
