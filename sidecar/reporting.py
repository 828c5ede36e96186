"""The registrar's reports to the broker: its state, after each change of it or of what keeps it from serving.

One report at a time; the latest wins, and it is told until the broker has taken it. Nothing waits for it: not
a row, not a drain; at the end the last one has a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from sidecar.access import Failed
from sidecar.broker_contract import State, StateReport
from sidecar.clock import Clock
from sidecar.log import Word
from sidecar.patience import PASSING, pause
from sidecar.problems import Problems
from sidecar.reasons import Reason

REPORTS: Final = "state reports"
# Seconds for which a new registrar that waits says nothing: a quick server is serving by then, and so is one
# whose registrar was restarted beside it; its pod was routable all the time.
FIRST_AFTER: Final = 10.0
# Told again though nothing has changed, about so often: somebody may have changed what is written in the pod.
AGAIN_AFTER: Final = 1800.0
# A broker that does not know of reports may be one of a release that is just being rolled out; or it is old,
# and is asked ever more rarely, up to once an hour.
UNKNOWN_FIRST: Final = 60.0
UNKNOWN_MOST: Final = 3600.0
# The seconds that a registrar which ends has at most for its last report. Every drain is over by then; the
# pod's grace has a margin (`contract.GRACE_MARGIN`), and where it is spent the kubelet gives two more
# (minimumGracePeriodInSeconds: k8s.io/kubernetes, pkg/kubelet/kuberuntime/kuberuntime_manager.go).
LAST_WORD: Final = 2.0
# What nobody needs to hear of reports: rows go the same way, and say it sooner.
_SILENCE: Final = 60.0
_ROUTE_UNKNOWN: Final = "route_unknown"


class Reporting:
    """Tells the broker. `read` gives the report as it is now, `send` tells one."""

    def __init__(
        self,
        read: Callable[[], StateReport],
        send: Callable[[StateReport], Awaitable[Failed | None]],
        *,
        problems: Problems,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._read = read
        self._send = send
        self._problems = problems
        self._clock = clock
        self._random = random
        self._latest = read()
        self._begun = asyncio.Event()
        self._news = asyncio.Event()
        self._told = asyncio.Event()
        self._routable_told = False
        self._unknown = 0

    def changed(self) -> None:
        """Hear that something has changed; what is the same to whoever reads it is not told."""
        before, self._latest = self._latest, self._read()
        if _same(before, self._latest):
            return
        self._told.clear()
        self._news.set()
        if self._latest.state is not State.WAITING:
            self._begun.set()

    async def run(self) -> None:
        """Tell for ever, until cancelled."""
        await self._clock.wait(self._begun, FIRST_AFTER)
        failures = 0
        while True:
            self._news.clear()
            failed = await self._tell()
            if failed is None:
                failures = 0
                await self._clock.wait(self._news, AGAIN_AFTER * (0.5 + self._random()))
            elif self._unknown:
                await self._clock.sleep(min(UNKNOWN_FIRST * 2.0 ** min(self._unknown - 1, 16), UNKNOWN_MOST))
            else:
                failures += 1
                await self._clock.wait(self._news, pause(failed, failures, self._random()))

    async def last_word(self) -> None:
        """Have what is not told yet told, if that takes but a moment."""
        self.changed()
        if not self._unknown:
            self._begun.set()
            self._news.set()
            await self._clock.wait(self._told, LAST_WORD)

    async def _tell(self) -> Failed | None:
        report = self._latest
        if self._routable_told:
            report = replace(report, routable=None)
        try:
            failed = await self._send(report)
        except Exception as error:  # noqa: BLE001 - no fault of ours may end what tells of the others
            failed = Failed(Reason.INTERNAL_ERROR, repr(error))
        self._unknown = self._unknown + 1 if failed is not None and failed.rule == _ROUTE_UNKNOWN else 0
        if failed is not None:
            self._say(failed)
            return failed
        self._problems.clear(REPORTS)
        self._routable_told |= report.routable is not None
        if _same(report, self._latest):
            self._told.set()
        return None

    def _say(self, failed: Failed) -> None:
        known = any(problem.reason is failed.reason for problem in self._problems.current())
        if not known and failed.rule != _ROUTE_UNKNOWN:
            self._problems.say(
                REPORTS,
                failed.reason,
                failed.detail,
                word=Word.WAITING if failed.reason in PASSING else Word.PROBLEM,
                rule=failed.rule,
                silence=_SILENCE,
            )


def _same(one: StateReport, other: StateReport) -> bool:
    """Tell whether two reports say the same; a detail that is worded anew is none that is worth a call."""
    return replace(one, message="", routable=None) == replace(other, message="", routable=None)
