"""Judges model servers that live, when the policy changes and when exceptions end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from collections.abc import Collection as Names
from typing import Final

from webhook.check.cluster import CLOSED, COLLECTIONS, NAMESPACES, POD
from webhook.inject import Injection
from webhook.kube.api import JSON, Api, ApiError
from webhook.kube.events import Events
from webhook.kube.our_pods import PODS, SELECTORS
from webhook.living.figures import Judged
from webhook.living.metrics import LivingMetrics
from webhook.living.servers import Look, Refusal, next_look
from webhook.living.telling import AT_ONCE, PAUSE, tell
from webhook.log import Log
from webhook.policy.policy import Policy

# Objects of a page: read while reviews wait, and a pod may be 30 kB.
_PAGE: Final = 100
# Seconds until a look that failed is tried again; doubled with each that fails.
_AGAIN: Final = 10.0
_AGAIN_AT_MOST: Final = 600.0
# Seconds of one wait: the time of day, which exceptions end by, may be set meanwhile.
_LONGEST: Final = 3600.0
_NOT_FOUND: Final = 404


class ServerSurvey:
    """Model servers of every namespace but the `excluded`.

    Read only when they are to be judged: page by page, each page gone before the next. Rights: `list` on
    namespaces, pods and the kinds of `COLLECTIONS`.
    """

    def __init__(
        self,
        api: Api,
        *,
        config: Callable[[], Injection],
        policy: Callable[[], Policy | None],
        excluded: Names[str],
        log: Log,
        metrics: LivingMetrics,
        events: Events,
        now: Callable[[], float],
    ) -> None:
        """Judge by the `policy` that counts when it is asked for; `now` is in seconds since 1970."""
        self._api = api
        self._config = config
        self._policy = policy
        self._excluded = frozenset(excluded)
        self._log = log
        self._metrics = metrics
        self._events = events
        self._now = now
        self._changed = asyncio.Event()
        self._said: set[tuple[str, str, bool, bool]] = set()
        self._told: tuple[str, int, int, int] | None = None
        self._problem = ""

    def policy_changed(self) -> None:
        """Judge again soon."""
        self._changed.set()

    async def run(self) -> None:
        """Judge, and judge again when it is time, until cancelled."""
        failures = 0
        while True:
            self._changed.clear()
            policy = self._policy()
            due = None
            try:
                if policy is not None:
                    due = await self._look(policy)
                failures = 0
            except ApiError as error:
                failures += 1
                self._say_problem(error)
                due = self._now() + _pause(failures)
            await self._until(due)

    async def _until(self, due: float | None) -> None:
        """Wait until a time of day, or until the policy changes."""
        while not self._changed.is_set() and (due is None or self._now() < due):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST if due is None else min(due - self._now(), _LONGEST)):
                    await self._changed.wait()

    async def _look(self, policy: Policy) -> float | None:
        """Judge everything, and give when that is due again; None: never. Raises ApiError."""
        now = self._now()
        closed = {found["metadata"]["name"] for found in await self._api.list(NAMESPACES, CLOSED)}
        look = Look(policy, self._config(), now, closed=closed, excluded=self._excluded)
        async for kind, page in self._pages(closed):
            for obj in page:
                look.add(kind, obj)
                await asyncio.sleep(0)  # reviews come first
        figures, refusals = look.result()
        self._problem = ""
        self._metrics.judged = figures
        self._say(policy, figures)
        await self._tell(policy, refusals)
        return next_look(policy, figures)

    async def _pages(self, closed: Names[str]) -> AsyncIterator[tuple[str, list[JSON]]]:
        """Give what is to be judged, owners before what they own.

        Of pods those with a label, and where others are judged too, all.
        """
        for collection in COLLECTIONS:
            if collection.kind != POD:
                async for page in self._listed(collection.path("")):
                    yield collection.kind, page
        for selector in SELECTORS:
            async for page in self._listed(PODS, selector):
                yield POD, page
        for namespace in sorted(closed):
            async for page in self._listed(f"{NAMESPACES}/{namespace}/pods"):
                yield POD, page

    async def _listed(self, path: str, selector: str = "") -> AsyncIterator[list[JSON]]:
        try:
            async with contextlib.aclosing(self._api.pages(path, selector, _PAGE)) as pages:
                async for page in pages:
                    yield page.get("items") or []
        except ApiError as error:
            if error.status != _NOT_FOUND:  # of a custom resource that is not installed
                raise

    async def _tell(self, policy: Policy, refusals: list[Refusal]) -> None:
        """Say what a policy makes of each server, if that is news, no faster than Events are written."""
        said = {(policy.hash, *one.key): one.said for one in refusals}
        new = [said[key] for key in said.keys() - self._said]
        self._said = set(said)
        for begin in range(0, len(new), AT_ONCE):
            tell(new[begin : begin + AT_ONCE], self._events, self._log)
            await asyncio.sleep(PAUSE)

    def _say(self, policy: Policy, found: Judged) -> None:
        """Log what was found, if that is news."""
        told = (policy.hash, found.judged, found.refused_now, found.refused_later)
        if told == self._told:
            return
        self._told = told
        self._log.say(
            "LIVING",
            "What lives was held against the policy",
            policy=policy.hash,
            servers=found.judged,
            refused=found.refused_now,
            refused_later=found.refused_later,
        )

    def _say_problem(self, error: ApiError) -> None:
        problem = f"{error.status} {error.reason}"
        if problem != self._problem:
            self._problem = problem
            self._log.say("PROBLEM", f"What lives cannot be held against the policy: {error}")


def _pause(failures: int) -> float:
    wait = min(_AGAIN * 2.0 ** (failures - 1), _AGAIN_AT_MOST)
    return wait * random.uniform(1, 1.2)  # noqa: S311 - out of step, no secret
