"""One row: what is wanted of it, what is known of it, and the one call that brings these nearer. Pure.

The calls are those of the decision table in `litellm`: PATCH (`settle`) reads and writes the database, so its
answer is what a row is; everything else may be stale or lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from sidecar.reasons import Reason
from sidecar.registration import Row, Stored, body, drift, owner_block
from sidecar.row_contract import MARK, MARKED_BY_US, REAPER_KEY


class Presence(StrEnum):
    """Whether a row is in LiteLLM's database."""

    NEW = "new"  # never asked; most likely not there
    UNSURE = "unsure"
    THERE = "there"
    ABSENT = "absent"


class Step(StrEnum):
    """One call to LiteLLM."""

    NONE = "none"
    CREATE = "create"
    SETTLE = "settle"
    UPDATE = "update"
    BLOCK = "block"
    UNBLOCK = "unblock"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a row shall be; no row: it shall not be there."""

    row: Row | None
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a row in LiteLLM.

    `content` is the row as last confirmed, `owner` its ownership block as stored. `lost`: the answer to a
    creation was lost, so the row may still appear after a deletion that found none. `live`: LiteLLM serves
    it. `rewritten`: an ownership block as it was sent last, and what was stored instead, without the mark (a
    broker writes it itself, and an older one leaves out what it does not know). `by_reaper`: the broker's
    reaper has blocked it, whose block is its own to undo.
    """

    presence: Presence = Presence.NEW
    content: Row | None = None
    owner: Mapping[str, Any] = field(default_factory=dict)
    blocked: bool = False
    lost: bool = False
    live: bool = True
    rewritten: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    by_reaper: bool = False

    def as_stored(self, row: Row) -> Row:
        """Give the row with its ownership block as it is stored when this one is sent."""
        if self.rewritten is None or self.rewritten[0] != row.owner:
            return row
        return replace(row, owner=self.rewritten[1])

    @property
    def marked(self) -> bool:
        """Whether the row carries the mark of our own block."""
        return self.owner.get(MARK) == MARKED_BY_US

    @property
    def foreign_block(self) -> bool:
        """Whether somebody else has blocked the row: such a block is never undone."""
        return self.blocked and not self.marked


# With these reasons a creation has certainly not happened, and a deletion will not either.
_NO_WAY_IN: Final = frozenset(
    {
        Reason.LITELLM_NO_SECRET,
        Reason.LITELLM_BAD_URL,
        Reason.LITELLM_BAD_CA,
        Reason.LITELLM_UNREACHABLE,
        Reason.LITELLM_WRONG_KEY,
        Reason.LITELLM_KEY_MAY_NOT_WRITE,
        Reason.LITELLM_NO_DATABASE,
        Reason.LITELLM_STORE_MODEL_OFF,
        Reason.LITELLM_NOT_LICENSED,
        Reason.BROKER_NO_TOKEN,
        Reason.BROKER_BAD_URL,
        Reason.BROKER_BAD_CA,
        Reason.BROKER_BAD_TLS,
        Reason.BROKER_UNREACHABLE,
        Reason.BROKER_REFUSED_TOKEN,
        Reason.BROKER_REFUSED_POD,
        Reason.BROKER_WRONG_KEY,
        Reason.BROKER_KEY_MAY_NOT_WRITE,
    }
)
# With these a creation has not happened either; a deletion will, a little later.
_NOT_NOW: Final = frozenset(
    {
        Reason.BROKER_REFUSED_ROW,
        Reason.BROKER_POD_UNSEEN,
        Reason.BROKER_NOT_YET,
        Reason.BROKER_BUSY,
        Reason.BROKER_WITHOUT_KUBERNETES,
    }
)


def next_step(wish: Wish, known: Known, *, can_block: bool = True) -> Step:
    """Give the call that is needed now; `can_block` is whether this LiteLLM knows `blocked` at all."""
    if wish.row is None:
        gone = known.presence is Presence.ABSENT and not known.lost
        return Step.NONE if gone else Step.DELETE
    if known.presence is not Presence.THERE:
        absent = Step.CREATE if wish.row.whole else Step.NONE
        return Step.SETTLE if known.presence is Presence.UNSURE else absent
    if known.content != wish.row:
        return Step.UPDATE
    if wish.blocked and not known.blocked and can_block:
        return Step.BLOCK
    if known.marked and known.blocked and not wish.blocked:
        return Step.UNBLOCK
    wanted = owner_block(known.as_stored(wish.row), marked=_marked(known))
    return Step.NONE if known.owner == wanted else Step.UPDATE


def request(step: Step, row: Row, known: Known, *, blocked: bool) -> dict[str, Any]:
    """Give the body of a CREATE, SETTLE, UPDATE, BLOCK or UNBLOCK.

    SETTLE leaves out `blocked` and the ownership block, so that its answer shows both as they are stored.
    """
    if step is Step.CREATE:
        return body(row, owner=owner_block(row, marked=blocked), blocked=blocked or None)
    if step is Step.SETTLE:
        return body(row, owner=None, blocked=None)
    if step is Step.UPDATE:
        return body(row, owner=owner_block(row, marked=_marked(known)), blocked=None)
    return body(row, owner=owner_block(row, marked=step is Step.BLOCK), blocked=step is Step.BLOCK)


def after_write(step: Step, row: Row, stored: Stored, known: Known) -> Known:
    """Give what is known after LiteLLM answered a creation or change of a row with the row."""
    rewritten = known.rewritten
    if step is not Step.SETTLE:
        written = {key: value for key, value in stored.owner.items() if key != MARK}
        rewritten = None if written == row.owner else (row.owner, written)
    return replace(
        known,
        presence=Presence.THERE,
        content=row,
        owner=stored.owner,
        blocked=stored.blocked is True,
        by_reaper=bool(stored.info.get(REAPER_KEY)),
        lost=False,
        live=True,
        rewritten=rewritten,
    )


def after_saved(step: Step, row: Row, known: Known, *, blocked: bool) -> Known:
    """Give what is known after LiteLLM said "saved, but not live": what was sent is stored."""
    marked = {Step.CREATE: blocked, Step.BLOCK: True, Step.UNBLOCK: False}
    now = marked.get(step, known.blocked)
    owner = known.owner if step is Step.SETTLE else owner_block(row, marked=marked.get(step, _marked(known)))
    return Known(Presence.THERE, row, owner, now, live=False)


def after_create_failed(known: Known, reason: Reason) -> Known:
    """Give what is known after a creation that was not answered with the row; mostly PATCH must tell."""
    if reason in _NO_WAY_IN | _NOT_NOW:
        return known
    answered = reason in (Reason.LITELLM_REFUSED_ROW, Reason.LITELLM_NOT_ADDED)
    lost = known.lost or not answered
    return replace(known, presence=Presence.UNSURE, lost=lost)


def after_delete_failed(known: Known, reason: Reason) -> Known:
    """Give what is known after a deletion failed: a row never made, behind a closed door, counts as gone."""
    never_made = known.presence is Presence.NEW and reason in _NO_WAY_IN
    return replace(known, presence=Presence.ABSENT) if never_made else known


def after_delete(known: Known) -> Known:
    """Give what is known after a deletion: where a creation was lost, it takes a second one to be sure."""
    return Known(Presence.ABSENT, lost=known.lost and known.presence is not Presence.ABSENT)


def as_seen(row: Row, stored: Stored | None, known: Known) -> bool:
    """Tell whether a look at the row agrees with what is known of it."""
    return (
        stored is not None
        and not drift(known.as_stored(row), stored)
        and (stored.blocked is True) == known.blocked
        and (stored.owner.get(MARK) == MARKED_BY_US) == known.marked
    )


def _marked(known: Known) -> bool:
    """Whether the mark belongs on the row: a mark without a block is a left-over."""
    return known.marked and known.blocked
