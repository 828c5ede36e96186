"""The machine of the rotation: which step comes next, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from webhook.tls.rotation import (
    MAX_BUNDLE,
    Authority,
    GiveUp,
    Keep,
    Leaf,
    MakeAuthority,
    MakeLeaf,
    Note,
    Seen,
    State,
    Step,
    Times,
    Waiting,
    Why,
    decide,
)

HOUR = 3600.0
DAY = 24 * HOUR
NOW = 1_800_000_000.0
TIMES = Times()
NAMES = ("registrar.apps.svc",)


def authority(name: str, age: float = 100 * DAY) -> Authority:
    """Give a CA of this age that lasts ten years."""
    return Authority(name, NOW - age - DAY, NOW - age + TIMES.ca)


def leaf(issuer: str, age: float = 10 * DAY, names: tuple[str, ...] = NAMES) -> Leaf:
    """Give a leaf of this age."""
    return Leaf(issuer, NOW - age - DAY, NOW - age + TIMES.leaf, names)


A, B, C = authority("a"), authority("b", 5 * DAY), authority("c")
STEADY = State(ca=A, leaf=leaf("a"), bundle=(A,))
CHANGING = replace(STEADY, next_ca=B, bundle=(A, B))
GONE = NOW + TIMES.leaf_gone
NEW_CA = (NOW - DAY, NOW + TIMES.ca)
NEW_LEAF = (NOW - DAY, NOW + TIMES.leaf)


def step(state: State, *places: str, names: tuple[str, ...] = NAMES) -> Step:
    """Decide; each place is the letters of the CAs that it publishes."""
    return decide(NOW, state, [set(place) for place in places], names, TIMES)


def test_defaults_are_those_that_the_documents_name() -> None:
    """A CA lasts ten years, a leaf 90 days, both are renewed at two thirds; a change overlaps by a day."""
    assert (TIMES.ca, TIMES.leaf, TIMES.overlap) == (3650 * DAY, 90 * DAY, DAY)
    assert pytest.approx(2 / 3) == TIMES.renew


def test_nothing_is_done_while_all_is_well() -> None:
    """A young leaf by a CA that is published everywhere needs nothing."""
    assert step(STEADY, "a", "a") == Step()


def test_at_first_there_is_a_ca_then_its_publication_then_a_leaf() -> None:
    """No leaf is there before its CA is published."""
    assert step(State(), "").write == MakeAuthority(False, *NEW_CA, Why.NO_CA)
    made = State(ca=A, bundle=(A,))
    assert step(made, "", "a") == Step(publish=frozenset("a"), waiting=Waiting.PUBLICATION)
    assert step(made, "a", "a") == Step(MakeLeaf(False, *NEW_LEAF, Why.NO_LEAF))


def test_a_leaf_is_made_where_there_is_no_place_to_publish_at() -> None:
    """A configuration that is made later finds the webhook serving; nobody verifies before."""
    assert step(State(ca=A, bundle=(A,))).write == MakeLeaf(False, *NEW_LEAF, Why.NO_LEAF)


def test_without_knowing_what_is_published_no_first_leaf_is_made() -> None:
    """That a publication cannot be read does not mean that it is right."""
    found = decide(NOW, State(ca=A, bundle=(A,)), None, NAMES, TIMES)
    assert found == Step(waiting=Waiting.PUBLICATION_UNKNOWN)


@pytest.mark.parametrize("published", [None, [set("a")], [set()], [set("x")]])
def test_a_leaf_is_renewed_at_two_thirds_whatever_is_published(published: Sequence[set[str]] | None) -> None:
    """By its own CA it is no worse than the one before, while an ended one serves nobody."""
    old = replace(STEADY, leaf=leaf("a", 60 * DAY), bundle=(A, Authority("x", 0, GONE)), kept={"x": GONE})
    found = decide(NOW, old, published, NAMES, TIMES)
    assert found.write == MakeLeaf(False, *NEW_LEAF, Why.LEAF_DUE)


def test_a_leaf_that_would_not_end_later_is_not_renewed() -> None:
    """In the last weeks of a CA its leaves all end with it: no row of ever shorter ones."""
    ca = Authority("a", NOW - 300 * DAY, NOW + 5 * DAY)
    old = State(ca=ca, leaf=Leaf("a", NOW - 80 * DAY, ca.not_after, NAMES), bundle=(ca, B), next_ca=B)
    assert step(old, "a").write is None


def test_other_names_get_a_leaf_at_once_by_the_ca_of_the_present_one() -> None:
    """Also while a change of CA is under way, and whatever is published."""
    for place in ("ab", ""):
        found = step(CHANGING, place, names=("other.apps.svc",))
        assert found.write == MakeLeaf(False, *NEW_LEAF, Why.NAMES_CHANGED)


def test_a_ca_is_followed_by_another_at_two_thirds_of_its_life() -> None:
    """Seven years after it was made, three before it ends."""
    old = authority("a", 2440 * DAY)
    assert step(replace(STEADY, ca=old, bundle=(old,)), "a").write == MakeAuthority(True, *NEW_CA, Why.CA_DUE)


def test_a_ca_that_has_ended_is_replaced_at_once() -> None:
    """There is nothing to wait for."""
    ended = authority("a", TIMES.ca + DAY)
    state = State(ca=ended, bundle=(ended,))
    assert step(state, "a").write == MakeAuthority(False, *NEW_CA, Why.CA_ENDED)


def test_a_command_is_acted_on_once_and_waits_for_the_end_of_a_change() -> None:
    """Of several in a row the last one stands; it gets a CA of its own after the first one's."""
    assert step(replace(STEADY, asked=True), "a").write == MakeAuthority(True, *NEW_CA, Why.CA_ASKED_FOR)
    assert isinstance(step(replace(CHANGING, asked=True), "ab").write, Note)


def test_a_command_waits_while_a_bundle_is_full() -> None:
    """Registrars get the bundle as one variable, which Linux bounds."""
    many = tuple(Authority(f"x{number}", 0, GONE) for number in range(MAX_BUNDLE - 1))
    full = State(
        ca=A, leaf=leaf("a"), bundle=(A, *many), kept={ca.fingerprint: GONE for ca in many}, asked=True
    )
    places = [{ca.fingerprint for ca in full.bundle}]
    assert decide(NOW, full, places, NAMES, TIMES) == Step()


def test_a_new_ca_is_published_before_anything_else_happens_to_it() -> None:
    """In every place, beside the old one."""
    assert step(CHANGING, "a", "ab") == Step(publish=frozenset("ab"), waiting=Waiting.NEW_CA_PUBLICATION)


def test_the_day_begins_when_the_new_ca_is_seen_everywhere() -> None:
    """Not when it was written or tried."""
    found = step(CHANGING, "ab", "ab")
    assert found == Step(Note(Seen("b", NOW), Why.SEEN_PUBLISHED), waiting=Waiting.OVERLAP)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen("b", NOW - DAY + 1), None),
        (Seen("b", NOW - DAY), MakeLeaf(True, *NEW_LEAF, Why.CA_CHANGED)),
        (Seen("x", NOW - DAY), Note(Seen("b", NOW), Why.SEEN_PUBLISHED)),
        (Seen("b", NOW + HOUR), None),
        (Seen("b", NOW + DAY), Note(Seen("b", NOW), Why.SEEN_PUBLISHED)),
    ],
    ids=["less than a day", "a day", "of another CA", "by a clock ahead", "of no clock"],
)
def test_a_leaf_of_the_new_ca_comes_a_day_after_that(seen: Seen, expected: object) -> None:
    """As it was written down; what cannot be right counts as not seen."""
    assert step(replace(CHANGING, seen=seen), "ab").write == expected


def test_a_publication_that_is_lost_within_the_day_begins_it_anew() -> None:
    """Who follows it may have seen it without the new CA."""
    found = step(replace(CHANGING, seen=Seen("b", NOW - DAY)), "ab", "a")
    assert found.write == Note(None, Why.SEEN_NO_LONGER)
    assert found.publish == frozenset("ab")


def test_without_a_valid_leaf_nobody_waits_for_a_day() -> None:
    """By the CA in use if that is published, else by the next one."""
    lost = replace(CHANGING, leaf=None)
    assert step(lost, "ab").write == MakeLeaf(False, *NEW_LEAF, Why.NO_LEAF)
    assert step(lost, "b").write == MakeLeaf(True, *NEW_LEAF, Why.NO_LEAF)


def test_a_ca_without_a_use_is_kept_until_no_leaf_of_it_can_be_alive() -> None:
    """After a change the old one: 90 days, and the hours that four clocks may be off."""
    changed = State(ca=B, leaf=leaf("b"), bundle=(A, B))
    found = step(changed, "ab")
    assert found == Step(Keep({"a": GONE}))
    assert GONE == NOW + 90 * DAY + 4 * HOUR


def test_what_is_published_and_unknown_is_kept_like_that() -> None:
    """The Secret was lost or restored: replicas may serve leaves of a CA that it does not hold any more."""
    found = step(STEADY, "ax", "a")
    assert found == Step(Keep({"x": GONE}), publish=frozenset("ax"))


def test_a_lost_secret_drops_nothing_that_is_published() -> None:
    """Its CAs stay, and the new one is published beside them before it signs."""
    assert step(State(), "a") == Step(Keep({"a": GONE}))
    made = State(ca=B, bundle=(A, B), kept={"a": GONE})
    assert step(made, "a") == Step(publish=frozenset("ab"), waiting=Waiting.PUBLICATION)
    assert step(made, "ab").write == MakeLeaf(False, *NEW_LEAF, Why.NO_LEAF)


def test_a_list_of_strangers_is_not_kept_beyond_the_room_there_is() -> None:
    """Someone published the world's CAs: as many as fit stay, and no more are published."""
    places = [{f"x{number:03}" for number in range(200)}]
    found = decide(NOW, STEADY, places, NAMES, TIMES)
    assert isinstance(found.write, Keep)
    assert found.publish is not None
    assert len(found.publish) == MAX_BUNDLE == len(found.write.until) + 1


def test_an_old_ca_goes_out_of_the_publication_first_then_out_of_the_secret() -> None:
    """Forgotten while it is published somewhere, it would be taken for unknown and kept again."""
    ended = State(ca=B, leaf=leaf("b"), bundle=(A, B), kept={"a": NOW})
    assert step(replace(ended, kept={"a": NOW + 1}), "ab") == Step()
    assert step(ended, "ab", "b") == Step(publish=frozenset("b"))
    assert step(ended, "b", "b") == Step(GiveUp(frozenset("a")))
    assert decide(NOW, ended, None, NAMES, TIMES) == Step()


def test_the_ca_of_the_present_leaf_stays_whatever_is_noted() -> None:
    """Somebody edited until when it is kept."""
    edited = State(ca=B, leaf=leaf("a"), bundle=(A, B), kept={"a": 0})
    assert step(edited, "ab").publish is None


def test_a_ca_put_there_by_hand_is_published_for_a_day_before_it_signs() -> None:
    """The present leaf is of another one, and valid."""
    edited = State(ca=C, leaf=leaf("a"), bundle=(A, C), kept={"a": GONE})
    assert step(edited, "a") == Step(publish=frozenset("ac"), waiting=Waiting.NEW_CA_PUBLICATION)
    assert step(replace(edited, seen=Seen("c", NOW - DAY)), "ac").write == MakeLeaf(
        False, *NEW_LEAF, Why.CA_CHANGED
    )


def test_a_lost_key_of_the_ca_leads_to_another_ca_and_no_earlier_leaf() -> None:
    """The present leaf is served on, until the new CA has been published for a day."""
    lost = State(leaf=leaf("a"), bundle=(A,), kept={"a": GONE})
    assert step(lost, "a").write == MakeAuthority(False, *NEW_CA, Why.NO_CA)
    made = replace(lost, ca=B, bundle=(A, B))
    assert isinstance(step(made, "ab").write, Note)


@pytest.mark.parametrize("place", ["", "x"])
def test_a_wiped_publication_is_put_back_and_nothing_is_made(place: str) -> None:
    """Whatever stands there instead; that is kept beside ours for as long as it may be used."""
    found = step(replace(STEADY, bundle=(A, Authority("x", 0, GONE)), kept={"x": GONE}), place)
    assert found == Step(publish=frozenset("ax"))


def test_a_clock_that_is_behind_makes_no_other_ca() -> None:
    """Pods trust for life the CA that begins later than now; what is published of it stays, or comes back."""
    behind = State(
        ca=authority("a", -365 * DAY), leaf=leaf("a", -365 * DAY), bundle=(authority("a", -365 * DAY),)
    )
    assert step(behind, "a") == Step(waiting=Waiting.CLOCK_BEHIND)
    assert step(behind, "") == Step(publish=frozenset("a"), waiting=Waiting.CLOCK_BEHIND)


def test_a_ca_made_by_a_clock_that_was_ahead_is_changed_when_somebody_asks() -> None:
    """Only a person can tell which of the clocks is right."""
    ahead = State(ca=authority("a", -365 * DAY), bundle=(authority("a", -365 * DAY),), asked=True)
    assert step(ahead, "a").write == MakeAuthority(False, *NEW_CA, Why.CA_ENDED)
