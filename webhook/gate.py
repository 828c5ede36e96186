"""The gate before webhooks with failurePolicy Fail: they get their rules once the API server has reached us.

Every replica looks. What one of them writes is the same as what any other would, and guarded by the version
it was read at: two at once do no harm, and it needs no leader.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from webhook import held_rules
from webhook.held_rules import AnnotationError, Way, held_back, ops, selftest_lease, selftest_way, unlike
from webhook.kube.api import JSON, Api, ApiError
from webhook.kube.follow import Followed
from webhook.log import Log
from webhook.reasons import Reason
from webhook.tls.publication import Patience, webhook_configurations

# So often in a row, so many seconds apart: a Service that has just got its first endpoint may lead nowhere
# for 0.1 s (measured), and one that leads to several is to show more than one of them.
_TIMES: Final = 3
_APART: Final = 1.0
# Seconds until the next try after failures: doubled with each. And between looks when nothing rings.
_AGAIN_AT_MOST: Final = 10.0
_LOOK_EVERY: Final = 10.0
# So many failures are no news: until it is ready itself, no Service leads to a new webhook.
_NO_NEWS: Final = 4
_CONFLICT: Final = 409


class NotReachedError(Exception):
    """It cannot be told that the API server reaches this webhook; the message says why."""


class Gate:
    """Watches the mutating and validating configurations of some names. `run` it while the process serves.

    `show` is told how many webhooks have their rules held back. Rights: `get`, `watch` and `patch` on the
    configurations; `create` on Leases in `namespace`.
    """

    def __init__(
        self,
        api: Api,
        names: Sequence[str],
        namespace: str,
        log: Log,
        *,
        show: Callable[[int], None] = lambda _held: None,
        new_name: Callable[[], str] = lambda: f"selftest-{secrets.token_hex(8)}",
    ) -> None:
        self._api = api
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._log = log
        self._show = show
        self._new_name = new_name
        self._bell = asyncio.Event()
        self._objects: dict[str, JSON | None] = {}
        self._followed = {
            target.path: Followed(api, target.path, partial(self._take, target.path), log, every=_LOOK_EVERY)
            for target in webhook_configurations(names)
        }
        self._patience = Patience()
        self._problem = ""

    async def run(self) -> None:
        """Look and open until cancelled."""
        async with asyncio.TaskGroup() as together:
            for followed in self._followed.values():
                together.create_task(followed.run())
            together.create_task(self._open_for_ever())

    def _take(self, path: str, found: JSON | None) -> None:
        self._objects[path] = found
        self._bell.set()

    async def _open_for_ever(self) -> None:
        failures = 0
        while True:
            self._bell.clear()
            try:
                held = self._held()
                if held:
                    way = self._way(held)
                    await self._reached()
                    await self._open(held, way)
                failures, self._problem, wait = 0, "", _LOOK_EVERY
            except (ApiError, AnnotationError, NotReachedError) as error:
                failures += 1
                wait = min(_APART * 2.0 ** (failures - 1), _AGAIN_AT_MOST)
                if failures > _NO_NEWS:
                    self._say_problem(error)
                await asyncio.sleep(_APART)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._bell.wait()

    def _held(self) -> dict[str, list[str]]:
        """Name the webhooks whose rules are held back, by configuration. Raises AnnotationError."""
        held = {path: names for path, found in self._objects.items() if (names := [*held_back(found)])}
        self._show(sum(map(len, held.values())))
        return held

    def _way(self, held: dict[str, list[str]]) -> Way:
        """Give the way that is tried, if all whose rules are held back are called by it."""
        way = next(filter(None, map(selftest_way, self._objects.values())), None)
        if way is None:
            raise NotReachedError(
                f"no configuration has the webhook {held_rules.SELFTEST}, by which that is told"
            )
        if others := [name for path in held for name in unlike(self._objects[path], way)]:
            raise NotReachedError(
                f"{', '.join(others)}: the address or the caBundle is not (yet) that of {held_rules.SELFTEST}"
            )
        return way

    async def _reached(self) -> None:
        """See that the API server reaches us, some times in a row. Raises NotReachedError, ApiError."""
        for time in range(_TIMES):
            if time:
                await asyncio.sleep(_APART)
            try:
                await self._api.rehearse(self._leases, selftest_lease(self._new_name()))
            except ApiError as error:
                if Reason.SELF_TEST not in error.message:
                    raise
            else:
                raise NotReachedError("the API server does not reach this webhook")

    async def _open(self, held: dict[str, list[str]], way: Way) -> None:
        """Give the rules, to what still is as it was when it was tried."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._patience.wait(loop.time()))
        for path, names in held.items():
            await self._followed[path].look()
            found = self._objects[path]
            if found is None or not held_back(found) or unlike(found, way):
                continue
            self._patience = self._patience.wrote(loop.time())
            try:
                await self._api.patch(path, ops(found))
            except ApiError as error:
                if error.status != _CONFLICT:  # else another hand was first: it is looked at anew
                    raise
            else:
                self._log.say(
                    "GATE",
                    "The API server reaches this webhook: what has failurePolicy Fail is in force now",
                    configuration=path.rpartition("/")[2],
                    webhooks=" ".join(names),
                )
            self._followed[path].ring()

    def _say_problem(self, error: Exception) -> None:
        problem = str(error)
        if problem != self._problem:
            self._problem = problem
            self._log.say(
                "PROBLEM",
                f"What has failurePolicy Fail is not in force yet: {problem}",
                reason=Reason.NOT_REACHED,
            )
