"""One object of the cluster, followed: each change within moments, whatever becomes of connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from webhook.kube.api import JSON, Api, ApiError
from webhook.log import Log

# Seconds between two looks when nothing rings, and at the least when something rings all the time.
LOOK_EVERY: Final = 3.0
_LOOK_AT_MOST_EVERY: Final = 0.2
# Seconds until a watch that ended is begun again; doubled with each that fails.
_WATCH_AGAIN: Final = 0.5
_WATCH_AGAIN_AT_MOST: Final = 30.0


class Followed:
    """An object by its path, like `/api/v1/namespaces/shop/secrets/tls`; `use` gets it, or None if absent.

    The watch only rings: what counts is always read anew, from the API server's storage. So nothing can come
    in the wrong order, no version can be too old (410), and a watch that died unseen costs `every` seconds.
    Rights: `get`, and `watch` (which may be limited to this name; without it changes are seen later).
    """

    def __init__(
        self,
        api: Api,
        path: str,
        use: Callable[[JSON | None], None],
        log: Log,
        *,
        every: float = LOOK_EVERY,
    ) -> None:
        self._api = api
        self._path = path
        self._collection, _, self._name = path.rpartition("/")
        self._use = use
        self._log = log
        self._every = every
        self._bell = asyncio.Event()
        self._looking = asyncio.Lock()
        self._looked = 0.0
        self._seen: tuple[str, str] | None = None
        self._failed: tuple[str, str] | None = None
        self._unread = ""
        self._unwatched = ""

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._look_for_ever())
            both.create_task(self._listen_for_ever())

    async def look(self) -> bool:
        """Read the object now, and tell whether it could be read; `use` has then had its newest state."""
        async with self._looking:
            self._looked = asyncio.get_running_loop().time()
            try:
                found = await self._read()
            except ApiError as error:
                self._say_unread(error)
                return False
            if self._unread:
                self._unread = ""
                self._log.say("KUBE", f"{self._path} can be read again")
            self._take(found)
            return True

    def ring(self) -> None:
        """Have the object read soon: somebody knows that it changed."""
        self._bell.set()

    async def _read(self) -> JSON | None:
        try:
            return await self._api.get(self._path)
        except ApiError as error:
            if error.status == 404 and error.reason == "NotFound":  # noqa: PLR2004 - not found
                return None
            raise

    def _take(self, found: JSON | None) -> None:
        version = _version(found)
        if version == self._seen:
            return
        try:
            self._use(found)
        except Exception as error:  # noqa: BLE001 - a fault of our own must not end the following
            if version != self._failed:
                self._failed = version
                self._say(f"{self._path} is not taken, an error of our own: {type(error).__name__}")
        else:
            self._seen = version

    async def _look_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._bell.clear()
            await self.look()
            await asyncio.sleep(_LOOK_AT_MOST_EVERY)
            # who looks of its own accord meanwhile has looked for this too
            while not self._bell.is_set() and (left := self._looked + self._every - loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._bell.wait()

    async def _listen_for_ever(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen()
                failures = 0
            except ApiError as error:
                failures += 1
                # One is no news (410, a restart); whether it can be reached at all is told by looking.
                if failures > 1 and error.status:
                    self._say_unwatched(error)
            await asyncio.sleep(min(_WATCH_AGAIN * 2**failures, _WATCH_AGAIN_AT_MOST))

    async def _listen(self) -> None:
        only = {"fieldSelector": f"metadata.name={self._name}"}
        async with contextlib.aclosing(self._api.watch(self._collection, only)) as changes:
            async for _ in changes:
                self._bell.set()

    def _say_unread(self, error: ApiError) -> None:
        problem = f"{error.status} {error.reason}"
        if problem != self._unread:
            self._unread = problem
            self._say(f"{self._path} cannot be read, its last known state counts: {error}")

    def _say_unwatched(self, error: ApiError) -> None:
        problem = f"{error.status} {error.reason}"
        if problem != self._unwatched:
            self._unwatched = problem
            self._say(f"{self._path} is read every {self._every:g} s only, it cannot be watched: {error}")

    def _say(self, problem: str) -> None:
        self._log.say("PROBLEM", problem)


def _version(found: JSON | None) -> tuple[str, str]:
    meta = (found or {}).get("metadata") or {}
    return meta.get("uid", ""), meta.get("resourceVersion", "")
