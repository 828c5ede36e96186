"""One row: wish and knowledge in, the one call that is needed out. Pure."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.reasons import Reason
from sidecar.registration import Row, Stored
from sidecar.rows import (
    Known,
    Presence,
    Step,
    Wish,
    after_create_failed,
    after_delete,
    after_delete_failed,
    after_saved,
    after_write,
    as_seen,
    next_step,
    request,
)

OWNER = {"cluster": "c1", "pod_uid": "u1"}
MARKED = {**OWNER, "blocked_by": "registrar"}
ROW = Row("registrar-1", "m", "m", {"model": "openai/m"}, {"id": "registrar-1", "mode": "chat"}, OWNER)
ADOPTED = replace(ROW, params={})
CHANGED = replace(ROW, name="other")
WANTED = Wish(ROW)
BLOCKED = Wish(ROW, blocked=True)
UNWANTED = Wish(None)

THERE = Known(Presence.THERE, ROW, OWNER)
BLOCKED_BY_US = Known(Presence.THERE, ROW, MARKED, blocked=True)
BLOCKED_BY_OTHERS = Known(Presence.THERE, ROW, OWNER, blocked=True)
UNBLOCKED_BY_OTHERS = Known(Presence.THERE, ROW, MARKED, blocked=False)


@pytest.mark.parametrize(
    ("wish", "known", "step"),
    [
        # A new row is made at once; what may be there is settled; what is absent is made.
        (WANTED, Known(), Step.CREATE),
        (WANTED, Known(Presence.UNSURE), Step.SETTLE),
        (WANTED, Known(Presence.ABSENT), Step.CREATE),
        (BLOCKED, Known(), Step.CREATE),
        # In order: nothing to do.
        (WANTED, THERE, Step.NONE),
        (BLOCKED, BLOCKED_BY_US, Step.NONE),
        # Changed content, changed owner.
        (Wish(CHANGED), THERE, Step.UPDATE),
        (WANTED, replace(THERE, owner={}), Step.UPDATE),
        (WANTED, replace(THERE, owner={**OWNER, "node": "n2"}), Step.UPDATE),
        # Health.
        (BLOCKED, THERE, Step.BLOCK),
        (WANTED, BLOCKED_BY_US, Step.UNBLOCK),
        # Somebody else's block is never undone, nor marked as ours.
        (WANTED, BLOCKED_BY_OTHERS, Step.NONE),
        (BLOCKED, BLOCKED_BY_OTHERS, Step.NONE),
        (Wish(CHANGED), BLOCKED_BY_OTHERS, Step.UPDATE),
        # Somebody undid our block: in ill health it is made again, else only the mark goes.
        (BLOCKED, UNBLOCKED_BY_OTHERS, Step.BLOCK),
        (WANTED, UNBLOCKED_BY_OTHERS, Step.UPDATE),
        # Away with it.
        (UNWANTED, THERE, Step.DELETE),
        (UNWANTED, Known(), Step.DELETE),
        (UNWANTED, Known(Presence.UNSURE), Step.DELETE),
        (UNWANTED, BLOCKED_BY_OTHERS, Step.DELETE),
        (UNWANTED, Known(Presence.ABSENT), Step.NONE),
        (UNWANTED, Known(Presence.ABSENT, lost=True), Step.DELETE),
        # A row found in LiteLLM is settled and blocked, but never made anew.
        (Wish(ADOPTED), Known(Presence.UNSURE), Step.SETTLE),
        (Wish(ADOPTED), Known(Presence.ABSENT), Step.NONE),
    ],
)
def test_the_one_call_that_is_needed(wish: Wish, known: Known, step: Step) -> None:
    """For every wish and state of knowledge there is exactly one next call."""
    assert next_step(wish, known) is step


def test_a_litellm_without_blocked_is_not_asked_to_block() -> None:
    """Where `blocked` does not exist, ill health leads to no call."""
    assert next_step(BLOCKED, THERE, can_block=False) is Step.NONE


def test_settling_leaves_the_block_and_the_owner_as_they_are() -> None:
    """The answer to a settling PATCH shows who blocked, because it does not write that."""
    sent = request(Step.SETTLE, ROW, Known(), blocked=True)
    assert "blocked" not in sent
    assert sent["model_info"] == ROW.info


@pytest.mark.parametrize(
    ("step", "known", "blocked", "owner"),
    [
        (Step.CREATE, Known(), None, OWNER),
        (Step.UPDATE, THERE, None, OWNER),
        (Step.UPDATE, BLOCKED_BY_US, None, MARKED),
        (Step.UPDATE, UNBLOCKED_BY_OTHERS, None, OWNER),
        (Step.UPDATE, BLOCKED_BY_OTHERS, None, OWNER),
        (Step.BLOCK, THERE, True, MARKED),
        (Step.UNBLOCK, BLOCKED_BY_US, False, OWNER),
    ],
)
def test_block_and_mark_go_together(
    step: Step, known: Known, *, blocked: bool | None, owner: dict[str, Any]
) -> None:
    """A block carries our mark in the same call, its end takes it away, an update changes neither."""
    sent = request(step, ROW, known, blocked=False)
    assert sent.get("blocked") is blocked
    assert sent["model_info"]["registrar"] == owner


def test_a_row_made_in_ill_health_is_made_blocked() -> None:
    """/model/new takes `blocked`: no moment in which LiteLLM sends to a server that is not well."""
    sent = request(Step.CREATE, ROW, Known(), blocked=True)
    assert sent["blocked"] is True
    assert sent["model_info"]["registrar"] == MARKED


def stored(owner: dict[str, Any], *, blocked: bool | None) -> Stored:
    """Give the row as LiteLLM answers it."""
    return Stored(ROW.id, ROW.name, {}, {**ROW.info, "registrar": owner}, blocked)


def test_an_answer_is_what_is_known() -> None:
    """After a write the answer's own block and mark count, not what was sent."""
    known = after_write(Step.SETTLE, ROW, stored(OWNER, blocked=True), Known(Presence.UNSURE, lost=True))
    assert known == BLOCKED_BY_OTHERS
    assert known.foreign_block
    assert not after_write(Step.BLOCK, ROW, stored(MARKED, blocked=True), Known()).foreign_block
    assert not after_write(Step.CREATE, ROW, stored(OWNER, blocked=None), Known()).blocked


def test_a_block_that_the_broker_writes_otherwise_is_what_is_wanted() -> None:
    """It leaves out what it does not know: neither the next step nor a look takes that for a change."""
    theirs = {"cluster": "c1"}
    known = after_write(Step.CREATE, ROW, stored(theirs, blocked=False), Known())
    assert next_step(WANTED, known) is Step.NONE
    assert as_seen(ROW, stored(theirs, blocked=False), known)
    assert not as_seen(ROW, stored({**theirs, "cluster": "c2"}, blocked=False), known)
    # A look that sent no block has learned nothing of what becomes of one.
    assert after_write(Step.SETTLE, ROW, stored(OWNER, blocked=False), known).rewritten == known.rewritten
    # Blocked with our mark: the mark is no part of it.
    marked = after_write(Step.BLOCK, ROW, stored({**theirs, "blocked_by": "registrar"}, blocked=True), known)
    assert next_step(replace(WANTED, blocked=True), marked) is Step.NONE
    assert next_step(WANTED, marked) is Step.UNBLOCK
    # Another block is written, and what becomes of that is seen then.
    other = replace(ROW, owner={**OWNER, "version": "2"})
    assert next_step(Wish(other), replace(known, content=other)) is Step.UPDATE
    # A broker that knows all of it stores what is sent.
    assert after_write(Step.UPDATE, ROW, stored(OWNER, blocked=False), known).rewritten is None


@pytest.mark.parametrize(
    ("reason", "presence", "lost"),
    [
        (Reason.LITELLM_NO_ANSWER, Presence.UNSURE, True),
        (Reason.LITELLM_ERROR, Presence.UNSURE, True),
        (Reason.LITELLM_NOT_ADDED, Presence.UNSURE, False),
        (Reason.LITELLM_REFUSED_ROW, Presence.UNSURE, False),
        (Reason.LITELLM_DATABASE_DOWN, Presence.UNSURE, True),
        (Reason.LITELLM_UNREACHABLE, Presence.NEW, False),
        (Reason.LITELLM_WRONG_KEY, Presence.NEW, False),
        (Reason.LITELLM_KEY_MAY_NOT_WRITE, Presence.NEW, False),
        (Reason.LITELLM_NO_SECRET, Presence.NEW, False),
        (Reason.LITELLM_STORE_MODEL_OFF, Presence.NEW, False),
        (Reason.LITELLM_NOT_LICENSED, Presence.NEW, False),
        (Reason.BROKER_UNREACHABLE, Presence.NEW, False),
        (Reason.BROKER_REFUSED_TOKEN, Presence.NEW, False),
        (Reason.BROKER_REFUSED_ROW, Presence.NEW, False),
        (Reason.BROKER_BUSY, Presence.NEW, False),
        (Reason.BROKER_WITHOUT_KUBERNETES, Presence.NEW, False),
        (Reason.BROKER_NOT_YET, Presence.NEW, False),
        (Reason.BROKER_NO_ANSWER, Presence.UNSURE, True),
        (Reason.BROKER_ERROR, Presence.UNSURE, True),
    ],
)
def test_a_failed_creation(reason: Reason, presence: Presence, *, lost: bool) -> None:
    """PATCH must tell, except where nothing can have been made."""
    assert after_create_failed(Known(), reason) == Known(presence, lost=lost)


def test_a_saved_row_that_is_not_live_is_there() -> None:
    """After "saved, but not live" nothing is made again: what was sent is stored."""
    assert after_saved(Step.CREATE, ROW, Known(), blocked=False) == replace(THERE, live=False)
    assert after_saved(Step.BLOCK, ROW, THERE, blocked=True) == replace(BLOCKED_BY_US, live=False)
    assert after_saved(Step.UPDATE, ROW, BLOCKED_BY_US, blocked=True) == replace(BLOCKED_BY_US, live=False)
    assert next_step(WANTED, replace(THERE, live=False)) is Step.NONE


def test_a_lost_creation_is_deleted_twice() -> None:
    """A creation whose answer was lost may come after the first deletion."""
    once = after_delete(Known(Presence.UNSURE, lost=True))
    assert next_step(UNWANTED, once) is Step.DELETE
    assert next_step(UNWANTED, after_delete(once)) is Step.NONE
    assert next_step(UNWANTED, after_delete(THERE)) is Step.NONE


def test_a_row_never_made_behind_a_closed_door_counts_as_gone() -> None:
    """A pod whose Secret is missing has nothing to delete; one whose row exists goes on trying."""
    assert next_step(UNWANTED, after_delete_failed(Known(), Reason.LITELLM_NO_SECRET)) is Step.NONE
    assert next_step(UNWANTED, after_delete_failed(Known(), Reason.LITELLM_NO_ANSWER)) is Step.DELETE
    assert next_step(UNWANTED, after_delete_failed(THERE, Reason.LITELLM_WRONG_KEY)) is Step.DELETE
    assert next_step(UNWANTED, after_delete_failed(Known(), Reason.BROKER_BAD_TLS)) is Step.NONE
    # A door that is only busy opens again: what an earlier life has left is behind it.
    assert next_step(UNWANTED, after_delete_failed(Known(), Reason.BROKER_BUSY)) is Step.DELETE


@pytest.mark.parametrize(
    ("seen", "known", "expected"),
    [
        (stored(OWNER, blocked=False), THERE, True),
        (stored(OWNER, blocked=None), THERE, True),
        (stored(MARKED, blocked=True), BLOCKED_BY_US, True),
        (None, THERE, False),
        (stored(OWNER, blocked=True), THERE, False),
        (stored(OWNER, blocked=True), BLOCKED_BY_US, False),
        (stored(OWNER, blocked=False), BLOCKED_BY_OTHERS, False),
        (stored({}, blocked=False), THERE, False),
    ],
)
def test_a_look_at_a_row(seen: Stored | None, known: Known, *, expected: bool) -> None:
    """A look that agrees costs nothing more; absent, changed or blocked otherwise, PATCH must tell."""
    assert as_seen(ROW, seen, known) is expected
