"""Events on objects: one per object and reason in ten minutes, bounded in every way, in nobody's way."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.standins.kube import UNREACHABLE, FakeApi
from tests.virtual_time import now, run
from webhook.kube.api import ApiError
from webhook.kube.events import ONE_IN, Events
from webhook.log import Log


def pod(name: str, namespace: str = "shop") -> dict[str, str]:
    """Give the reference of a pod."""
    return {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": f"uid of {name}"}


class Bench:
    """Events, and the cluster they are written to."""

    def __init__(self, api: FakeApi | None = None, *, shared: bool = False) -> None:
        self.api = api or FakeApi()
        self.lines = io.StringIO()
        self.events = Events(self.api, "litellm-registrar-broker", Log(self.lines), shared=shared)

    def written(self) -> list[dict[str, Any]]:
        """Give the Events that are there."""
        return list(self.api.objects.values())

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write for a while."""
        task = asyncio.create_task(self.events.run())
        yield
        task.cancel()
        await asyncio.wait([task])


def test_an_event_says_what_happened_to_which_object() -> None:
    """The Event stands in the object's namespace and names it whole."""

    async def main() -> None:
        bench = Bench()
        async with bench.writing():
            bench.events.say(pod("qwen"), "foreign_name", "the name 'gpt-4o' has rows of elsewhere")
            await asyncio.sleep(1)
        ((path, event),) = bench.api.objects.items()
        assert path.startswith("/api/v1/namespaces/shop/events/qwen.")
        assert event["involvedObject"] == pod("qwen")
        assert (event["reason"], event["type"], event["count"]) == ("foreign_name", "Warning", 1)
        assert event["message"] == "the name 'gpt-4o' has rows of elsewhere"
        assert event["source"] == {"component": "litellm-registrar-broker"}

    run(main())


def test_what_is_said_again_within_ten_minutes_is_only_counted() -> None:
    """A registrar that asks for the same thing every second makes one Event and a write in ten minutes."""

    async def main() -> None:
        bench = Bench()
        async with bench.writing():
            for second in range(3601):
                bench.events.say(pod("qwen"), "rate", f"refused at {second}")
                await asyncio.sleep(1)
        (event,) = bench.written()
        assert event["count"] == 3601
        assert event["message"] == "refused at 3600"
        assert [verb for verb, _ in bench.api.calls] == ["create", *6 * ["merge"]]

    run(main())


def test_what_another_replica_has_said_is_not_said_anew() -> None:
    """Of replicas that write in turn; where each has its own to say, both are heard."""

    async def main() -> None:
        for shared, count in ((True, 2), (False, 4)):
            first = Bench(shared=shared)
            second = Bench(first.api.another(), shared=shared)
            for bench in (first, second):
                async with bench.writing():
                    bench.events.say(pod("qwen"), "missed", "it has no registrar")
                    bench.events.say({**pod("qwen"), "uid": "a new one"}, "missed", "it has no registrar")
                    await asyncio.sleep(1)
                    assert bench.events.lost == 0
            assert len(first.written()) == count

    run(main())


def test_each_reason_and_each_object_has_its_own_event() -> None:
    """What is said of another pod, for another reason, or of a pod's successor is not swallowed."""

    async def main() -> None:
        bench = Bench()
        async with bench.writing():
            for about in (pod("a"), pod("b"), pod("a", "zoo"), {**pod("a"), "uid": "a new one"}):
                for reason in ("rate", "size"):
                    bench.events.say(about, reason, "no")
            await asyncio.sleep(2)
        assert len(bench.written()) == 8

    run(main())


def test_an_event_that_has_ended_meanwhile_is_made_anew() -> None:
    """The API server forgets Events after an hour; the next one is written all the same."""

    async def main() -> None:
        bench = Bench()
        async with bench.writing():
            bench.events.say(pod("qwen"), "rate", "no")
            await asyncio.sleep(ONE_IN + 1)
            bench.api.objects.clear()
            bench.events.say(pod("qwen"), "rate", "no")
            await asyncio.sleep(1)
        (event,) = bench.written()
        assert event["count"] == 2

    run(main())


def test_a_flood_is_written_slowly_and_what_has_no_room_is_counted() -> None:
    """Ten thousand pods at once make ten writes a second and leave no more than 200 waiting."""

    async def main() -> None:
        bench = Bench()
        for number in range(10_000):
            bench.events.say(pod(f"p{number}"), "rate", "no")
        assert bench.events.lost == 9_800
        async with bench.writing():
            await asyncio.sleep(10)
            assert 95 <= len(bench.written()) <= 101
            await asyncio.sleep(60)
        assert len(bench.written()) == 200

    run(main())


def test_what_was_lost_may_be_said_again_at_once() -> None:
    """An Event for which there was no room does not count as written."""

    async def main() -> None:
        bench = Bench()
        for number in range(201):
            bench.events.say(pod(f"p{number}"), "rate", "no")
        async with bench.writing():
            await asyncio.sleep(60)
            bench.events.say(pod("p200"), "rate", "no")
            await asyncio.sleep(1)
        assert any(event["involvedObject"]["name"] == "p200" for event in bench.written())

    run(main())


@pytest.mark.parametrize("error", [UNREACHABLE, ApiError(403, "Forbidden", "events is forbidden")])
def test_events_that_cannot_be_written_are_lost_and_that_is_said_seldom(error: ApiError) -> None:
    """Whoever has something to say goes on; a line in ten minutes tells people."""

    async def main() -> None:
        bench = Bench()
        bench.api.fail[""] = error
        async with bench.writing():
            began = now()
            while now() < began + 1200:
                bench.events.say(pod(f"p{now()}"), "rate", "no")
                await asyncio.sleep(1)
            assert bench.lines.getvalue().count("An Event cannot be written") == 2
            assert bench.events.lost == 1200
            bench.api.fail.clear()
            bench.events.say(pod("qwen"), "rate", "no")
            await asyncio.sleep(1)
        assert len(bench.written()) == 1

    run(main())


def test_a_message_is_one_printable_line_of_bounded_length() -> None:
    """Whatever a tenant's names hold, the Event's text is what the API takes and a terminal shows."""

    async def main() -> None:
        bench = Bench()
        async with bench.writing():
            bench.events.say(pod("qwen"), "rate", "a\nb\x1b[31m" + "x" * 5000)
            await asyncio.sleep(1)
        (event,) = bench.written()
        assert len(event["message"]) == 1024
        assert event["message"].isprintable()

    run(main())


def test_an_event_on_an_object_of_the_cluster_stands_in_default() -> None:
    """The API server takes it nowhere else."""

    async def main() -> None:
        bench = Bench()
        about = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u"}
        async with bench.writing():
            bench.events.say(about, "ready", "yes", kind="Normal")
            await asyncio.sleep(1)
        ((path, event),) = bench.api.objects.items()
        assert path.startswith("/api/v1/namespaces/default/events/n1.")
        assert (event["metadata"]["namespace"], event["type"]) == ("default", "Normal")

    run(main())


def test_a_namespace_that_is_being_deleted_takes_no_events_and_that_is_no_problem() -> None:
    """It happens at every deletion of a namespace with model servers, and its Events end with it."""
    text = (
        'POST /api/v1/namespaces/shop/events: events "qwen.1" is forbidden: unable to create new content in '
        "namespace shop because it is being terminated"
    )

    async def main() -> None:
        bench = Bench()
        bench.api.fail[""] = ApiError(403, "Forbidden", text)
        async with bench.writing():
            bench.events.say(pod("qwen"), "draining", "the models leave LiteLLM")
            await asyncio.sleep(1)
        assert bench.events.lost == 1
        assert bench.lines.getvalue() == ""

    run(main())
