"""One of several replicas leads, by a Lease (coordination.k8s.io/v1).

Not `kubernetes.aio.leaderelection` (37.0.2). Tried on a real API server: it cannot create a Lease (its own
client refuses `pretty=True`), a refused connection ends `run` while what leads goes on for ever, and the time
of day is written as UTC whatever the zone. By its source: deadlines go by the wall clock, one call may hang
for five minutes past them, a Lease without acquireTime is taken from its holder, nothing is released.

A Lease is no lock: who was paused in the middle of a write may write after another one leads. What leaders
write is guarded by resourceVersions.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from webhook.kube.api import JSON, Api, ApiError
from webhook.log import Log

# A Lease that says it lasts longer than so many of ours is not believed: its holder may never come back.
_LONGEST: Final = 10
# The duration (seconds) of a Lease that its leader has given up, as client-go writes it.
_RELEASED: Final = 1
_JITTER: Final = 0.2
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, as client-go's users set them (k8s.io/component-base/config/v1alpha1, LeaderElection).

    Others take the Lease once it has not changed for `lease`; its leader stops believing in it `renew` after
    it last sent a renewal that was taken; `retry` lies between two attempts.
    """

    lease: float = 15.0
    renew: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        """Raise ValueError for times in which two could lead at once."""
        if not 0 < 2 * self.retry <= self.renew < self.lease or self.lease < 1:
            raise ValueError(f"2 * retry <= renew < lease and lease >= 1 must hold: {self}")


def identity() -> str:
    """Give a name that no other process has, a restarted one of the same pod neither."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


def since_boot() -> float:
    """Give seconds on a clock that never goes back and goes on while the machine sleeps: clock_gettime(2)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leader:
    """One candidate; `leading` is whether it leads now. `use` is told so, the end perhaps a little late."""

    def __init__(
        self,
        api: Api,
        path: str,
        holder: str,
        log: Log,
        *,
        timing: Timing = Timing(),
        use: Callable[[bool], None] = lambda _leading: None,
        now: Callable[[], float] = since_boot,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Stand for the Lease at `path`, like `/apis/coordination.k8s.io/v1/namespaces/shop/leases/webhook`.

        Rights: `create` on leases; `get` and `update` on this one.
        """
        self._api = api
        self._path = path
        self._holder = holder
        self._log = log
        self._timing = timing
        self._use = use
        self._now = now
        self._today = today
        self._leads_until = -math.inf
        self._told = False
        self._seen: JSON | None = None
        self._seen_at = -math.inf
        self._problem = ""

    @property
    def leading(self) -> bool:
        """Tell whether this one leads, for certain and at this moment."""
        return self._now() < self._leads_until

    async def run(self) -> None:
        """Stand, lead, and stand again, until cancelled; then `release`."""
        while True:
            await self._attempt()
            self._tell()
            await asyncio.sleep(self._timing.retry * random.uniform(1 - _JITTER, 1))  # noqa: S311 - no secret

    async def release(self) -> None:
        """Stop leading and let another one begin at once. What leads must have ended before. Never raises."""
        led, self._leads_until = self.leading, -math.inf
        self._tell()
        if not led:
            return
        with contextlib.suppress(ApiError, TimeoutError):  # then it ends by itself
            async with asyncio.timeout(self._timing.retry):
                lease = await self._api.get(self._path)
                if _spec(lease).get("holderIdentity") == self._holder:
                    await self._api.replace(self._path, self._written(lease, "", _RELEASED))

    async def _attempt(self) -> None:
        sent = self._now()
        try:
            # What is answered later than this is of no use to a leader.
            async with asyncio.timeout(self._timing.renew / 2):
                taken = await self._take()
        except TimeoutError:
            self._say_problem("Timeout", "no answer in time")
        except ApiError as error:
            if error.status != _CONFLICT:  # another one was quicker
                self._say_problem(f"{error.status} {error.reason}", str(error))
        else:
            self._problem = ""
            self._leads_until = sent + self._timing.renew if taken else -math.inf

    async def _take(self) -> bool:
        """Renew or take the Lease if that may be; tell whether it is ours now. Raises ApiError."""
        try:
            lease = await self._api.get(self._path)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            # Deleted by hand it still has its holder, who makes it again.
            if not self._may_take(self._seen or {}):
                return False
            await self._create()
            return True
        if not self._may_take(_spec(lease)):
            return False
        await self._api.replace(self._path, self._written(lease, self._holder, self._timing.lease))
        return True

    async def _create(self) -> None:
        collection, _, name = self._path.rpartition("/")
        empty = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
        await self._api.create(collection, self._written(empty, self._holder, self._timing.lease))

    def _may_take(self, spec: JSON) -> bool:
        """Tell whether nobody else leads: by how long the Lease has not changed, seen by our own clock.

        The times in it are of another machine's clock: that they change is all that counts.
        """
        now = self._now()
        if spec != self._seen:
            self._seen, self._seen_at = spec, now
        holder, said = spec.get("holderIdentity"), spec.get("leaseDurationSeconds") or 0
        if holder == self._holder:
            return True
        if not holder and (said <= _RELEASED or self.leading):
            return True  # an empty one of a longer duration was emptied by hand, and may have a leader
        lasts = min(max(said, self._timing.lease), _LONGEST * self._timing.lease)
        return now >= self._seen_at + lasts

    def _written(self, lease: JSON, holder: str, lasts: float) -> JSON:
        """Give the Lease to write, under its resourceVersion; whatever else is in it stays."""
        spec = _spec(lease)
        time_of_day = f"{self._today():%Y-%m-%dT%H:%M:%S.%fZ}"
        again = spec.get("holderIdentity") == holder
        return {
            **lease,
            "spec": {
                **spec,
                "holderIdentity": holder,
                "leaseDurationSeconds": math.ceil(lasts),
                "renewTime": time_of_day,
                "acquireTime": spec.get("acquireTime", time_of_day) if again else time_of_day,
                "leaseTransitions": spec.get("leaseTransitions", 0) + (not again and bool(holder)),
            },
        }

    def _tell(self) -> None:
        leading = self.leading
        if leading != self._told:
            self._told = leading
            sentence = "This replica leads now" if leading else "This replica leads no longer"
            self._log.say("LEADER", sentence, lease=self._path.rpartition("/")[2], holder=self._holder)
            try:
                self._use(leading)
            except Exception as error:  # noqa: BLE001 - a fault of our own must not end the standing
                self._log.say("PROBLEM", f"An error of our own at a change of leader: {type(error).__name__}")

    def _say_problem(self, problem: str, text: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._log.say("PROBLEM", f"The Lease cannot be read or written: {text}", lease=self._path)


def _spec(lease: JSON) -> JSON:
    spec: JSON = lease.get("spec") or {}
    return spec
