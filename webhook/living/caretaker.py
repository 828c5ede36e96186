"""Looks after what lives, on one replica at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from collections.abc import Collection as Names
from typing import Final

from prometheus_client import CollectorRegistry

from webhook.inject import Injection
from webhook.kube.api import Api
from webhook.kube.events import Events
from webhook.kube.leader import Leader, Timing, identity, since_boot
from webhook.living.metrics import LivingMetrics
from webhook.living.pod_watch import PodWatch
from webhook.living.server_survey import ServerSurvey
from webhook.log import Log, traced
from webhook.policy.policy import Policy

COMPONENT: Final = "litellm-registrar-webhook"
# Seconds until a part that ended by a fault of our own is begun anew.
_AGAIN: Final = 30.0


class Caretaker:
    """One replica's; `run` it as long as the process serves.

    Rights: those of `Leader`, `PodWatch`, `ServerSurvey` and `Events`.
    """

    def __init__(
        self,
        api: Api,
        lease: str,
        log: Log,
        registry: CollectorRegistry,
        prefix: str,
        *,
        config: Callable[[], Injection],
        policy: Callable[[], Policy | None],
        excluded: Names[str],
        timing: Timing = Timing(),  # noqa: B008 - frozen
        now: Callable[[], float] = time.time,
        ticks: Callable[[], float] = since_boot,
    ) -> None:
        """Stand for the Lease at the path `lease`. `config` and `policy` are what counts for reviews now.

        Pods in the `excluded` namespaces are none of ours. `prefix` begins the names of metrics. Exceptions
        end by the clock `now` (seconds since 1970); everything else runs by `ticks`.
        """
        self._api = api
        self._log = log
        self._config = config
        self._policy = policy
        self._excluded = frozenset(excluded)
        self._now = now
        self._ticks = ticks
        self._leader = Leader(api, lease, identity(), log, timing=timing, use=self._lead, now=ticks)
        self._events = Events(api, COMPONENT, log, shared=True)
        self._metrics = LivingMetrics(
            registry, prefix, lambda: self._leader.leading, lambda: self._events.lost
        )
        self._survey: ServerSurvey | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._term: asyncio.Task[None] | None = None
        self._faults: set[str] = set()

    def policy_changed(self) -> None:
        """Have what lives judged by the new policy. From any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._judge_again)

    async def run(self) -> None:
        """Stand for the Lease, and look after what lives while it is ours, until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as together:
                together.create_task(self._kept_going(self._leader.run))
                together.create_task(self._kept_going(self._events.run))
        finally:
            self._lead(False)
            if self._term is not None:
                await asyncio.wait([self._term])
            await self._leader.release()

    def _judge_again(self) -> None:
        if self._survey is not None:
            self._survey.policy_changed()

    def _lead(self, leading: bool) -> None:  # noqa: FBT001 - as the leader tells it
        before = self._term
        if before is not None:
            before.cancel()
        if leading:
            self._term = asyncio.create_task(self._look_after(before))

    async def _look_after(self, before: asyncio.Task[None] | None) -> None:
        """Look after what lives from the beginning: what others have found is not known here.

        The term `before` this one has been told to end.
        """
        if before is not None:
            await asyncio.wait([before])
        pods = PodWatch(
            self._api,
            config=self._config,
            excluded=self._excluded,
            log=self._log,
            metrics=self._metrics,
            events=self._events,
            now=self._ticks,
        )
        self._survey = ServerSurvey(
            self._api,
            config=self._config,
            policy=self._policy,
            excluded=self._excluded,
            log=self._log,
            metrics=self._metrics,
            events=self._events,
            now=self._now,
        )
        try:
            async with asyncio.TaskGroup() as together:
                together.create_task(self._kept_going(pods.run))
                together.create_task(self._kept_going(self._survey.run))
        finally:
            self._survey = self._metrics.pods = self._metrics.judged = None

    async def _kept_going(self, part: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await part()
            except Exception as error:  # noqa: BLE001 - whatever it is, the other parts go on
                self._say_fault(type(error).__name__, traced(error))
            await asyncio.sleep(_AGAIN)

    def _say_fault(self, kind: str, where: str) -> None:
        if where not in self._faults:  # as many as there are places in the code
            self._faults.add(where)
            problem = f"Not all of what lives is looked after, an error of our own: {kind}"
            self._log.say("PROBLEM", problem, at=where)
