"""Laws of the reaper: what is never removed, whatever API server and LiteLLM answer."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.row_contract import NODE_NOT_READY
from tests.reaping.sequences import sequence
from tests.reaping.world import NAMESPACE
from webhook.broker.own_rows import OwnRow, Reading
from webhook.reaper.core import Memory, look
from webhook.reaper.seen import says_gone
from webhook.reaper.shapes import Bounds, SeenPod, Sight
from webhook.reaper.share import LEAVE, WINDOW, WRITTEN, granted

ROW = OwnRow("registrar-a-b", "m", "shop", "qwen", "uid-1")
_IDS = st.sets(st.sampled_from([f"row-{number}" for number in range(30)]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
async def test_no_brake_is_ever_broken(seed: int) -> None:
    """Random crashes and answers, two replicas that both believe they lead: the referee finds nothing."""
    assert (await sequence(seed, steps=30)).breaches == []


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
async def test_the_referee_sees_what_a_reaper_without_brakes_does(seed: int) -> None:
    """The same world with nothing to hold the reaper back is full of breaches, or that law holds nothing."""
    found = [await sequence(seed + number, steps=30, braked=False) for number in range(5)]
    assert any(world.breaches for world in found)


@given(st.tuples(st.booleans(), st.booleans(), st.booleans()), st.floats(0, 1000), st.floats(0, 1000))
def test_nothing_is_due_on_half_an_answer(
    answers: tuple[bool, bool, bool], missed: float, looked: float
) -> None:
    """A row is due by a synced watch that works and a whole reading, begun when the grace was over."""
    synced, good, read = answers
    bounds = Bounds()
    reading = Reading(looked, {ROW.id: ROW}) if read else None
    memory = Memory(gone={ROW.pod_uid: missed}, empty=-100.0)
    sight = Sight(1000, reading, {}, {"node": True}, met=frozenset(), synced=synced, good=good)
    _, plan = look(sight, memory, bounds)
    due = synced and good and read and 1000 - missed >= bounds.grace and looked >= missed + bounds.grace
    assert bool(plan.removals and not plan.held) is due


@given(st.lists(st.tuples(st.floats(0, 300), _IDS, st.none() | st.integers(1, 9)), max_size=12))
def test_what_is_granted_within_ten_minutes_stays_within_the_share(
    turns: list[tuple[float, set[str], int | None]],
) -> None:
    """However leaders ask, one after another, by one Lease: a person's word counts once, for as many rows."""
    own = [f"row-{number}" for number in range(30)]
    annotations: dict[str, str] = {}
    now, given_rows = 1_000_000.0, []
    words: list[tuple[float, int]] = []
    for pause, due, word in turns:
        now += pause
        if word is not None:
            annotations[LEAVE] = str(word)
        grant = granted(annotations, sorted(due), own, now, Bounds(share=0.2, at_least=2))
        given_rows += [(now, key) for key in sorted(due)[: grant.count]]
        if grant.used:
            words.append((now, grant.count))
        news = {**annotations, **grant.annotations}
        annotations = {key: value for key, value in news.items() if value is not None}
        lately = {key for at, key in given_rows if now - at < WINDOW}
        assert len(lately) <= 6 + sum(count for at, count in words if now - at < WINDOW)
        assert not grant.count or LEAVE not in annotations


@given(st.text(max_size=40))
def test_whatever_stands_in_the_lease_can_be_read(text: str) -> None:
    """The annotations are anybody's who may write the Lease: no text of theirs ends the reaper."""
    grant = granted({LEAVE: text, WRITTEN: text}, ["row"], ["row"], 1000.0, Bounds())
    assert grant.count == 1
    assert json.loads(grant.annotations[WRITTEN] or "")


@given(st.integers(0, 999), st.sampled_from(["NotFound", "Not Found", ""]), st.text(max_size=12))
def test_only_the_api_server_says_that_a_pod_is_gone(status: int, reason: str, about: str) -> None:
    """A 404 of a proxy, of another path or about another pod proves nothing."""
    exact = (status, reason, about) == (404, "NotFound", "pods/qwen")
    assert says_gone(ROW, status, reason, about) is exact
    assert says_gone(ROW, 404, "NotFound", "pods/qwen")


@given(st.tuples(st.booleans(), st.booleans()), st.sampled_from(["", NODE_NOT_READY, "another word"]))
def test_only_the_reapers_own_block_is_taken_back(state: tuple[bool, bool], word: str) -> None:
    """A row that anybody else has blocked is left, whatever becomes of the node."""
    blocked, ready = state
    row = OwnRow("registrar-a-b", "m", NAMESPACE, "qwen", "uid-1", blocked=blocked, by_reaper=word)
    pod = SeenPod(NAMESPACE, "qwen", "uid-1", "node", deleting=False, ended=False, registrar=True)
    sight = Sight(
        1000,
        Reading(999, {row.id: row}),
        {(NAMESPACE, "qwen"): pod},
        {"node": ready},
        met=frozenset(),
        synced=True,
        good=True,
    )
    _, plan = look(sight, Memory(unready={"node": 0.0}), Bounds())
    assert bool(plan.unblocks) is (ready and word == NODE_NOT_READY)
    assert bool(plan.blocks) is (not ready and not blocked and not word)
