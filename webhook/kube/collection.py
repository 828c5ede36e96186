"""All objects of a collection, listed once and then watched: what client-go calls an informer.

Of each object only what is wanted of it is kept, so that a large cluster costs as much memory as that.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from webhook.kube.api import JSON, Api, ApiError
from webhook.log import Log, traced

T = TypeVar("T")

# A Node is some 20 kB of JSON: pages that are read while nothing else waits long, and need little memory
# (2,000 Nodes, of which their kubelets' versions are kept: 8 MiB more, measured).
_PAGE: Final = 100
# Seconds until a list or a watch that failed is tried again; doubled with each that fails.
_AGAIN: Final = 0.5
_AGAIN_AT_MOST: Final = 30.0


class Collection(Generic[T]):
    """The objects at a path like `/api/v1/nodes` or `/api/v1/pods`, perhaps only those of a label selector.

    `keep` makes of an object what is kept of it, None for one that is not wanted; it gets raw JSON and must
    not hold on to it. `changed` is called, without arguments, after each change of what is kept, and after
    the first list. Rights: `list` and `watch`.

    A watch begins where the list, or the one before it, ended; after any failure everything is listed again,
    so nothing is missed. Meanwhile the last known state counts, and `good` is False.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        keep: Callable[[JSON], T | None],
        log: Log,
        *,
        selector: str = "",
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._api = api
        self._path = path
        self._keep = keep
        self._log = log
        self._selector = selector
        self._changed = changed
        self._items: dict[tuple[str, str], T] = {}
        self._failures = 0
        self._problem = ""
        self._faults: set[str] = set()
        self.synced = asyncio.Event()
        self.good = False

    @property
    def items(self) -> Mapping[tuple[str, str], T]:
        """What is kept, by namespace (empty for a Node) and name; it changes whenever the loop runs."""
        return self._items

    async def run(self) -> None:
        """List and watch until cancelled; `synced` is set after the first list."""
        while True:
            try:
                version = await self._list()
                while True:
                    version = await self._watch(version)
                    await self._pause()
            except ApiError as error:
                self._failures += 1
                # One is no news: a version that is too old (410), a connection that ended with its server.
                if self._failures > 1:
                    self._say(error)
            await self._pause()

    async def _pause(self) -> None:
        wait = min(_AGAIN * 2**self._failures, _AGAIN_AT_MOST)
        await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - out of step, no secret

    async def _list(self) -> str:
        """Read everything anew, and give the version from which on changes are not in it."""
        items: dict[tuple[str, str], T] = {}
        version = ""
        pages = self._api.pages(self._path, self._selector, _PAGE)
        async with contextlib.aclosing(pages):
            async for page in pages:
                # The first page's: should a later one be of a newer state, changes up to that come once more.
                version = version or _version(page)
                for found in page.get("items") or ():
                    if (kept := self._kept(found)) is not None:
                        items[_key(found)] = kept
        if not version:
            raise ApiError(0, "BadAnswer", f"GET {self._path}: a list without resourceVersion")
        before, self._items = self._items, items
        first = not self.synced.is_set()
        self.good = True
        self.synced.set()
        if first or before != items:
            self._tell()
        return version

    async def _watch(self, version: str) -> str:
        """Follow changes until the API server ends the watch, and give the version to go on from."""
        query = {
            "resourceVersion": version,
            "labelSelector": self._selector,
            # from time to time the version that all is known of: a quiet collection's would grow too old
            "allowWatchBookmarks": "true",
        }
        try:
            async with contextlib.aclosing(self._api.watch(self._path, query)) as changes:
                async for kind, found in changes:
                    self._works()
                    version = _version(found) or version
                    if kind != "BOOKMARK":
                        self._take(kind, found)
        except ApiError:
            self.good = False
            raise
        self._works()
        return version

    def _works(self) -> None:
        """Take note that not only listing works, but watching too."""
        self._failures = 0
        if self._problem:
            self._problem = ""
            self._log.say("KUBE", f"{self._path} can be listed and watched again")

    def _take(self, kind: str, found: JSON) -> None:
        key = _key(found)
        kept = None if kind == "DELETED" else self._kept(found)
        if kept == self._items.get(key):
            return
        if kept is None:
            del self._items[key]
        else:
            self._items[key] = kept
        self._tell()

    def _kept(self, found: JSON) -> T | None:
        try:
            return self._keep(found)
        except Exception as error:  # noqa: BLE001 - a fault of our own must not end the following
            self._fault("An object is not taken", error)
            return None

    def _tell(self) -> None:
        try:
            self._changed()
        except Exception as error:  # noqa: BLE001 - the same
            self._fault("A change is not taken", error)

    def _fault(self, what: str, error: Exception) -> None:
        where = traced(error)
        if where not in self._faults:  # as many as there are places in the code
            self._faults.add(where)
            kind = type(error).__name__
            self._log.say("PROBLEM", f"{what}, an error of our own: {kind}", path=self._path, at=where)

    def _say(self, error: ApiError) -> None:
        problem = f"{error.status} {error.reason}"
        if problem != self._problem:
            self._problem = problem
            counts = "its last known state counts" if self.synced.is_set() else "nothing is known of it"
            self._log.say("PROBLEM", f"{self._path} cannot be listed and watched, {counts}: {error}")


def _key(found: JSON) -> tuple[str, str]:
    meta = found.get("metadata") or {}
    return meta.get("namespace") or "", meta.get("name") or ""


def _version(found: JSON) -> str:
    return (found.get("metadata") or {}).get("resourceVersion") or ""
