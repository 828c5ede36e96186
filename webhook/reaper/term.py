"""What the reaper does while it leads: looks, and does what is due."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from webhook.broker.known_rows import KnownRows
from webhook.broker.own_rows import OwnRow, Reading
from webhook.broker.settings import Reap
from webhook.broker.shapes import RefusedError
from webhook.broker.upstream import FaultError
from webhook.kube.api import ApiError
from webhook.reaper.core import Memory, Plan, look
from webhook.reaper.hands import Hands, OtherClusterError, WithoutBlockError
from webhook.reaper.ledger import Ledger, NotLeadingError
from webhook.reaper.metrics import Figures, ReaperMetrics
from webhook.reaper.registrars import TOO_LONG, RegistrarFigures, count
from webhook.reaper.shapes import Act, Bounds, Brake, Due, Failure, SeenPod, Sight, row_state
from webhook.reaper.telling import Telling

# Seconds between two looks; none of them asks anybody anything unless something is due.
_LOOK_EVERY: Final = 2.0
# Seconds: how old a reading of LiteLLM may be, which the broker makes once a minute in any case; how often
# one more may be made as pods went away; how soon again after one that failed.
_OLDEST: Final = 90.0
_READ_EVERY: Final = 15.0
_READ_AGAIN: Final = 10.0
# Seconds between two looks for a person's word that nothing waits for.
_WORD_EVERY: Final = 30.0
# Pods that are asked for in a look, and rows that are written at a time.
_MOST_ASKED: Final = 100
_AT_ONCE: Final = 4


class Watching(Protocol):
    """What is needed of the watch."""

    @property
    def pods(self) -> Mapping[tuple[str, str], SeenPod]:
        """The pods, by namespace and name."""

    @property
    def nodes(self) -> Mapping[str, bool]:
        """The nodes, by name, and whether they are Ready."""

    def met(self) -> frozenset[str]:
        """Give the uids of pods with a registrar that were seen since this was asked last."""

    @property
    def synced(self) -> bool:
        """Whether everything was listed once."""

    @property
    def good(self) -> bool:
        """Whether everything is listed and watched now."""

    async def run(self) -> None:
        """Follow until cancelled."""


class Term:
    """One term. Rights: those of its watch, its hands and its ledger."""

    def __init__(
        self,
        watch: Watching,
        *,
        rows: KnownRows,
        hands: Hands,
        ledger: Ledger,
        telling: Telling,
        metrics: ReaperMetrics,
        holder: str,
        mode: Reap,
        bounds: Bounds,
        now: Callable[[], float],
        today: Callable[[], float],
    ) -> None:
        """Look by the clock `now`, which `rows` goes by too; `today` is the time of day, both in seconds."""
        self._rows = rows
        self._hands = hands
        self._ledger = ledger
        self._telling = telling
        self._metrics = metrics
        self._holder = holder
        self._mode = mode
        self._bounds = bounds
        self._now = now
        self._today = today
        self._watch = watch
        self._memory = Memory()
        self._met: frozenset[str] = frozenset()
        # Pods that a direct GET has not found: their uids never come back.
        self._proved: set[str] = set()
        self._read_failed = self._word_looked = float("-inf")
        # Uids of pods with a row that gets requests, by the last reading.
        self._served: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Watch and look, until cancelled."""
        try:
            async with asyncio.TaskGroup() as together:
                together.create_task(self._watch.run())
                together.create_task(self._look_for_ever())
        finally:
            self._metrics.figures = None

    async def _look_for_ever(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY)

    async def look(self) -> None:
        """Look once, and do what is due."""
        self._met |= self._watch.met()
        reading, plan = self._planned(await self._read(_OLDEST))
        if plan.read_again:
            reading, plan = self._planned(await self._read(_READ_EVERY))
        rows = {} if reading is None else reading.rows
        if reading is not None:
            self._served = frozenset(row.pod_uid for row in rows.values() if not row.blocked)
        held, due, limit = plan.held | await self._cluster(), len(plan.removals), 0
        if not held and self._mode is not Reap.OFF:
            held, due, limit = await self._done(plan, rows.values())
        await self._telling.braked(held, due, limit)
        living = {pod.uid for pod in self._watch.pods.values() if not pod.ended}
        self._metrics.figures = Figures(
            at=self._today(),
            rows=None
            if reading is None or not self._watch.synced
            else Counter(row_state(row, living) for row in rows.values()),
            due=Counter(due.reason for due in plan.removals),
            held=held,
            registrars=self._registrars(),
        )

    async def _cluster(self) -> frozenset[Brake]:
        """Hold the cluster against what it was at the start, for the first time before anything is due."""
        if self._hands.knows_cluster:
            return frozenset()
        try:
            await self._hands.same_cluster()
        except ApiError as error:
            self._telling.failed(Failure.KUBERNETES, str(error))
            return frozenset({Brake.KUBERNETES_UNREAD})
        return frozenset()

    def _registrars(self) -> RegistrarFigures | None:
        if not self._watch.synced:
            return None
        before = time.gmtime(self._today() - TOO_LONG)
        return count(self._watch.pods.values(), self._served, time.strftime("%Y-%m-%dT%H:%M:%SZ", before))

    def _planned(self, reading: Reading | None) -> tuple[Reading | None, Plan]:
        sight = Sight(
            now=self._now(),
            reading=reading,
            pods=self._watch.pods,
            nodes=self._watch.nodes,
            met=self._met,
            synced=self._watch.synced,
            good=self._watch.good,
        )
        self._memory, plan = look(sight, self._memory, self._bounds)
        if sight.synced and sight.good:
            self._met = frozenset()
        return reading, plan

    async def _read(self, oldest: float) -> Reading | None:
        if self._now() - self._read_failed < _READ_AGAIN:
            return None
        try:
            return await self._rows.whole(oldest)
        except (RefusedError, FaultError) as error:
            self._read_failed = self._now()
            self._telling.failed(Failure.LITELLM, str(error))
            return None

    async def _done(self, plan: Plan, rows: Iterable[OwnRow]) -> tuple[frozenset[Brake], int, int]:
        """Do what is due; tell what holds it back, how many rows are due and how many may be written."""
        try:
            removals = await self._proven(plan.removals)
            own = [row.id for row in rows]
            held, limit = await self._within(removals, plan, own)
            for_now = self._mode is Reap.REMOVE
            await self._each(self._unblock, plan.unblocks if for_now else ())
        except NotLeadingError:
            return frozenset(), 0, 0
        except OtherClusterError:
            return frozenset({Brake.OTHER_CLUSTER}), 0, 0
        except ApiError as error:
            self._telling.failed(Failure.KUBERNETES, str(error))
            return frozenset({Brake.KUBERNETES_UNREAD}), 0, 0
        except (RefusedError, FaultError) as error:
            self._telling.failed(Failure.LITELLM, str(error))
            return frozenset(), 0, 0
        return held, len(removals) + len(plan.blocks), limit

    async def _proven(self, dues: Sequence[Due]) -> list[Due]:
        """Give those whose pod a direct GET has not found; each pod is asked for once."""
        self._proved &= {due.row.pod_uid for due in dues}
        unproven = {due.row.pod_uid: due.row for due in dues if due.row.pod_uid not in self._proved}
        if unproven:
            await self._hands.same_cluster()
        await self._each(self._prove, [*unproven.values()][:_MOST_ASKED])
        return [due for due in dues if due.row.pod_uid in self._proved]

    async def _prove(self, row: OwnRow) -> None:
        try:
            why = await self._hands.fate(row)
        except ApiError:
            self._memory = self._memory.could_not_see(row.pod_uid, self._now())
            raise
        if why is None:
            self._memory = self._memory.saw(row.pod_uid, self._now())
        else:
            self._proved.add(row.pod_uid)

    async def _within(self, removals: list[Due], plan: Plan, own: list[str]) -> tuple[frozenset[Brake], int]:
        """Write as many rows as the share, or a person, lets go."""
        due = [*(each.row.id for each in removals), *(row.id for row in plan.blocks)]
        if not due:
            await self._take_off_word()
            if self._mode is Reap.DRY_RUN:
                await self._telling.would([], [], [*plan.unblocks])
            return frozenset(), 0
        writes = self._mode is Reap.REMOVE
        grant = await self._ledger.grant(self._holder, due, own, self._today(), self._bounds, store=writes)
        if grant.bad:
            self._telling.bad_word(grant.bad)
        if grant.used and grant.count:
            self._telling.word(str(grant.count), used=True)
        allowed = frozenset(due[: grant.count])
        dues = [each for each in removals if each.row.id in allowed]
        blocks = [row for row in plan.blocks if row.id in allowed]
        if writes:
            await self._each(self._remove, dues)
            await self._each(self._block, blocks)
        else:
            await self._telling.would(removals, [*plan.blocks], [*plan.unblocks])
        return frozenset() if grant.count == len(due) else frozenset({Brake.SHARE}), grant.limit

    async def _take_off_word(self) -> None:
        if self._mode is Reap.REMOVE and self._now() - self._word_looked >= _WORD_EVERY:
            self._word_looked = self._now()
            if word := await self._ledger.take_off(self._holder):
                self._telling.word(word, used=False)

    @contextlib.contextmanager
    def _trying(self, act: Act, row: OwnRow) -> Iterator[None]:
        """Take note of what is tried on a row: whatever comes of it, others are not to wait for this one."""
        self._memory = self._memory.wrote(act, row, self._now())
        try:
            yield
        except (ApiError, RefusedError, FaultError):
            self._memory = self._memory.could_not_write(act, row, self._now())
            raise

    async def _remove(self, due: Due) -> None:
        with self._trying(Act.REMOVE, due.row):
            why = await self._hands.remove(due.row)
        if why is not None:
            self._telling.succeeded()
            await self._telling.removed(due.row, why)

    async def _block(self, row: OwnRow) -> None:
        node = next((pod.node for pod in self._watch.pods.values() if pod.uid == row.pod_uid), "")
        try:
            with self._trying(Act.BLOCK, row):
                done = bool(node) and await self._hands.block(row, node)
        except WithoutBlockError:
            self._telling.failed(Failure.WITHOUT_BLOCK, "this LiteLLM does not block rows")
            done = False
        if done:
            await self._telling.blocked(row, node)

    async def _unblock(self, row: OwnRow) -> None:
        with self._trying(Act.UNBLOCK, row):
            done = await self._hands.unblock(row)
        if done:
            await self._telling.unblocked(row)

    async def _each(self, do: Callable[[Any], Awaitable[None]], items: Sequence[Any]) -> None:
        """Do it for each, a few at a time; what one raises ends it, once those begun with it have ended.

        What has begun is ended and told even when this replica leads no longer: each write of it asks first.
        """
        for number in range(0, len(items), _AT_ONCE):
            some = items[number : number + _AT_ONCE]
            ended = await asyncio.shield(asyncio.gather(*(do(item) for item in some), return_exceptions=True))
            for result in ended:
                if isinstance(result, BaseException):
                    raise result
