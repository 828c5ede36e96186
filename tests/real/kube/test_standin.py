"""The Kubernetes in memory answers as the real one does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.real.kube.conftest import Connections
from tests.standins.kube import FakeApi
from webhook.kube.api import JSON, Api, ApiError

pytestmark = pytest.mark.kube


async def transcript(api: Api, path: str) -> list[Any]:
    """Do the same things, and give what came of each."""
    one = f"{path}/one"
    came: list[Any] = []

    async def note(call: Awaitable[JSON]) -> JSON:
        try:
            found = await call
        except ApiError as error:
            came.append((error.status, error.reason))
            return {}
        came.append(found.get("data"))
        return found

    await note(api.get(one))
    await note(api.replace(one, {"metadata": {"name": "one"}}))
    await note(api.merge(one, {"data": {"a": "1"}}))
    await note(api.patch(one, [{"op": "add", "path": "/data", "value": {}}]))
    await note(api.delete(one))
    old = await note(api.create(path, {"metadata": {"name": "one"}, "data": {"a": "1", "b": "2"}}))
    await note(api.create(path, {"metadata": {"name": "one"}}))
    new = await note(api.merge(one, {"data": {"a": None, "c": "3"}}))
    await note(api.replace(one, {**old, "data": {}}))
    await note(api.replace(one, {**new, "data": {"a": "4"}}))
    version = new["metadata"]["resourceVersion"]
    guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    change = {"op": "add", "path": "/data/b", "value": "5"}
    await note(api.patch(one, [guard, change]))
    await note(api.patch(one, [{"op": "test", "path": "/data/a", "value": "no"}, change]))
    await note(api.patch(one, [{"op": "test", "path": "/data/a", "value": "4"}, change]))
    now = (await api.get(one))["metadata"]["resourceVersion"]
    await note(api.patch(one, [{**guard, "value": now}, {**change, "value": "6"}]))
    return came


async def changes(api: Api, path: str) -> list[tuple[str, Any]]:
    """Watch one object while it and another one change, and give what was seen."""
    seen: list[tuple[str, Any]] = []

    async def watch() -> None:
        async for kind, found in api.watch(path, {"fieldSelector": "metadata.name=one"}):
            seen.append((kind, found.get("data")))
            if kind == "DELETED":
                return

    await api.create(path, {"metadata": {"name": "two"}})
    task = asyncio.create_task(watch())
    while not seen:  # noqa: ASYNC110 - until the watch has begun
        await asyncio.sleep(0.05)
    await api.merge(f"{path}/two", {"data": {"x": "1"}})
    await api.merge(f"{path}/one", {"data": {"x": "1"}})
    await api.delete(f"{path}/one")
    await task
    return seen


async def conditions(api: Api, path: str) -> list[Any]:
    """Patch the conditions of a pod's status, and give what came of each."""
    spec = {"containers": [{"name": "main", "image": "registry.example.com/main:1"}]}
    pod = await api.create(path, {"metadata": {"name": "one"}, "spec": spec})
    came: list[Any] = []
    for name, uid, kind, status in (
        ("one", pod["metadata"]["uid"], "example.com/a", "False"),
        ("one", pod["metadata"]["uid"], "example.com/b", "True"),
        ("one", pod["metadata"]["uid"], "example.com/a", "True"),
        ("one", "of-another-pod", "example.com/a", "False"),
        ("two", pod["metadata"]["uid"], "example.com/a", "False"),
    ):
        change = {"type": kind, "status": status, "reason": "for_a_test"}
        patch = {"metadata": {"uid": uid}, "status": {"conditions": [change]}}
        try:
            found = await api.strategic(f"{path}/{name}/status", patch)
        except ApiError as error:
            came.append((error.status, error.reason))
        else:
            came.append({each["type"]: each["status"] for each in found["status"]["conditions"]})
    return came


async def test_the_standin_answers_each_verb_as_the_real_one(
    connections: Connections, namespace: str
) -> None:
    """What succeeds, what is refused with which reason, and what a watch gives are the same."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    real, fake = await connections.admin(), FakeApi()
    assert await transcript(fake, path) == await transcript(real, path)
    assert await changes(fake, path) == await changes(real, path)
    path = f"/api/v1/namespaces/{namespace}/pods"
    assert await conditions(fake, path) == await conditions(real, path)
