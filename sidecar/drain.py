"""The drain: rows deleted, LiteLLM's replicas given time to notice, requests in flight ended, then gone.

Deleting, not blocking: a deleted name is read through to the database and recovers within 1.5 s of its
replacement's registration, a blocked one stays refused on other replicas for up to 30 s (measured on LiteLLM
1.106). A replica that did not handle the deletion goes on sending until its reload, every 30 s as shipped and
later under load: hence a minimum wait, and after it a wait for as long as requests still come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from sidecar.clock import Clock
from sidecar.contract import GRACE_MARGIN, Settings
from sidecar.fate import Fate, Known
from sidecar.keeper import Keeper
from sidecar.log import Log, Word
from sidecar.problems import Problems
from sidecar.reasons import Reason
from sidecar.traffic import QUIET_SECONDS, Quiet, Reading, Traffic

DRAIN: Final = "drain"
# Who asks for a drain: a hook of the kubelet, or the signal itself.
PRE_STOP: Final = "preStop"
SIGTERM: Final = "SIGTERM"


class Stage(StrEnum):
    """What a drain waits for now, and the four ways it ends."""

    DELETING = "deleting"
    PROPAGATING = "propagating"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    SERVER_GONE = "server_gone"
    OVERDUE = "overdue"
    GRACE_CUT = "grace_cut"


_ENDS: Final = frozenset({Stage.DONE, Stage.SERVER_GONE, Stage.OVERDUE, Stage.GRACE_CUT})
_SENTENCES: Final = {
    Stage.DELETING: "Removing the models from LiteLLM",
    Stage.PROPAGATING: "Removed; waiting until every LiteLLM replica has noticed",
    Stage.IN_FLIGHT: "Waiting until nothing is in flight and nothing arrives any more",
    Stage.DONE: "Nothing is in flight; the server may stop",
    Stage.SERVER_GONE: "The server does not answer any more, so nothing is waited for",
    Stage.OVERDUE: "The time for draining is over; the server is let go",
}


_FATES: Final = {
    True: "The pod is being deleted",
    False: "The pod is not being deleted: a container restarts; a server that comes back gets its rows again",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """The times of one drain, on the clock that counts seconds.

    `had_rows`: some LiteLLM replica may send to this server; if none ever knew it, little is waited for.
    """

    began: float
    deadline: float
    propagation: float
    had_rows: bool


def plan(settings: Settings, began: float, *, had_rows: bool, cut: float | None = None) -> Plan:
    """Give a drain its times: bounded by its own timeout and by the grace period less its margin.

    `cut` is when it must be over because the pod was deleted with less grace; None: it was not.
    """
    propagation = settings.propagation if had_rows else 0.0
    longest = min(settings.grace_period - GRACE_MARGIN, propagation + settings.drain_timeout)
    deadline = began + max(0.0, longest)
    return Plan(began, deadline if cut is None else min(deadline, cut), propagation, had_rows)


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a drain is.

    `deleted_at` is None while rows are left; `tried`: each deletion was tried at least once.
    """

    now: float
    deleted_at: float | None
    tried: bool
    server_gone: bool
    quiet: Quiet
    in_flight: int | None


def stage(plan: Plan, at: Situation) -> Stage:
    """Tell what a drain waits for, or how it ends."""
    if at.server_gone and (at.deleted_at is not None or at.tried):
        return Stage.SERVER_GONE
    if at.now >= plan.deadline:
        return Stage.OVERDUE
    if at.deleted_at is None:
        return Stage.DELETING
    if at.now < at.deleted_at + plan.propagation:
        return Stage.PROPAGATING
    if not plan.had_rows and at.in_flight is None:
        return Stage.DONE
    quiet = at.quiet.reached(at.now, QUIET_SECONDS if plan.had_rows else 0.0)
    return Stage.DONE if quiet else Stage.IN_FLIGHT


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a drain went.

    `cut` requests were in flight when it ended (None: unknown), `rows_left` could not be removed. `phases`
    are the seconds of each stage that it waited in.
    """

    end: Stage
    seconds: float
    cut: int | None
    rows_left: int
    phases: Mapping[Stage, float] = field(default_factory=dict)


class Drain:
    """One drain. `server_gone` tells whether the server is known not to answer any more."""

    def __init__(
        self,
        settings: Settings,
        keeper: Keeper,
        traffic: Traffic,
        *,
        fate: Fate,
        server_gone: Callable[[], bool],
        problems: Problems,
        log: Log,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._keeper = keeper
        self._traffic = traffic
        self._fate = fate
        self._server_gone = server_gone
        self._problems = problems
        self._log = log
        self._clock = clock
        self.stage = Stage.DELETING
        self.in_flight: int | None = None
        # As the server got SIGTERM: with this registrar, or when a drain before it was over. None: unknown.
        self.at_sigterm: int | None = None
        # When it came to each stage.
        self._came: dict[Stage, float] = {}

    @property
    def phases(self) -> Mapping[Stage, float]:
        """Give the seconds of each stage that it has waited in, the present one included."""
        times = [*self._came.values(), self._clock.now()]
        spent = (after - before for before, after in pairwise(times))
        return {here: seconds for here, seconds in zip(self._came, spent, strict=True) if here not in _ENDS}

    def cut_short(self) -> Outcome:
        """Give how it went so far: the pod ends before it does."""
        return self._outcome(Stage.GRACE_CUT, self.in_flight)

    async def run(self, why: str) -> Outcome:
        """Drain to the end; `why` is who asked for it."""
        following = asyncio.create_task(self._fate.follow(), name="fate")
        try:
            return await self._run(why)
        finally:
            following.cancel()

    async def _run(self, why: str) -> Outcome:
        began = self._clock.now()
        times = plan(
            self._settings, began, had_rows=self._keeper.had_rows(began - self._settings.propagation)
        )
        self._came[Stage.DELETING] = began
        self._keeper.want(())
        self._say(Stage.DELETING, why=why, rows=len(self._keeper.entries), at_most=times.deadline - began)
        deleted_at: float | None = None
        quiet, fate = Quiet(began), Known()
        while True:
            seen = await self._traffic.look()
            now = self._clock.now()
            if self._fate.known != fate:
                before, fate = fate, self._fate.known
                times = plan(
                    self._settings, began, had_rows=times.had_rows, cut=fate.cut(self._settings.grace_period)
                )
                self._say_fate(before, fate, times.deadline - now)
            if why == SIGTERM and self.at_sigterm is None:
                self.at_sigterm = seen.in_flight
            self.in_flight = seen.in_flight
            quiet = quiet.after(seen, now)
            if deleted_at is None and not self._keeper.entries:
                deleted_at = now
            tried = all(entry.failures for entry in self._keeper.entries)
            here = stage(times, Situation(now, deleted_at, tried, self._server_gone(), quiet, seen.in_flight))
            if here in _ENDS:
                return self._end(here, now, seen)
            if here is not self.stage:
                self._came[here] = now
                self._say(here, in_flight=shown(seen.in_flight), after=now - began)
            await self._clock.sleep(self._traffic.pause)

    def _say_fate(self, before: Known, fate: Known, left: float) -> None:
        """Say what has become known of the pod: the same hook is called when only a container restarts."""
        if fate.deleting is not None and fate.deleting is not before.deleting:
            self._log.event(Word.DRAINING, _FATES[fate.deleting], grace=fate.grace)
        if fate.grace != before.grace and fate.cut(self._settings.grace_period) is not None:
            self._problems.clear(DRAIN, quiet=True)  # it may have been shortened before
            self._problems.say(
                DRAIN,
                Reason.GRACE_SHORTENED,
                grace=fate.grace,
                instead_of=self._settings.grace_period,
                at_most=left,
            )

    def _end(self, end: Stage, now: float, seen: Reading) -> Outcome:
        cut = 0 if end is not Stage.OVERDUE else seen.in_flight
        self.stage, self._came[end] = end, now
        outcome = self._outcome(end, cut)
        if end is Stage.OVERDUE and cut != 0:
            self._problems.say(DRAIN, Reason.DRAIN_TIMEOUT, in_flight=shown(cut))
        self._log.event(
            Word.GONE,
            _SENTENCES[end],
            took=outcome.seconds,
            cut=shown(cut),
            rows_left=outcome.rows_left or None,
        )
        return outcome

    def _outcome(self, end: Stage, cut: int | None) -> Outcome:
        if self.at_sigterm is None:
            self.at_sigterm = cut
        phases = self.phases
        return Outcome(end, sum(phases.values()), cut, len(self._keeper.entries), phases)

    def _say(self, here: Stage, **values: str | float | None) -> None:
        self.stage = here
        self._log.event(Word.DRAINING, _SENTENCES[here], waiting_for=here, **values)


def shown(in_flight: int | None) -> int | str:
    """Give a number of requests for the log."""
    return "unknown" if in_flight is None else in_flight
