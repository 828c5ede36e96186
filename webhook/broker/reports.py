"""What registrars tell of their state, brought to where people look: the pod's condition, Events, metrics.

Nothing is kept here: what was told before stands in the pod. So it does not matter which replica is told, or
that one ends in the middle: the registrar tells it again, and what is done already is not done twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Protocol

from sidecar.broker_contract import StateReport
from webhook.broker.metrics import Metrics
from webhook.broker.pods import Pods
from webhook.broker.rates import Limit, Rates
from webhook.broker.shapes import Caller, RefusedError, Rule
from webhook.broker.state_changes import StateChange, change
from webhook.broker.tokens import unasked
from webhook.kube.api import ApiError
from webhook.kube.events import Events
from webhook.log import Log

# Reports a second, on average and at once: an honest registrar's last one is taken within ten seconds, and
# a thousand pods of a namespace may start or end together. Each is up to three calls to the API server, one
# of which makes an Event, and etcd keeps that for an hour.
POD_LIMIT: Final = Limit(0.1, 10.0)
NAMESPACE_LIMIT: Final = Limit(2.0, 4000.0)
# Reports in work at a time: of the connections to the API server (200) most are for tokens, pods and Leases.
_AT_ONCE: Final = 20
# Seconds for a report. Shorter than the registrar waits (`sidecar/litellm.py`): what is written after it has
# given up would take the place of what it has told somebody else meanwhile.
_LONGEST: Final = 4.0
# The pod is gone, or another one has its name.
_NOT_THAT_POD: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})


class Writing(Protocol):
    """What is needed of the API server."""

    async def strategic(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Apply a strategic merge patch. Raises ApiError."""


class Reports:
    """Takes reports. Rights: `patch` on pods/status, `create` on events."""

    def __init__(
        self,
        api: Writing,
        pods: Pods,
        events: Events,
        metrics: Metrics,
        log: Log,
        *,
        now: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._pods = pods
        self._events = events
        self._metrics = metrics
        self._log = log
        self._now = now
        self._today = today
        self._rates = Rates(POD_LIMIT, NAMESPACE_LIMIT)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def take(self, report: StateReport, caller: Caller, began: float) -> None:
        """Write down what a registrar tells of its pod, in a call that `began` then. Raises RefusedError."""
        wait = self._rates.take(caller.namespace, caller.pod_uid, self._now())
        if wait:
            message = f"too many reports: the next is taken in {wait:.1f} s"
            raise RefusedError(Rule.RATE, message, HTTPStatus.TOO_MANY_REQUESTS)
        self._metrics.report(report.state)
        try:
            async with asyncio.timeout(began + _LONGEST - self._now()), self._slots:
                await self._write(report, caller)
        except TimeoutError:
            message = "the API server is too slow, or too much is reported"
            raise RefusedError(Rule.BUSY, message, HTTPStatus.SERVICE_UNAVAILABLE) from None
        except ApiError as error:
            if error.status in _NOT_THAT_POD:
                raise _gone() from None
            raise unasked(error) from None

    async def _write(self, report: StateReport, caller: Caller) -> None:
        pod = await self._pods.read(caller)
        if pod.gone:
            raise _gone()
        due = change(report, pod.registered, self._today().strftime("%Y-%m-%dT%H:%M:%SZ"))
        if due is None:
            return
        if due.event is not None:
            # Before the condition, by which it would be known as said: it must not be lost in between.
            await self._events.once(
                caller.reference,
                due.event.reason,
                due.event.message,
                kind=due.event.kind,
                occasion=pod.version,
            )
        path = f"/api/v1/namespaces/{caller.namespace}/pods/{caller.pod}/status"
        await self._api.strategic(path, due.patch(caller.pod_uid))
        self._say(due, caller)

    def _say(self, due: StateChange, caller: Caller) -> None:
        after = due.registered
        self._log.say(
            "STATE",
            after.message,
            namespace=caller.namespace,
            pod=caller.pod,
            state=after.state,
            reason=after.reason or None,
        )
        if due.routable is not None:
            self._metrics.routable(due.routable)
        if due.drain is not None:
            self._metrics.drained(due.drain)


def _gone() -> RefusedError:
    return RefusedError(Rule.POD_GONE, "there is no such pod any more, or its containers have ended")
