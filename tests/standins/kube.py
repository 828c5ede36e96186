"""A Kubernetes API in memory, for tests of time and faults; the real one is asked in `tests/real`."""

from __future__ import annotations

import asyncio
import copy
import itertools
import re
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from webhook.kube.api import JSON, Api, ApiError, Query
from webhook.patch import Op, apply

NOT_FOUND = ApiError(404, "NotFound", "no such object")
_NAMESPACED = re.compile("/namespaces/([^/]+)/")
UNREACHABLE = ApiError(0, "Unreachable", "connection refused")


class FakeApi(Api):
    """Objects by path, with resourceVersions that are checked, and watches.

    `fail[verb]` is raised by every call of that verb (`get`, `list`, `create`, `rehearse`, `replace`,
    `patch`, `merge`, `strategic`, `delete`, `watch`) while it is there, `fail["verb path"]` by that one
    alone, `fail[""]` by any; `hang` holds every call until it is set free. `calls` are all that were made,
    as (verb, path).
    """

    def __init__(self) -> None:
        self.objects: dict[str, JSON] = {}
        self.fail: dict[str, ApiError] = {}
        self.hang: asyncio.Event | None = None
        self.calls: list[tuple[str, str]] = []
        self._watches: dict[asyncio.Queue[tuple[str, JSON] | None], str] = {}
        self._versions = itertools.count(1)
        # every change: its number, the path, what a watch gives
        self._history: list[tuple[int, str, tuple[str, JSON]]] = []
        self._begins = [0]

    def another(self) -> FakeApi:
        """Give another connection to the same cluster, with faults of its own."""
        api = FakeApi()
        api.objects, api._watches, api._versions = self.objects, self._watches, self._versions
        api._history, api._begins = self._history, self._begins
        return api

    async def close(self) -> None:
        """End the watches."""
        self.end_watches()

    def put(self, path: str, body: JSON | None) -> None:
        """Change an object as somebody else would; None deletes it."""
        before = self.objects.pop(path, None)
        namespace, name = _NAMESPACED.search(path), path.rpartition("/")[2]
        number = next(self._versions)
        if body is None:
            kind, found = "DELETED", before or {}
        else:
            kind, found = ("MODIFIED" if before else "ADDED"), copy.deepcopy(body)
            self.objects[path] = found
        uid = before["metadata"]["uid"] if before else f"uid-{number}"
        meta = {"name": name, "uid": uid, "resourceVersion": str(number)}
        if namespace:
            meta["namespace"] = namespace[1]
        found["metadata"] = {**found.get("metadata", {}), **meta}
        self._history.append((number, path, (kind, copy.deepcopy(found))))
        for queue, watched in self._watches.items():
            if watched in _places(path):
                queue.put_nowait((kind, copy.deepcopy(found)))

    def forget(self) -> None:
        """Have no watch begin before now any more, as after a compaction of etcd."""
        self._history.clear()
        self._begins.append(next(self._versions))

    def end_watches(self) -> None:
        """End every watch, as the API server does from time to time."""
        for queue in self._watches:
            queue.put_nowait(None)

    def deafen(self) -> None:
        """Have every watch stay open and give nothing more, as over a connection that died unseen."""
        for queue in self._watches:
            self._watches[queue] = ""

    async def get(self, path: str, query: Query | None = None) -> JSON:
        """Read one object."""
        assert query is None
        await self._called("get", path)
        return copy.deepcopy(self._there(path))

    async def rehearse(self, path: str, body: JSON) -> JSON:
        """Give it as it is: no webhook has a word in it."""
        await self._called("rehearse", path)
        return copy.deepcopy(body)

    async def create(self, path: str, body: JSON) -> JSON:
        """Create one, unless it is there."""
        await self._called("create", path)
        one = f"{path}/{body['metadata']['name']}"
        if one in self.objects:
            raise ApiError(409, "AlreadyExists", "it is there")
        self.put(one, body)
        return copy.deepcopy(self.objects[one])

    async def replace(self, path: str, body: JSON) -> JSON:
        """Replace one, if it has not changed meanwhile."""
        await self._called("replace", path)
        version = self._there(path)["metadata"]["resourceVersion"]
        if body["metadata"].get("resourceVersion", version) != version:
            raise ApiError(409, "Conflict", "the object has been modified")
        self.put(path, body)
        return copy.deepcopy(self.objects[path])

    async def patch(self, path: str, ops: Iterable[JSON]) -> JSON:
        """Apply a JSON Patch whose tests hold, and which names no other version than there is."""
        await self._called("patch", path)
        found: Any = copy.deepcopy(self._there(path))
        version = found["metadata"]["resourceVersion"]
        for op in ops:
            if op["op"] == "test":
                if _at(found, op["path"]) != op["value"]:
                    raise ApiError(422, "Invalid", "the server rejected our request")
            else:
                found = apply(found, [Op(op["op"], op["path"], op.get("value"))])
        if found["metadata"]["resourceVersion"] != version:
            raise ApiError(409, "Conflict", "the object has been modified")
        self.put(path, found)
        return copy.deepcopy(self.objects[path])

    async def merge(self, path: str, body: JSON) -> JSON:
        """Apply a JSON Merge Patch."""
        await self._called("merge", path)
        self.put(path, _merged(self._there(path), body))
        return copy.deepcopy(self.objects[path])

    async def strategic(self, path: str, body: JSON) -> JSON:
        """Apply a strategic merge patch of a pod's status: of its conditions those that are sent change."""
        await self._called("strategic", path)
        whole = path.removesuffix("/status")
        found = copy.deepcopy(self._there(whole))
        if body["metadata"]["uid"] != found["metadata"]["uid"]:
            raise ApiError(422, "Invalid", "metadata.uid: field is immutable")
        status = found.setdefault("status", {})
        conditions = {one["type"]: one for one in status.get("conditions", [])}
        for one in body["status"]["conditions"]:
            conditions[one["type"]] = {**conditions.get(one["type"], {}), **one}
        status["conditions"] = [*conditions.values()]
        self.put(whole, found)
        return copy.deepcopy(self.objects[whole])

    async def delete(self, path: str, options: JSON | None = None) -> JSON:
        """Delete one."""
        assert options is None
        await self._called("delete", path)
        self._there(path)
        self.put(path, None)
        return {}

    async def pages(self, path: str, selector: str = "", size: int = 500) -> AsyncGenerator[JSON, None]:
        """Give a collection, page by page."""
        await self._called("list", path)
        found = [copy.deepcopy(one) for one in self._of(path) if _has(one, selector)]
        version = str(next(self._versions))
        for begin in range(0, max(len(found), 1), size):
            yield {"metadata": {"resourceVersion": version}, "items": found[begin : begin + size]}

    async def watch(self, path: str, query: Query | None = None) -> AsyncGenerator[tuple[str, JSON], None]:
        """Give changes of a collection, or of the one that a field selector names.

        From a version on, or after what is there. An object that loses a label of `labelSelector` is not
        told of.
        """
        await self._called("watch", path)
        query = query or {}
        name = str(query.get("fieldSelector", "")).removeprefix("metadata.name=")
        selector = str(query.get("labelSelector", ""))
        watched = f"{path}/{name}" if name else path
        queue: asyncio.Queue[tuple[str, JSON] | None] = asyncio.Queue()
        if version := int(query.get("resourceVersion", 0)):
            if version < self._begins[-1]:
                raise ApiError(410, "Expired", "too old resource version")
            for number, one, past in self._history:
                if number > version and watched in _places(one):
                    queue.put_nowait(copy.deepcopy(past))
        else:
            for found in self._of(watched):
                queue.put_nowait(("ADDED", copy.deepcopy(found)))
        self._watches[queue] = watched
        try:
            while (change := await queue.get()) is not None:
                if _has(change[1], selector):
                    yield change
        finally:
            del self._watches[queue]

    def _of(self, path: str) -> list[JSON]:
        return [one for at, one in self.objects.items() if path in _places(at)]

    async def _called(self, verb: str, path: str) -> None:
        self.calls.append((verb, path))
        if self.hang is not None:
            await self.hang.wait()
        error = self.fail.get(verb) or self.fail.get(f"{verb} {path}") or self.fail.get("")
        if error:
            raise ApiError(error.status, error.reason, error.message)

    def _there(self, path: str) -> JSON:
        if path not in self.objects:
            about = "/".join(path.split("/")[-2:])
            raise ApiError(NOT_FOUND.status, NOT_FOUND.reason, NOT_FOUND.message, about)
        return self.objects[path]


def _places(path: str) -> set[str]:
    """Give where an object is watched and listed: by itself, in its namespace, in all namespaces."""
    collection = path.rpartition("/")[0]
    return {path, collection, _NAMESPACED.sub("/", path).rpartition("/")[0]}


def _has(found: JSON, selector: str) -> bool:
    """Tell whether an object has the labels of a selector: `key`, `key=value`, `!key`, commas between."""
    labels = found["metadata"].get("labels") or {}
    for asked in filter(None, selector.split(",")):
        key, _, value = asked.lstrip("!").partition("=")
        if (key in labels and value in ("", labels[key])) == asked.startswith("!"):
            return False
    return True


def _at(found: Any, pointer: str) -> Any:
    """Give what a JSON Pointer points to, None if nothing is there."""
    for key in pointer.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901 - as RFC 6901 writes keys
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (LookupError, ValueError):
            return None
    return found


def _merged(found: Any, change: JSON) -> JSON:
    merged = dict(found) if isinstance(found, dict) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value) if isinstance(value, dict) else value
    return merged
