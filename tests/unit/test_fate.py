"""What the API server says of the pod while it drains: when its grace counts from, and when it was cut."""

import asyncio

import pytest

from sidecar.broker_contract import PodState
from sidecar.fate import ASK_A_DYING_POD_EVERY, ASK_EVERY, Fate, Known
from tests.standins.clock import FakeClock, settle

ALIVE = PodState(deleting=False)


def test_nothing_told_is_nothing_known() -> None:
    """Without an answer what was known stays."""
    known = Known(100.0, deleting=True, grace=30.0)
    assert known.after(None, 200.0) == known
    assert Known(100.0).after(None, 200.0).deleting is None


def test_a_deletion_was_not_before_the_last_answer_without_one() -> None:
    """The grace counts from the deletion; of that it is known only between which two questions it was."""
    known = (
        Known(100.0).after(ALIVE, 103.0).after(ALIVE, 106.0).after(PodState(deleting=True, grace=30), 109.0)
    )
    assert known == Known(106.0, deleting=True, grace=30.0)


def test_a_deletion_that_began_the_drain_counts_from_its_beginning() -> None:
    """The first answer may come late: the hook was called because of the deletion."""
    assert Known(100.0).after(PodState(deleting=True, grace=30), 104.0).since == 100.0


def test_a_deletion_is_never_taken_back() -> None:
    """A stale answer of another API server says that it is not being deleted: nobody believes that."""
    known = Known(100.0, deleting=True, grace=30.0)
    assert known.after(ALIVE, 104.0) == known


def test_a_pod_that_is_gone_keeps_its_grace() -> None:
    """Gone from the API server: deleting, and how much grace it had is known from before."""
    known = Known(100.0, deleting=True, grace=30.0)
    assert known.after(PodState(deleting=True), 104.0) == known


@pytest.mark.parametrize(
    ("grace", "until"),
    [
        (None, None),
        (165.0, None),
        (600.0, None),
        (60.0, 150.0),
        (30.0, 120.0),
        # Of little grace a third is kept for what comes after the drain, not all of it.
        (9.0, 106.0),
        (0.0, 100.0),
    ],
)
def test_a_cut_grace_bounds_the_drain(grace: float | None, until: float | None) -> None:
    """Less than the injected 165 s: over 10 s before its end, counted from the deletion."""
    assert Known(100.0, deleting=True, grace=grace).cut(165.0) == until


def test_a_grace_shortened_once_more_counts_from_the_deletion_too() -> None:
    """A second `kubectl delete` with less grace."""
    known = Known(100.0, deleting=True, grace=60.0).after(PodState(deleting=True, grace=30), 120.0)
    assert known.cut(165.0) == 120.0


class Api:
    """Says what a test wants of the pod, and counts."""

    def __init__(self, state: PodState | None) -> None:
        self.state = state
        self.asked = 0

    async def pod(self) -> PodState | None:
        """Answer."""
        self.asked += 1
        return self.state


async def test_it_asks_every_few_seconds_and_a_dying_pod_more_rarely() -> None:
    """A deletion during a restart's drain is noticed in 3 s."""
    clock, api = FakeClock(), Api(ALIVE)
    fate = Fate(api.pod, clock)
    following = asyncio.ensure_future(fate.follow())
    await clock.advance(3 * ASK_EVERY)
    assert api.asked == 4
    api.state = PodState(deleting=True, grace=20)
    await clock.advance(ASK_EVERY)
    assert fate.known == Known(1000.0 + 3 * ASK_EVERY, deleting=True, grace=20.0)
    await clock.advance(ASK_A_DYING_POD_EVERY)
    assert api.asked == 6
    following.cancel()


async def test_without_a_broker_nobody_is_asked() -> None:
    """Direct mode: nothing is ever known, and the following ends at once."""
    fate = Fate(None, FakeClock())
    await fate.look()
    await fate.follow()
    assert fate.known.deleting is None


async def test_what_was_known_at_an_earlier_drain_is_no_time_of_this_one() -> None:
    """An hour after a restart's drain the pod is deleted: its grace counts from now."""
    clock, api = FakeClock(), Api(ALIVE)
    fate = Fate(api.pod, clock)
    first = asyncio.ensure_future(fate.follow())
    await settle()
    first.cancel()
    await clock.advance(3600)
    api.state = PodState(deleting=True, grace=30)
    second = asyncio.ensure_future(fate.follow())
    await settle()
    assert fate.known == Known(4600.0, deleting=True, grace=30.0)
    second.cancel()
