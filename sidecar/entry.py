"""One row in the keeper's care: what is wanted of it, and what is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from sidecar.registration import Row, Stored
from sidecar.rows import Known, Presence, Step, Wish, next_step
from sidecar.siblings import Disagreement, disagreement, wants_weight

# What differs of a row that is not there.
ALL: Final = ("row",)
MOST_IN_VAIN: Final = 16
# Every word that `Entry.state` can be.
STATES: Final = (
    *("registered", "pending", "not_live"),
    *("blocked", "blocked_by_someone_else", "blocked_by_reaper", "removing"),
)


@dataclass(slots=True, eq=False)
class Entry:
    """One row in our care.

    `begun` is when it was first wanted, `failures` how many tries have failed in a row, all of them `refused`
    by a rule or none, `sent` whether a creation was sent that may have succeeded, `shown`
    whether the log says that it is there, `differs` what a look found other than it should be, `in_vain`
    how often in a row that was the same as at the look before (`repaired`), `looks` how often it was looked
    at. `met`: the rows of its name were looked at, by which `weighted` says whether our default weight is
    sent, and `odds` that some of them starve.
    """

    id: str
    name: str
    served: str
    wish: Wish
    begun: float
    known: Known = field(default_factory=Known)
    failures: int = 0
    refused: bool = False
    sent: bool = False
    shown: bool = False
    differs: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    in_vain: int = 0
    looks: int = 0
    met: bool = False
    weighted: bool = True
    odds: Disagreement | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def row(self) -> Row | None:
        """The row as it is to be in LiteLLM, given its siblings; None: it is not to be there."""
        row = self.wish.row
        return row if row is None or self.weighted else row.without_our_weight()

    @property
    def registered(self) -> bool:
        """Whether the row is wanted and was there when last heard of."""
        return self.shown and self.wish.row is not None

    @property
    def routable(self) -> bool:
        """Whether LiteLLM sends requests to the row, as far as is known."""
        return self.registered and self.known.live and not self.known.blocked

    @property
    def state(self) -> str:
        """Give one word for `/status`."""
        if self.wish.row is None:
            return "removing"
        if self.known.presence is not Presence.THERE:
            return "pending"
        if not self.known.live:
            return "not_live"
        if self.known.foreign_block:
            return "blocked_by_reaper" if self.known.by_reaper else "blocked_by_someone_else"
        return "blocked" if self.known.blocked else "registered"

    def step(self, *, can_block: bool) -> Step:
        """Give the call that is needed now."""
        return next_step(Wish(self.row, self.wish.blocked), self.known, can_block=can_block)

    def found(self, differing: tuple[str, ...] | None) -> None:
        """Take note of the keys that a look found other than they should be; None: the row was not there."""
        again = bool(differing) and differing == self.repaired
        # A row that is deleted again and again is made again without delay.
        self.in_vain = min(self.in_vain + 1, MOST_IN_VAIN) if again else 0
        self.repaired = differing or ()
        self.differs = ALL if differing is None else differing

    def meet(self, group: tuple[Stored, ...]) -> Stored | None:
        """Take note of the rows of its name, and give this row itself if it is among them."""
        self.met = True
        own = next((stored for stored in group if stored.id == self.id), None)
        others = [stored.params for stored in group if stored.id != self.id and not stored.blocked]
        last = None if self.known.content is None else self.known.content.params
        params = last if own is None else own.params
        self.weighted = wants_weight(params, others)
        blocked = self.wish.blocked if own is None else own.blocked
        ours = [] if self.row is None or blocked else [{**(params or {}), **self.row.params}]
        self.odds = disagreement([*ours, *others])
        return own
