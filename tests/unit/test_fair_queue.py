"""Whose turn it is at LiteLLM, and that no place is ever lost."""

import asyncio

import pytest

from webhook.broker.fair_queue import FairQueue, Turns
from webhook.broker.shapes import RefusedError, Rule

NEVER = 1e6


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


class Desk:
    """Calls that hold their place until they are let go, in the order in which they got it."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.served: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    def call(self, name: str, *, urgent: bool = False) -> asyncio.Task[None]:
        """Ask for a place as pod `a/x`, or as its call `a/x#2`."""
        return asyncio.create_task(self._hold(name, urgent=urgent))

    async def let_go(self, count: int = 1) -> None:
        """End calls in hand, the longest served first."""
        for _ in range(count):
            self._ends.pop(next(iter(self._ends))).set()
            await settle()

    async def _hold(self, name: str, *, urgent: bool) -> None:
        namespace, _, rest = name.partition("/")
        async with self.queue.place(namespace, rest.partition("#")[0], urgent=urgent):
            self.served.append(name)
            end = self._ends[name] = asyncio.Event()
            await end.wait()


async def drained(desk: Desk) -> list[str]:
    """Let everything go, and give the order in which it was served."""
    await settle()
    while desk._ends:
        await desk.let_go()
    return desk.served


async def test_no_more_than_the_bound_are_in_hand() -> None:
    """Of five calls with a bound of two, two are in hand until one of them ends."""
    desk = Desk(FairQueue(2, NEVER))
    for number in range(5):
        desk.call(f"a/{number}")
    await settle()
    assert (desk.served, desk.queue.waiting) == (["a/0", "a/1"], 3)
    await desk.let_go()
    assert (desk.served, desk.queue.waiting) == (["a/0", "a/1", "a/2"], 2)
    await drained(desk)


async def test_namespaces_take_turns_however_many_pods_one_has() -> None:
    """A namespace with one pod is served after one call of a namespace with many that came before."""
    desk = Desk(FairQueue(1, NEVER))
    for number in range(4):
        desk.call(f"many/{number}")
    await settle()
    desk.call("one/x")
    assert await drained(desk) == ["many/0", "many/1", "one/x", "many/2", "many/3"]


async def test_pods_of_a_namespace_take_turns() -> None:
    """A pod with four calls does not go before its neighbour four times."""
    desk = Desk(FairQueue(1, NEVER))
    for number in range(4):
        desk.call(f"a/x#{number}")
    desk.call("a/y")
    assert await drained(desk) == ["a/x#0", "a/x#1", "a/y", "a/x#2", "a/x#3"]


async def test_deletions_go_first_but_not_for_ever() -> None:
    """Every fourth turn is a creation's, if one waits."""
    desk = Desk(FairQueue(1, NEVER))
    desk.call("a/first")
    await settle()
    desk.call("a/new")
    desk.call("b/new")
    await settle()
    for number in range(5):
        desk.call(f"a/gone{number}", urgent=True)
    order = await drained(desk)
    assert order == ["a/first", "a/gone0", "a/gone1", "a/gone2", "a/new", "a/gone3", "a/gone4", "b/new"]


async def test_who_waits_too_long_is_told_to_come_back() -> None:
    """Waiting is bounded: then the answer is that LiteLLM is busy, and nothing waits any more."""
    desk = Desk(FairQueue(1, 0.0))
    desk.call("a/x")
    await settle()
    with pytest.raises(RefusedError) as refused:
        await desk.call("a/y")
    assert (refused.value.rule, refused.value.status, desk.queue.waiting) == (Rule.BUSY, 503, 0)
    assert await drained(desk) == ["a/x"]


async def test_who_comes_back_has_kept_its_place() -> None:
    """A pod that was told to come back goes before one that came after it and stayed."""
    desk = Desk(FairQueue(1, 0.0, now=lambda: 0.0))
    desk.call("a/x")
    await settle()
    with pytest.raises(RefusedError):
        await desk.call("a/early")
    desk.queue._wait = NEVER
    desk.call("a/late")
    await settle()
    desk.call("a/early")
    assert await drained(desk) == ["a/x", "a/early", "a/late"]


async def test_a_place_that_nobody_comes_back_to_is_forgotten() -> None:
    """After a minute what is kept of pods that did not come back is gone."""
    now = [100.0]
    queue = FairQueue(1, 0.0, now=lambda: now[0])
    desk = Desk(queue)
    desk.call("a/x")
    await settle()
    for number in range(5):
        with pytest.raises(RefusedError):
            await desk.call(f"n{number}/y")
    assert len(queue._others._namespaces) == 5
    now[0] += 61
    with pytest.raises(RefusedError):
        await desk.call("b/z")
    assert [*queue._others._namespaces] == ["b"]
    await drained(desk)


async def test_who_goes_away_leaves_no_gap() -> None:
    """A call whose client is gone, waiting or in hand, holds no place."""
    desk = Desk(FairQueue(1, NEVER))
    in_hand, waiting, last = desk.call("a/x"), desk.call("a/y"), desk.call("b/z")
    await settle()
    waiting.cancel()
    await settle()
    assert desk.queue.waiting == 1
    in_hand.cancel()
    await settle()
    assert desk.served == ["a/x", "b/z"]
    last.cancel()
    await settle()
    desk.call("c/later")
    await settle()
    assert desk.served[-1] == "c/later"


async def test_a_place_that_is_given_as_its_taker_goes_goes_to_the_next() -> None:
    """A call that is cancelled in the moment of its turn passes the turn on."""
    desk = Desk(FairQueue(1, NEVER))
    in_hand, goes, stays = desk.call("a/x"), desk.call("a/y"), desk.call("a/z")
    await settle()
    desk._ends["a/x"].set()
    await asyncio.sleep(0)  # the place is given on; its taker has not run yet
    await in_hand
    goes.cancel()
    await settle()
    assert desk.served == ["a/x", "a/z"]
    stays.cancel()
    await settle()


async def test_one_pod_cannot_fill_the_queue() -> None:
    """More calls of one pod than a registrar ever makes at once are told to come back at once."""
    desk = Desk(FairQueue(1, NEVER))
    for number in range(40):
        desk.call(f"a/x#{number}").add_done_callback(lambda task: task.exception())
    await settle()
    assert desk.queue.waiting == 16
    desk.call("b/y")
    await settle()
    assert desk.queue.waiting == 17
    await drained(desk)


def test_turns_pass_over_who_is_about_to_leave() -> None:
    """A call that was cancelled and has not left yet gets no turn, and can still leave."""
    turns = Turns()
    loop = asyncio.new_event_loop()
    gone, stays = loop.create_future(), loop.create_future()
    turns.add("a", "x", gone, 0.0)
    turns.add("a", "y", stays, 0.0)
    gone.cancel()
    assert turns.next() is stays
    assert turns.next() is None
    turns.leave("a", "x", gone)
    assert turns.waiting == 0
    loop.close()
