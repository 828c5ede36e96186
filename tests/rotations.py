"""A cluster in which certificates rotate: leaders, replicas, clocks an hour off, and rough hands.

It is the same on paper and with real certificates (`rotation_makers`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from tests.rotation_makers import DAMAGE, SERVICE, Makers, Places
from webhook.tls import rotation
from webhook.tls.rotation import MakeLeaf, State, Step, Times, Why, Write

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
START: Final = 1_800_000_000.0
# How long a replica may go on serving what an older Secret held.
LAG: Final = 6 * HOUR
# How long there may be no leader.
LEADERLESS: Final = 12 * DAY

LONG: Final = Times()
# CAs that end within a simulation too.
SHORT: Final = Times(ca=400 * DAY)

PUBLICATION: Final = ("wipe one", "wipe all", "older bundle", "foreign bundle")
SECRET: Final = ("lose secret", "older secret", *DAMAGE)

# What happens how often: where much is asked for, and where little but time passes.
_EVENTS: Final = ("act", "time", "look", "leaders", "restart", "ask", "names", "hand")
_BUSY: Final = (55, 20, 13, 3, 2, 2, 1, 2)
_CALM: Final = (45, 35, 13, 3, 2, 0.2, 0.2, 1)
_TIMES: Final = (1, MINUTE, HOUR, HOUR, 7 * HOUR, DAY, 5 * DAY, 11 * DAY)


@dataclass(slots=True)
class Replica:
    """Serves what it has taken; `seen` is the version of the Secret it saw last, at `looked`."""

    leaf: Any = None
    seen: int = 0
    looked: float = START


Decide = Callable[[float, State, Sequence[Collection[str]] | None, tuple[str, ...], Times], Step]


@dataclass(slots=True)
class Cluster:
    """Time, the Secret with its versions, two places of publication, leaders and replicas."""

    makers: Makers
    seed: int
    times: Times = LONG
    decide: Decide = rotation.decide
    now: float = START
    names: tuple[str, ...] = (SERVICE,)
    replicas: list[Replica] = field(default_factory=lambda: [Replica(), Replica()])
    trace: list[str] = field(default_factory=list)
    secrets: list[tuple[float, Any]] = field(default_factory=lambda: [(START, None)])
    random: Random = field(init=False)
    published: Places = field(init=False)
    version: int = 0
    hands: int = 0  # how often the Secret was edited by hand
    histories: list[tuple[float, Places]] = field(default_factory=list)
    asked: int = 0
    acted: int = 0
    # for each leaf: whether it verified when it was written
    verified: list[bool] = field(default_factory=list)
    # for each leaf that was replaced by one of another CA: whether that had been published for long enough
    changes: list[bool] = field(default_factory=list)
    quiet: float = START  # when a leader last found nothing to do
    _excused: dict[int, Any] = field(default_factory=dict)
    # The notes of a restored Secret may say of a CA that its last leaf has ended, and it has signed again:
    # such a leaf may fail until a leader has done what there is to do and every replica has seen it.
    _excused_until: float = START
    _leaders: list[Generator[bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - chance that can be repeated
        self.published = [self.makers.nothing, self.makers.nothing]
        self.histories.append((self.now, list(self.published)))
        self._leaders = [self._leader(0.0)]

    @property
    def secret(self) -> Any:
        """The Secret as it is."""
        return self.secrets[-1][1]

    # -- what happens

    def events(self, number: int, hands: Sequence[str]) -> None:
        """Let so many things happen, the rough ones only of `hands`; after each, every leaf must verify."""
        weights = self.random.choice([_BUSY, _CALM])
        for event in self.random.choices(_EVENTS, weights, k=number):
            self._one(event, hands)
            self.check()

    def _one(self, event: str, hands: Sequence[str]) -> None:
        match event:
            case "act":
                self._go_on(self.random.choice(self._leaders), self.random.randint(1, 9))
            case "time":
                self.pass_time(self.random.choice(_TIMES))
            case "look":
                self._look(self.random.choice(self.replicas), old=self.random.random() < 0.3)
            case "leaders":
                self._change_leaders()
            case "restart":
                self.random.choice(self.replicas).leaf = None
            case "ask" if self.secret is not None:
                self._ask()
            case "names":
                extra = self.random.choice([(), ("other.apps.svc",), ("third.apps.svc",)])
                self.names = tuple(sorted((SERVICE, *extra)))
            case "hand" if hands:
                self.hand(self.random.choice(hands))

    def pass_time(self, seconds: float) -> None:
        """Let time pass; replicas lag no more than they may, and no leader is missing for weeks."""
        then = self.now + seconds
        if then - self.quiet > LEADERLESS:
            self.settle()
        for replica in self.replicas:
            unseen = [time for time, _ in self.secrets[replica.seen + 1 :]]
            # what it has seen and not taken, as nobody would have trusted it, it tries again
            untaken = replica.leaf != self.makers.leaf(self.secret)
            if (unseen and unseen[0] + LAG < then) or (untaken and replica.looked + LAG < then):
                self._look(replica, old=False)
        self.now = then
        self.trace.append(f"+{seconds:.0f}")

    def settle(self) -> None:
        """Let a leader do what there is to do, and the replicas see it."""
        for _ in range(2):  # the first time it may end a round that it began long ago
            while not next(self._leaders[0]):
                self.check()
            self._be_quiet()
            for replica in self.replicas:
                self._look(replica, old=False)
            self.check()

    def calm(self, days: int) -> None:
        """Let days pass in which all is well."""
        for _ in range(days):
            self.settle()
            self.pass_time(DAY)
            self.check()
        self.settle()

    def _ask(self) -> None:
        if not self.makers.state(self.secret, self.now).asked:
            self.asked += 1
        self._commit(self.makers.ask(self.secret))
        self.trace.append("asked")

    def hand(self, what: str) -> None:
        """Let someone do what they should not. What they break is not held against the machine."""
        self.trace.append(f"hand: {what}")
        self.hands += what in SECRET
        if what in PUBLICATION:
            self._edit_publication(what)
        elif what == "lose secret":
            self._commit(None)
        elif what == "older secret":
            self._commit(self._backup())
            self._excused_until = math.inf
        elif self.secret is not None:
            self._commit(self.makers.damage(self.secret, what, self.now))
        if self.published != self.histories[-1][1]:
            self._published()
        for index, replica in enumerate(self.replicas):
            if replica.leaf is not None and not self._verifies(replica.leaf):
                self._excused[index] = replica.leaf

    def _edit_publication(self, how: str) -> None:
        where = self.random.randrange(len(self.published))
        match how:
            case "wipe one":
                self._set(self.makers.nothing, where)
            case "wipe all":
                self.published = [self.makers.nothing] * len(self.published)
            case "older bundle":
                self.published = list(self.random.choice(self.histories)[1])
            case "foreign bundle":
                self._set(self.makers.foreign(self.now), where)

    def _backup(self) -> Any:
        """Give an older Secret, whose leaf and CA have ended or last until a leader has replaced them."""
        held = self.secrets[self.random.randrange(len(self.secrets))][1]
        state = self.makers.state(held, self.now)
        ends = [each.not_after for each in (state.leaf, state.ca) if each and each.not_after > self.now]
        return held if min(ends, default=math.inf) > self.now + 2 * LEADERLESS else self.secret

    # -- who acts

    def _change_leaders(self) -> None:
        """Let a leader end wherever it is; there are one or two then, with clocks up to an hour off."""
        offsets = [self.random.choice([-HOUR, 0.0, HOUR]) for _ in range(self.random.randint(1, 2))]
        self._leaders = [*self._leaders[1:], *(self._leader(offset) for offset in offsets)][-2:]
        self.trace.append("leaders")

    def _go_on(self, leader: Generator[bool], steps: int) -> None:
        for _ in range(steps):
            if next(leader):
                self._be_quiet()

    def _leader(self, offset: float) -> Generator[bool]:
        """Act as the shell does; between any two calls others may act, or this one ends."""
        while True:
            version, places = self.version, list(self.published)
            yield False
            number, held, hands = len(self.secrets), self.secret, self.hands
            yield False
            now, names = self.now + offset, self.names
            there = [self.makers.fingerprints(place) for place in places]
            step = self.decide(now, self.makers.state(held, now), there, names, self.times)
            if step.write:
                made = self.makers.perform(step.write, held, places, names, now)
                yield False
                if len(self.secrets) == number:
                    self._commit(made)
                    self._noted(step.write)
            if step.publish is not None:
                text = self.makers.text(held, step.publish, places)
                yield False
                # against a hand that restores an old Secret in the seconds between the calls nothing guards
                if self.version == version and self.hands == hands:
                    self.published = [text] * len(self.published)
                    self._published()
            yield step.write is None and step.publish is None

    def _be_quiet(self) -> None:
        """Note that a leader has found nothing to do."""
        self.quiet = self.now
        self._excused_until = min(self._excused_until, self.now + LAG)

    def _noted(self, write: Write) -> None:
        """Remember what was written, and whether a leaf was made for which its CA was not published."""
        self.trace.append(f"{type(write).__name__} {write.why}")
        self.acted += write.why is Why.CA_ASKED_FOR
        if isinstance(write, MakeLeaf):
            self.verified.append(self._verifies(self.makers.leaf(self.secret)))
        if write.why is Why.CA_CHANGED:
            self.changes.append(self._long_published(self.makers.state(self.secret, self.now)))

    def _published(self) -> None:
        self.version += 1
        self.histories.append((self.now, list(self.published)))
        self.trace.append(f"publish {len(self.makers.fingerprints(self.published[0]))}")

    def _commit(self, made: Any) -> None:
        self.secrets.append((self.now, made))

    def _set(self, bundle: Any, where: int) -> None:
        self.published = [bundle if at == where else old for at, old in enumerate(self.published)]

    def _look(self, replica: Replica, *, old: bool) -> None:
        """Take the Secret's leaf if it verifies by what is published; `old`: see an older Secret."""
        newest = len(self.secrets) - 1
        oldest = next((at for at, (time, _) in enumerate(self.secrets) if time + LAG > self.now), newest + 1)
        at = self.random.randint(max(0, oldest - 1), newest) if old else newest
        leaf = self.makers.leaf(self.secrets[at][1])
        replica.seen, replica.looked = at, self.now
        if leaf is not None and self._verifies(leaf):
            replica.leaf = leaf

    # -- what must be true

    def _verifies(self, leaf: Any) -> bool:
        return all(
            self.makers.verifies(leaf, place, self.now + off)
            for place in self.published
            for off in (-HOUR, HOUR)
        )

    def calm_state(self) -> State:
        """Give what is true after days in which all was well; everyone serves the Secret's leaf then."""
        self.calm(4)
        state = self.makers.state(self.secret, self.now)
        assert not self._excused
        assert all(replica.leaf == self.makers.leaf(self.secret) for replica in self.replicas), self.trace[
            -60:
        ]
        return state

    def _long_published(self, state: State) -> bool:
        """Tell whether the leaf's CA was everywhere for a day, as far as two clocks an hour off can tell."""
        assert state.leaf is not None
        since = self.now - self.times.overlap + 2 * HOUR
        before = max(at for at, (time, _) in enumerate(self.histories) if at == 0 or time <= since)
        return all(
            state.leaf.issuer in self.makers.fingerprints(place)
            for _, places in self.histories[before:]
            for place in places
        )

    def check_bundles(self) -> None:
        """Hold what is served against every bundle that ever was published, as long as its CAs last."""
        for _, places in self.histories[1:]:
            for bundle in places:
                assert self.makers.ends(bundle) < self.now + HOUR or all(
                    self.makers.verifies(replica.leaf, bundle, self.now)
                    for replica in self.replicas
                    if replica.leaf is not None
                ), self.trace[-60:]

    def check(self) -> None:
        """Every leaf that is served verifies everywhere, on clocks an hour off too."""
        for index, replica in enumerate(self.replicas):
            if replica.leaf is None or self._verifies(replica.leaf):
                self._excused.pop(index, None)
            else:
                excused = self._excused.get(index) is replica.leaf or self.now < self._excused_until
                assert excused, f"replica {index} fails after {self.trace[-60:]}"
