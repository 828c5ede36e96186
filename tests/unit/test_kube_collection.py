"""A collection that is listed once and then watched, whatever becomes of connections."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator

from tests.standins.kube import UNREACHABLE, FakeApi
from tests.virtual_time import run
from webhook.kube.api import JSON, ApiError
from webhook.kube.collection import Collection
from webhook.log import Log

NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/shop/pods"
FORBIDDEN = ApiError(403, "Forbidden", "nodes is forbidden")


class Bench:
    """A followed collection, and what came of following it."""

    def __init__(self, path: str = NODES, selector: str = "") -> None:
        self.api = FakeApi()
        self.lines = io.StringIO()
        self.changes = 0
        self.breaks = False
        self.path = path
        self.collection = Collection(
            self.api, path, self.keep, Log(self.lines), selector=selector, changed=self.change
        )

    def keep(self, found: JSON) -> str | None:
        """Keep one word, if there is one."""
        if self.breaks:
            raise KeyError("secret-value")
        word: str | None = found.get("word")
        return word

    def change(self) -> None:
        """Count."""
        self.changes += 1

    def put(self, name: str, word: str | None, **more: object) -> None:
        """Write an object as somebody else would."""
        self.api.put(f"{self.path}/{name}", {"word": word, **more})

    def gone(self, name: str) -> None:
        """Delete an object as somebody else would."""
        self.api.put(f"{self.path}/{name}", None)

    @property
    def kept(self) -> dict[str, str]:
        """What is kept, by name."""
        return {name: word for (_, name), word in self.collection.items.items()}

    def lists(self) -> int:
        """Count the lists."""
        return self.api.calls.count(("list", self.path))

    def said(self, text: str) -> int:
        """Count the lines with this text."""
        return self.lines.getvalue().count(text)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow for a while."""
        task = asyncio.create_task(self.collection.run())
        await asyncio.sleep(0.01)
        yield
        task.cancel()
        await asyncio.wait([task])


def test_what_is_there_is_known_at_once_and_each_change_after_it() -> None:
    """The list first, then additions, changes and deletions as they happen."""

    async def main() -> None:
        bench = Bench()
        for number in range(250):
            bench.put(f"n{number}", "a")
        async with bench.following():
            assert bench.collection.synced.is_set()
            assert len(bench.kept) == 250
            bench.put("more", "b")
            bench.put("n0", "c")
            bench.gone("n1")
            await asyncio.sleep(0.01)
            assert (bench.kept["more"], bench.kept["n0"], "n1" in bench.kept) == ("b", "c", False)
            assert len(bench.kept) == 250
        assert bench.lists() == 1

    run(main())


def test_only_what_is_wanted_is_kept_and_only_its_changes_are_told() -> None:
    """A change of anything else calls nobody; an object that is not wanted any more goes."""

    async def main() -> None:
        bench = Bench()
        bench.put("one", "a")
        bench.put("two", None)
        async with bench.following():
            assert (bench.kept, bench.changes) == ({"one": "a"}, 1)
            for heartbeat in range(10):
                bench.put("one", "a", heartbeat=heartbeat)
                bench.put("two", None, heartbeat=heartbeat)
            await asyncio.sleep(0.01)
            assert bench.changes == 1
            bench.put("one", None)
            await asyncio.sleep(0.01)
            assert (bench.kept, bench.changes) == ({}, 2)

    run(main())


def test_objects_of_one_name_in_two_namespaces_are_two() -> None:
    """What is kept has its namespace and its name."""

    async def main() -> None:
        bench = Bench("/api/v1/pods")
        for namespace in ("shop", "lab"):
            bench.api.put(f"/api/v1/namespaces/{namespace}/pods/qwen", {"word": namespace})
        async with bench.following():
            assert bench.collection.items == {("shop", "qwen"): "shop", ("lab", "qwen"): "lab"}

    run(main())


def test_a_watch_that_ends_goes_on_where_it_was_without_another_list() -> None:
    """What changed between two watches is seen by the second."""

    async def main() -> None:
        bench = Bench()
        async with bench.following():
            for round_ in range(5):
                bench.api.end_watches()
                await asyncio.sleep(0.01)
                bench.put(f"n{round_}", "a")
                await asyncio.sleep(2)
            assert len(bench.kept) == 5
        assert bench.lists() == 1

    run(main())


def test_a_version_that_is_too_old_is_listed_anew_in_silence() -> None:
    """After 410 nothing is missed, deletions neither, and nobody need hear of it."""

    async def main() -> None:
        bench = Bench()
        bench.put("one", "a")
        bench.put("two", "a")
        async with bench.following():
            bench.api.end_watches()
            await asyncio.sleep(0.01)
            bench.gone("one")
            bench.api.forget()
            await asyncio.sleep(5)
            assert bench.kept == {"two": "a"}
            bench.put("three", "a")
            await asyncio.sleep(0.01)
            assert bench.kept == {"two": "a", "three": "a"}
        assert bench.lists() == 2
        assert bench.lines.getvalue() == ""

    run(main())


def test_an_api_server_that_is_away_leaves_the_last_known_state_and_is_said_once() -> None:
    """Half an hour without it changes nothing; then everything is known again, and that is said."""

    async def main() -> None:
        bench = Bench()
        bench.put("one", "a")
        async with bench.following():
            bench.api.fail[""] = UNREACHABLE
            bench.api.end_watches()
            bench.put("one", "b")
            await asyncio.sleep(1800)
            assert (bench.kept, bench.collection.good) == ({"one": "a"}, False)
            bench.api.fail.clear()
            await asyncio.sleep(60)
            assert (bench.kept, bench.collection.good) == ({"one": "b"}, True)
            bench.put("one", "c")
            await asyncio.sleep(0.01)
        assert bench.said("cannot be listed and watched, its last known state counts") == 1
        assert bench.said("again") == 1

    run(main())


def test_without_the_right_to_it_nothing_is_known_and_that_is_said_once() -> None:
    """A right that is missing is named; when it is given, the collection is known without a restart."""

    async def main() -> None:
        bench = Bench()
        bench.put("one", "a")
        bench.api.fail[""] = FORBIDDEN
        async with bench.following():
            await asyncio.sleep(600)
            assert (bench.collection.synced.is_set(), bench.changes) == (False, 0)
            bench.api.fail.clear()
            await asyncio.sleep(60)
            assert bench.kept == {"one": "a"}
        assert bench.said("nothing is known of it: 403 Forbidden") == 1

    run(main())


def test_without_the_right_to_watch_it_is_listed_twice_a_minute_at_most() -> None:
    """Lists that succeed between watches that fail neither hide the failure nor burden the API server."""

    async def main() -> None:
        bench = Bench()
        bench.api.fail["watch"] = FORBIDDEN
        async with bench.following():
            bench.put("one", "a")
            await asyncio.sleep(1800)
            assert bench.kept == {"one": "a"}
        assert bench.lists() < 100
        assert bench.said("PROBLEM") == 1

    run(main())


def test_labels_choose_in_the_list_and_in_the_watch() -> None:
    """Objects without the label are neither listed nor told of."""

    async def main() -> None:
        bench = Bench(PODS, "server")
        bench.put("one", "a", metadata={"labels": {"server": "vllm"}})
        bench.put("two", "a")
        async with bench.following():
            bench.put("three", "a", metadata={"labels": {"server": "ollama"}})
            bench.put("four", "a")
            await asyncio.sleep(0.01)
            assert set(bench.kept) == {"one", "three"}

    run(main())


def test_a_fault_of_our_own_is_said_once_without_its_text_and_ends_nothing() -> None:
    """An object that cannot be taken is left out; the others come as before."""

    async def main() -> None:
        bench = Bench()
        bench.breaks = True
        for number in range(3):
            bench.put(f"n{number}", "a")
        async with bench.following():
            assert bench.kept == {}
            bench.breaks = False
            bench.put("n0", "b")
            await asyncio.sleep(0.01)
            assert bench.kept == {"n0": "b"}
        assert bench.said("an error of our own: KeyError") == 1
        assert bench.said("secret-value") == 0

    run(main())
