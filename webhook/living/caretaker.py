"""Looks after what lives, on one replica at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from collections.abc import Collection as Names
from typing import Final

from prometheus_client import CollectorRegistry

from webhook.inject import Injection
from webhook.kube.api import Api
from webhook.kube.events import Events
from webhook.kube.leader import Timing, since_boot
from webhook.kube.terms import Terms
from webhook.living.metrics import LivingMetrics
from webhook.living.pod_watch import PodWatch
from webhook.living.server_survey import ServerSurvey
from webhook.log import Log
from webhook.policy.policy import Policy

COMPONENT: Final = "litellm-registrar-webhook"


class Caretaker:
    """One replica's; `run` it as long as the process serves.

    Rights: those of `Terms`, `PodWatch`, `ServerSurvey` and `Events`.
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
        self._terms = Terms(api, lease, log, self._look_after, timing=timing, ticks=ticks)
        self._events = Events(api, COMPONENT, log, shared=True)
        self._metrics = LivingMetrics(
            registry, prefix, lambda: self._terms.leading, lambda: self._events.lost
        )
        self._survey: ServerSurvey | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def policy_changed(self) -> None:
        """Have what lives judged by the new policy. From any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._judge_again)

    async def run(self) -> None:
        """Stand for the Lease, and look after what lives while it is ours, until cancelled."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as together:
            together.create_task(self._terms.run())
            together.create_task(self._terms.kept_going(self._events.run))

    def _judge_again(self) -> None:
        if self._survey is not None:
            self._survey.policy_changed()

    async def _look_after(self) -> None:
        """Look after what lives from the beginning: what others have found is not known here."""
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
                together.create_task(self._terms.kept_going(pods.run))
                together.create_task(self._terms.kept_going(self._survey.run))
        finally:
            self._survey = self._metrics.pods = self._metrics.judged = None
