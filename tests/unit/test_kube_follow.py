"""One object of the cluster, followed by a watch that only rings, and by looking."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator

from tests.standins.kube import UNREACHABLE, FakeApi
from tests.virtual_time import now, run
from webhook.kube.api import JSON, ApiError
from webhook.kube.follow import LOOK_EVERY, Followed
from webhook.log import Log

PATH = "/api/v1/namespaces/shop/secrets/tls"
FORBIDDEN = ApiError(403, "Forbidden", "secrets is forbidden")


class Bench:
    """A followed object, and what came of following it."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.lines = io.StringIO()
        self.used: list[str | None] = []
        self.followed = Followed(self.api, PATH, self.use, Log(self.lines))
        self.breaks = False

    def use(self, found: JSON | None) -> None:
        """Take note of the object's data."""
        if self.breaks:
            raise KeyError("secret-value")
        self.used.append(found["data"] if found else None)

    def put(self, data: str) -> None:
        """Change the object as somebody else would."""
        self.api.put(PATH, {"data": data})

    def said(self, text: str) -> int:
        """Count the lines with this text."""
        return self.lines.getvalue().count(text)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow for a while, from the first look on."""
        task = asyncio.create_task(self.followed.run())
        await asyncio.sleep(0.01)
        yield
        task.cancel()
        await asyncio.wait([task])


def test_each_change_is_seen_at_once_and_an_absent_object_is_none() -> None:
    """Creation, change and deletion reach `use` without waiting for the next look."""

    async def main() -> None:
        bench = Bench()
        async with bench.following():
            assert bench.used == [None]
            for data in ("a", "b"):
                await asyncio.sleep(0.3)
                bench.put(data)
            await asyncio.sleep(0.3)
            bench.api.put(PATH, None)
            await asyncio.sleep(0.3)
        assert bench.used == [None, "a", "b", None]

    run(main())


def test_nothing_is_used_twice_when_nothing_changes() -> None:
    """Hours of looking at the same object call `use` once."""

    async def main() -> None:
        bench = Bench()
        bench.put("a")
        async with bench.following():
            await asyncio.sleep(7200)
        assert bench.used == ["a"]

    run(main())


def test_a_watch_that_ends_or_fails_is_begun_again() -> None:
    """Changes are seen after the API server has ended a watch, also with 410."""

    async def main() -> None:
        bench = Bench()
        async with bench.following():
            bench.api.fail["watch"] = ApiError(410, "Expired", "too old resource version")
            bench.api.end_watches()
            await asyncio.sleep(1)
            bench.api.fail.clear()
            await asyncio.sleep(10)
            bench.put("a")
            await asyncio.sleep(0.3)
        assert bench.used == [None, "a"]
        assert bench.said("PROBLEM") == 0

    run(main())


def test_a_watch_that_died_unseen_costs_no_more_than_the_time_between_two_looks() -> None:
    """A connection that is open and dead rings no more; the change is seen with the next look."""

    async def main() -> None:
        bench = Bench()
        async with bench.following():
            await asyncio.sleep(60)
            bench.api.deafen()
            bench.put("a")
            await asyncio.sleep(LOOK_EVERY + 0.1)
        assert bench.used == [None, "a"]

    run(main())


def test_who_looks_of_its_own_accord_is_not_looked_for_again() -> None:
    """A caller that reads the object every two seconds anyway makes no more calls by following it too."""

    async def main() -> None:
        bench = Bench()
        async with bench.following():
            bench.api.calls.clear()
            for _ in range(50):
                await asyncio.sleep(2)
                await bench.followed.look()
        assert bench.api.calls.count(("get", PATH)) <= 51

    run(main())


def test_without_the_right_to_watch_looking_suffices_and_that_is_said_once() -> None:
    """A change is seen with the next look; one line says why it took so long."""

    async def main() -> None:
        bench = Bench()
        bench.api.fail["watch"] = FORBIDDEN
        async with bench.following():
            await asyncio.sleep(600)
            bench.put("a")
            await asyncio.sleep(LOOK_EVERY + 0.1)
            assert bench.used == [None, "a"]
        assert bench.said("it cannot be watched: 403 Forbidden") == 1

    run(main())


def test_an_api_server_that_is_away_changes_nothing_and_is_said_once() -> None:
    """While nothing can be read the last state counts; what changed meanwhile is seen afterwards."""

    async def main() -> None:
        bench = Bench()
        bench.put("a")
        async with bench.following():
            bench.api.fail[""] = UNREACHABLE
            bench.api.end_watches()
            bench.put("b")
            await asyncio.sleep(600)
            assert bench.used == ["a"]
            bench.api.fail.clear()
            await asyncio.sleep(LOOK_EVERY + 0.1)
        assert bench.used == ["a", "b"]
        assert bench.said("cannot be read, its last known state counts") == 1
        assert bench.said("can be read again") == 1

    run(main())


def test_an_object_that_changes_all_the_time_is_read_five_times_a_second_at_most() -> None:
    """Somebody who rewrites the object every 10 ms does not make us ask as often."""

    async def main() -> None:
        bench = Bench()
        async with bench.following():
            bench.api.calls.clear()
            began = now()
            while now() < began + 10:
                bench.put(str(now()))
                await asyncio.sleep(0.01)
            assert 45 <= bench.api.calls.count(("get", PATH)) <= 51

    run(main())


def test_a_fault_of_the_user_is_said_once_without_its_text_and_tried_again() -> None:
    """The following goes on, and the object is handed over again until it is taken."""

    async def main() -> None:
        bench = Bench()
        bench.breaks = True
        bench.put("a")
        async with bench.following():
            await asyncio.sleep(60)
            bench.breaks = False
            await asyncio.sleep(LOOK_EVERY + 0.1)
        assert bench.used == ["a"]
        assert bench.said("an error of our own: KeyError") == 1
        assert bench.said("secret-value") == 0

    run(main())


def test_looking_now_gives_the_newest_state_before_it_returns() -> None:
    """Who has written the object need not wait for a watch; a failure is told by the result."""

    async def main() -> None:
        bench = Bench()
        bench.put("a")
        assert await bench.followed.look()
        assert bench.used == ["a"]
        bench.api.fail["get"] = UNREACHABLE
        assert not await bench.followed.look()

    run(main())
