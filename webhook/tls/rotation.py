"""When a CA and a leaf are made, published, changed and given up: `(now, Secret, published) -> Step`. Pure.

At no second may a leaf that some replica serves fail to verify against what is published. Replicas may serve
what an older Secret held; the leader may stop between any two steps, two may act at once, and the Secret or
the publication may be lost or edited by hand. So:

* What is published now stays, until no leaf of it can be alive; nothing needs to be known of it for that.
* A leaf is signed by a CA only where that is published, and, while another leaf is valid, only after it has
  been seen published everywhere for a day: others follow the publication with a delay.
* Each step is worked out anew from what is there, writes the Secret at most once, and is right to repeat.

This holds if the shell reads in one order and guards both: the publication first, then the Secret (from the
API server, not from a cache); the Secret is written at the version it was read at, and the publication is
changed only if it is still what was read. Whatever another leader published earlier, it had written to its
Secret before that, so it is seen; whatever it publishes later makes our change fail. (Not guarded: a hand
that restores an old Secret in the moment between a leader's reading it and publishing.)

Times are seconds since the epoch. CAs are called by the fingerprints of their certificates.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR

# Certificates in a bundle, of which more than a few are there only after many changes in a row or when
# someone published a foreign list. A registrar gets the bundle as one variable, and Linux takes up to 128 KiB
# for one (MAX_ARG_STRLEN, execve(2)); a certificate of ours takes 0.7 KiB, one with RSA 4096 some 2.
MAX_BUNDLE: Final = 48


@dataclass(frozen=True, slots=True)
class Times:
    """How long things last, in seconds. `renew` is the part of a life after which there is a successor.

    `overlap`: how long a CA is seen published before it signs what replaces a valid leaf. `skew`: how far
    any clock may be off; `backdated`: how long before it is made a certificate begins, for the same reason.
    """

    ca: float = 3650 * _DAY
    leaf: float = 90 * _DAY
    renew: float = 2 / 3
    overlap: float = _DAY
    skew: float = _HOUR
    backdated: float = _DAY

    @property
    def leaf_gone(self) -> float:
        """How long after now no leaf made until now is alive.

        Four clocks may be off: who asks now, who made the leaf, who verifies it, and who acts on the answer.
        """
        return self.leaf + 4 * self.skew


@dataclass(frozen=True, slots=True)
class Authority:
    """The certificate of a CA."""

    fingerprint: str
    not_before: float
    not_after: float


@dataclass(frozen=True, slots=True)
class Leaf:
    """A server's certificate that verifies against the Secret's bundle and has its key with it.

    `issuer` is the CA of the bundle that it verifies by; `names` as `certificates.plain_names` gives them.
    """

    issuer: str
    not_before: float
    not_after: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Since when a CA has been seen published everywhere."""

    fingerprint: str
    since: float


@dataclass(frozen=True, slots=True)
class State:
    """What the Secret holds that can be used; nothing of it where there is none.

    `ca` signs, `next_ca` will; both are there only with their keys. `bundle` is every certificate to be
    published, those two among them; `kept` tells until when the others are. `asked`: someone asks for
    another CA.
    """

    ca: Authority | None = None
    next_ca: Authority | None = None
    leaf: Leaf | None = None
    bundle: tuple[Authority, ...] = ()
    kept: Mapping[str, float] = field(default_factory=dict)
    seen: Seen | None = None
    asked: bool = False


class Why(StrEnum):
    """Why the Secret is written: the `reason` of its log line."""

    KEPT = "kept"  # certificates without a use of ours are published: they stay until their leaves have ended
    NO_CA = "no_ca"
    CA_ENDED = "ca_ended"
    CA_DUE = "ca_due"
    CA_ASKED_FOR = "ca_asked_for"
    SEEN_PUBLISHED = "seen_published"
    SEEN_NO_LONGER = "seen_no_longer"
    NO_LEAF = "no_leaf"
    NAMES_CHANGED = "names_changed"
    LEAF_DUE = "leaf_due"
    CA_CHANGED = "ca_changed"
    GIVEN_UP = "given_up"  # certificates whose leaves have ended are no longer published


class Waiting(StrEnum):
    """What is waited for."""

    PUBLICATION_UNKNOWN = "publication_unknown"  # there is no valid leaf, and nobody knows what is published
    PUBLICATION = "publication"  # there is no valid leaf, and its CA is not published everywhere
    NEW_CA_PUBLICATION = "new_ca_publication"  # a new CA is not published everywhere
    OVERLAP = "overlap"  # a new CA has not been published for long enough
    CLOCK_BEHIND = "clock_behind"  # the CA begins later than now


@dataclass(frozen=True, slots=True)
class Keep:
    """Take certificates into the bundle (some may be in it), each until its time."""

    until: Mapping[str, float]
    why: Why = Why.KEPT


@dataclass(frozen=True, slots=True)
class MakeAuthority:
    """Make a CA: `ca`, or `next_ca` with `ca`'s cross certificate for it. Answers who asked for another."""

    next_ca: bool
    not_before: float
    not_after: float
    why: Why


@dataclass(frozen=True, slots=True)
class MakeLeaf:
    """Make a leaf; by `next_ca`: that becomes `ca`, and the former stays in the bundle without its key."""

    by_next_ca: bool
    not_before: float
    not_after: float
    why: Why


@dataclass(frozen=True, slots=True)
class Note:
    """Write down since when the new CA has been seen published everywhere, or that it no longer is."""

    seen: Seen | None
    why: Why


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Take certificates out of the bundle."""

    fingerprints: frozenset[str]
    why: Why = Why.GIVEN_UP


Write = Keep | MakeAuthority | MakeLeaf | Note | GiveUp


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now. The two are independent of each other: one may fail and the other be done.

    `write`: one change of the Secret. `publish`: certificates, of the Secret or published now, that all
    places shall hold and no others. `waiting` tells why nothing more is done yet.
    """

    write: Write | None = None
    publish: frozenset[str] | None = None
    waiting: Waiting | None = None


def decide(
    now: float,
    state: State,
    published: Sequence[Collection[str]] | None,
    names: tuple[str, ...],
    times: Times,
) -> Step:
    """Give the next step. `names` are those the leaf shall be for, as `certificates.plain_names` gives them.

    `published` is what each place publishes: empty for a place that is still to be made, None if it cannot
    be told now. No place at all: nobody verifies yet.
    """
    return _Case(now, state, published, names, times).step()


def due(begin: float, end: float, now: float, times: Times) -> bool:
    """Whether so much of a life has passed that there should be a successor."""
    return now >= begin + times.renew * (end - begin)


@dataclass(frozen=True, slots=True)
class _Case:
    now: float
    state: State
    published: Sequence[Collection[str]] | None
    names: tuple[str, ...]
    times: Times

    def step(self) -> Step:
        write, waiting = (None, Waiting.CLOCK_BEHIND) if self._is_clock_behind() else self._due()
        wanted = self._wanted() | self._unknown()
        places = self.published or ()
        publish = None if all(set(place) == wanted for place in places) else wanted
        return Step(write, publish, waiting)

    def _is_clock_behind(self) -> bool:
        """Whether the CA begins later than now: by a clock that is behind, nothing is made or given up.

        Another CA in its place would be one that nobody who trusts it for life ever knows. Was it made by a
        clock that was ahead, somebody has to ask for another.
        """
        ca = self.state.ca
        return ca is not None and ca.not_before > self.now and not self.state.asked and not self._signers()

    def _due(self) -> tuple[Write | None, Waiting | None]:
        write: Write | None = self._keep() or self._make_authority()
        waiting = None
        if write is None:
            write, waiting = self._make_leaf()
        return write or self._give_up(), waiting

    # -- what is in use, known, wanted

    def _signers(self) -> list[Authority]:
        """Give the CAs that can sign now, the older first."""
        both = (self.state.ca, self.state.next_ca)
        return [ca for ca in both if ca and ca.not_before <= self.now < ca.not_after]

    def _used(self) -> set[str]:
        return {ca.fingerprint for ca in (self.state.ca, self.state.next_ca) if ca}

    def _known(self) -> set[str]:
        return {authority.fingerprint for authority in self.state.bundle}

    def _there(self) -> set[str]:
        return {fingerprint for place in self.published or () for fingerprint in place}

    def _unknown(self) -> frozenset[str]:
        """Give what is published and not in the bundle, as far as there is room: its leaves may be alive."""
        known = self._known()
        return frozenset(sorted(self._there() - known)[: max(0, MAX_BUNDLE - len(known))])

    def _wanted(self) -> frozenset[str]:
        used = self._used()
        return frozenset(
            authority.fingerprint
            for authority in self.state.bundle
            if authority.fingerprint in used or not self._ended(authority)
        )

    def _ended(self, authority: Authority) -> bool:
        """Whether no leaf of this certificate can be alive for anyone."""
        leaf, slack = self.state.leaf, 2 * self.times.skew
        if self.now >= authority.not_after + slack:
            return True
        if leaf and leaf.issuer == authority.fingerprint and self.now < leaf.not_after + slack:
            return False
        return self.now >= self.state.kept.get(authority.fingerprint, math.inf)

    def _everywhere(self, authority: Authority) -> bool:
        places = self.published or ()
        return bool(places) and all(authority.fingerprint in place for place in places)

    # -- the bundle

    def _keep(self) -> Keep | None:
        """Keep what has no use any more, or never had one of ours, until no leaf of it can be alive."""
        undated = self._known() - self._used() - set(self.state.kept)
        until = self.now + self.times.leaf_gone
        kept = undated | self._unknown()
        return Keep(dict.fromkeys(sorted(kept), until)) if kept else None

    def _give_up(self) -> GiveUp | None:
        """Forget what has ended once it is published nowhere: forgotten earlier, it would be kept anew."""
        if self.published is None:
            return None
        ended = self._known() - self._wanted() - self._there()
        return GiveUp(frozenset(ended)) if ended else None

    # -- the CA

    def _make_authority(self) -> MakeAuthority | None:
        span = (self.now - self.times.backdated, self.now + self.times.ca)
        signers = self._signers()
        if not signers:
            return MakeAuthority(False, *span, Why.CA_ENDED if self.state.ca else Why.NO_CA)
        if signers != [self.state.ca]:
            return None  # a change is under way; who asks for another has to wait for its end
        if due(signers[0].not_before, signers[0].not_after, self.now, self.times):
            return MakeAuthority(True, *span, Why.CA_DUE)
        if self.state.asked and len(self.state.bundle) < MAX_BUNDLE:
            return MakeAuthority(True, *span, Why.CA_ASKED_FOR)
        return None

    # -- the leaf

    def _make_leaf(self) -> tuple[Write | None, Waiting | None]:
        leaf = self.state.leaf
        if leaf and not leaf.not_before <= self.now < leaf.not_after:
            leaf = None
        if leaf is None or leaf.names != self.names:
            return self._leaf_at_once(leaf)
        target = self._signers()[-1]
        if leaf.issuer == target.fingerprint:
            return self._renewed(leaf), None
        write, waiting = self._leaf_by(target)
        return write or self._renewed(leaf), waiting

    def _leaf_at_once(self, leaf: Leaf | None) -> tuple[Write | None, Waiting | None]:
        """Replace no leaf, or one of other names: by a CA that is published, or that is no worse than now."""
        why = Why.NAMES_CHANGED if leaf else Why.NO_LEAF
        nobody_verifies = self.published is not None and not self.published
        for ca in self._signers():
            no_worse = leaf is not None and leaf.issuer == ca.fingerprint
            if no_worse or nobody_verifies or self._everywhere(ca):
                return self._leaf_of(ca, why), None
        return None, Waiting.PUBLICATION_UNKNOWN if self.published is None else Waiting.PUBLICATION

    def _leaf_by(self, target: Authority) -> tuple[Write | None, Waiting | None]:
        """Replace a valid leaf by one of another CA, once that has been seen everywhere for long enough."""
        if self.published is None:
            return None, Waiting.NEW_CA_PUBLICATION
        seen = self.state.seen
        if seen and (seen.fingerprint != target.fingerprint or seen.since > self.now + 2 * self.times.skew):
            seen = None
        if not self._everywhere(target):
            return (Note(None, Why.SEEN_NO_LONGER) if seen else None), Waiting.NEW_CA_PUBLICATION
        if seen is None:
            return Note(Seen(target.fingerprint, self.now), Why.SEEN_PUBLISHED), Waiting.OVERLAP
        if self.now - seen.since < self.times.overlap:
            return None, Waiting.OVERLAP
        return self._leaf_of(target, Why.CA_CHANGED), None

    def _renewed(self, leaf: Leaf) -> MakeLeaf | None:
        """Renew a leaf by its own CA: whatever is published, it is no worse than now."""
        for ca in self._signers():
            longer = min(self.now + self.times.leaf, ca.not_after) > leaf.not_after
            if leaf.issuer == ca.fingerprint and longer:
                is_due = due(leaf.not_before, leaf.not_after, self.now, self.times)
                return self._leaf_of(ca, Why.LEAF_DUE) if is_due else None
        return None

    def _leaf_of(self, ca: Authority, why: Why) -> MakeLeaf:
        end = min(self.now + self.times.leaf, ca.not_after)
        return MakeLeaf(ca is self.state.next_ca, self.now - self.times.backdated, end, why)
