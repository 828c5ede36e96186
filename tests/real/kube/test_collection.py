"""A collection listed and watched on a real API server, which also goes away."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator

import pytest

from tests.peers.cluster import JSON
from tests.real.kube.conftest import ApiServer, Connections
from tests.real.kube.test_follow_and_leader import until
from webhook.kube.api import Api
from webhook.kube.collection import Collection
from webhook.log import Log

# an API server that is stopped and started takes its time on a busy machine
pytestmark = [pytest.mark.kube, pytest.mark.timeout(900)]


class Eye:
    """Follows the ConfigMaps of a namespace, and keeps one value of each."""

    def __init__(self, api: Api, path: str, selector: str = "") -> None:
        self.lines = io.StringIO()
        self.watches: list[JSON] = []
        self.bookmarks: set[str] = set()
        self._watch = api.watch
        api.watch = self.watch  # type: ignore[method-assign,assignment]
        self.collection = Collection(api, path, self.keep, Log(self.lines), selector=selector)

    @staticmethod
    def keep(found: JSON) -> str | None:
        """Keep its value, if there is one."""
        value = found.get("data", {}).get("a")
        return None if value is None else value[:10]

    async def watch(self, path: str, query: JSON) -> AsyncIterator[tuple[str, JSON]]:
        """Watch as before, and note which version each watch began at, and which ones came as bookmarks."""
        self.watches.append(query)
        async for kind, found in self._watch(path, query):
            if kind == "BOOKMARK":
                self.bookmarks.add(found["metadata"]["resourceVersion"])
            yield kind, found

    @property
    def kept(self) -> dict[str, str]:
        """What is kept, by name."""
        return {name: value for (_, name), value in self.collection.items.items()}

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow for a while, from the first list on."""
        task = asyncio.create_task(self.collection.run())
        async with asyncio.timeout(120):
            await self.collection.synced.wait()
        yield
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])


def config_map(name: str, value: str, **labels: str) -> JSON:
    """Write a ConfigMap."""
    return {"metadata": {"name": name, "labels": labels}, "data": {"a": value}}


async def test_several_pages_are_listed_and_every_change_is_seen(
    connections: Connections, namespace: str
) -> None:
    """Additions, changes, deletions; labels that are put on and taken away; objects of half a MB."""
    admin = await connections.admin()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(230):
        await admin.create(path, config_map(f"c{number}", "1", mark="yes"))
    await admin.create(path, config_map("other", "1"))
    eye = Eye(await connections.admin(), path, "mark=yes")
    async with eye.following():
        assert len(eye.kept) == 230
        await admin.merge(f"{path}/c0", {"data": {"a": "2"}})
        await admin.delete(f"{path}/c1")
        await admin.merge(f"{path}/other", {"metadata": {"labels": {"mark": "yes"}}})
        await admin.merge(f"{path}/c2", {"metadata": {"labels": {"mark": None}}})
        await admin.create(path, config_map("large", "x" * 500_000, mark="yes"))
        await admin.create(path, config_map("last", "1", mark="yes"))
        await until("the last change", lambda: "last" in eye.kept)
        assert (eye.kept["c0"], eye.kept["other"], eye.kept["large"]) == ("2", "1", "x" * 10)
        assert {"c1", "c2"} & set(eye.kept) == set()
    assert len(eye.watches) == 1
    assert eye.lines.getvalue() == ""


async def test_a_watch_goes_on_from_a_bookmark(
    connections: Connections, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet collection's later watches begin at a version as new as the cluster's."""
    monkeypatch.setattr("webhook.kube.api._WATCHED", {"watch": 1, "timeoutSeconds": 3})
    admin = await connections.admin()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    eye = Eye(await connections.admin(), path)
    async with eye.following():
        for number in range(5):
            elsewhere = await admin.create(
                "/api/v1/namespaces/default/configmaps", config_map(f"{namespace}-{number}", "")
            )
        # a watch of 3 s gets one bookmark, which may be from before all of these
        newest = int(elsewhere["metadata"]["resourceVersion"])
        await until("a watch from there", lambda: int(eye.watches[-1]["resourceVersion"]) >= newest)
    assert eye.watches[-1]["resourceVersion"] in eye.bookmarks


async def test_a_version_that_the_api_server_has_forgotten_is_listed_anew(
    connections: Connections, namespace: str, api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real 410, of what was before a restart, costs another list and is no news."""
    await asyncio.to_thread(api_server.stop)
    await asyncio.to_thread(api_server.start)
    admin = await connections.admin()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    eye = Eye(await connections.admin(), path)
    whole = eye.collection._list
    versions = iter(["1"])

    async def old() -> str:
        version = await whole()
        return next(versions, version)

    monkeypatch.setattr(eye.collection, "_list", old)
    async with eye.following():
        await until("another list", lambda: len(eye.watches) > 1)
        await admin.create(path, config_map("one", "1"))
        await until("the change", lambda: eye.kept == {"one": "1"})
    assert eye.lines.getvalue() == ""


async def test_a_restart_of_the_api_server_is_survived(
    connections: Connections, namespace: str, api_server: ApiServer
) -> None:
    """The last state counts while it is away; what changed is known afterwards, and that is said."""
    admin = await connections.admin()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await admin.create(path, config_map("one", "1"))
    eye = Eye(await connections.admin(), path)
    async with eye.following():
        await asyncio.to_thread(api_server.stop)
        await until("line", lambda: "its last known state counts" in eye.lines.getvalue())
        assert (eye.kept, eye.collection.good) == ({"one": "1"}, False)
        await asyncio.to_thread(api_server.start)
        await admin.merge(f"{path}/one", {"data": {"a": "2"}})
        await until("change", lambda: eye.kept == {"one": "2"})
        await admin.create(path, config_map("two", "1"))
        await until("addition", lambda: eye.kept == {"one": "2", "two": "1"})
        await until("line", lambda: "can be listed and watched again" in eye.lines.getvalue())
