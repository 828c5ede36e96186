"""Keeps the rows of this pod in LiteLLM as they are wanted: one task a row, few calls at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from sidecar.access import Failed
from sidecar.clock import Clock
from sidecar.entry import ALL, Entry
from sidecar.litellm import Absent, LiteLLM, Outcome
from sidecar.log import Log, Word
from sidecar.patience import OF_ONE_ROW, OVER_BY_READING, PASSING, REFUSED, pause, silence
from sidecar.problems import Problems
from sidecar.reasons import Reason
from sidecar.registration import Row, Stored, drift
from sidecar.rows import (
    Known,
    Presence,
    Step,
    Wish,
    after_create_failed,
    after_delete,
    after_delete_failed,
    after_saved,
    after_write,
    as_seen,
    request,
)

AT_ONCE: Final = 4
CHECK_EVERY: Final = 60.0
CHECK_JITTER: Final = 15.0
# A row that is changed back after so many repairs in a row is looked after ever more rarely: somebody, or
# LiteLLM itself, will not have it so. At most so many times more rarely.
IN_VAIN: Final = 3
RARELY: Final = 10
# Every so many looks one is at all rows of the name; each one while some of them starve.
LOOK_AROUND_EVERY: Final = 10
DELETE_AGAIN_AFTER: Final = 5.0

LITELLM: Final = "litellm"
BLOCKING: Final = "litellm.blocked"


class Keeper:
    """Takes wishes and fulfils them for ever.

    `random` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        api: LiteLLM,
        *,
        problems: Problems,
        log: Log,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._api = api
        self._problems = problems
        self._log = log
        self._clock = clock
        self._random = random
        self._changed: Callable[[], None] = lambda: None
        self._entries: dict[str, Entry] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._can_block = True
        self._removed_at: float | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Give every row in our care: the wanted ones and those still to be removed."""
        return tuple(self._entries.values())

    def tell(self, changed: Callable[[], None]) -> None:
        """Call this after each change of a row."""
        self._changed = changed

    def want(self, rows: Iterable[Row], *, blocked: bool = False) -> None:
        """Wish for exactly these rows, blocked or not; every other one in our care is to go."""
        wished = {row.id: row for row in rows}
        for key in [*self._entries, *(key for key in wished if key not in self._entries)]:
            self._wish(key, Wish(wished.get(key), blocked))

    def adopt(self, row: Row, *, keep: bool) -> None:
        """Take a row into our care that was found in LiteLLM, to keep it or to remove it."""
        wish = Wish(row if keep else None)
        if row.id not in self._entries:
            self._start(Entry(row.id, row.name, row.served, wish, self._clock.now(), Known(Presence.UNSURE)))

    async def stop(self) -> None:
        """Let go of everything as it is."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def had_rows(self, since: float) -> bool:
        """Tell whether a LiteLLM replica may know a row of ours: one is there, or was removed since then."""
        if self._removed_at is not None and self._removed_at >= since:
            return True
        return any(
            entry.sent or entry.known.presence in (Presence.THERE, Presence.UNSURE)
            for entry in self._entries.values()
        )

    def settled(self) -> bool:
        """Tell whether every wish is fulfilled or was at least tried."""
        return all(
            entry.failures > 0 or entry.step(can_block=self._can_block) is Step.NONE
            for entry in self._entries.values()
        )

    async def greet(self, probe_id: str) -> None:
        """Ask LiteLLM whether it is well and knows our key, until it does: before anything depends on it."""
        failures = 0
        while True:
            failed = await self._api.ready()
            if failed is None:
                answer = await self._api.read(probe_id)
                failed = answer if isinstance(answer, Failed) else None
            if failed is None:
                self._over_by_reading()
                return
            self._say(failed)
            failures += 1
            await self._clock.sleep(pause(failed, failures, self._random()))

    async def table(self, keep: Callable[[Stored], bool]) -> tuple[Stored, ...]:
        """Find the rows to `keep` in LiteLLM's whole table, however long it takes to get it."""
        failures = 0
        while True:
            rows = await self._api.table(keep)
            if not isinstance(rows, Failed):
                return rows
            self._say(rows)
            failures += 1
            await self._clock.sleep(pause(rows, failures, self._random()))

    def _wish(self, key: str, wish: Wish) -> None:
        entry = self._entries.get(key)
        if entry is None:
            if wish.row is not None:
                self._start(Entry(key, wish.row.name, wish.row.served, wish, self._clock.now()))
            return
        if entry.wish == wish or (entry.wish.row is None and wish.row is None):
            return
        entry.wish = wish
        if wish.row is not None and wish.row.name != entry.name:
            entry.name, entry.met = wish.row.name, False
        entry.failures = 0
        entry.wake.set()

    def _start(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        self._tasks[entry.id] = asyncio.create_task(self._keep(entry), name=f"row {entry.id}")

    async def _keep(self, entry: Entry) -> None:
        """Bring one row to its wish and hold it there; ends when the row is gone as wished."""
        while True:
            entry.wake.clear()
            step = entry.step(can_block=self._can_block)
            if step is Step.NONE and entry.wish.row is None:
                break
            try:
                wait = await (self._rest(entry) if step is Step.NONE else self._take(entry))
            except Exception as error:  # noqa: BLE001 - a fault of ours in one row must not end the others
                fault = Failed(Reason.INTERNAL_ERROR, repr(error))
                self._say(fault, entry)
                wait = self._wait(entry, fault)
            self._changed()
            if wait:
                await self._clock.wait(entry.wake, wait)
        del self._entries[entry.id], self._tasks[entry.id]
        for subject in (entry.id, _odds(entry), _contest(entry), _poorer(entry)):
            self._problems.clear(subject, quiet=True)
        self._log.event(Word.REMOVED, "The model is no longer in LiteLLM", name=entry.name, id=entry.id)
        self._changed()

    async def _rest(self, entry: Entry) -> float:
        """Wait until the wish changes, or look after the row when its minute is over."""
        rarely = min(2 ** max(0, entry.in_vain - IN_VAIN), RARELY)
        if await self._clock.wait(entry.wake, CHECK_EVERY * rarely + CHECK_JITTER * self._random()):
            return 0
        row = entry.row
        if row is None or not row.whole:
            return 0
        async with self._slots:
            seen = await self._look(entry)
        if isinstance(seen, Failed):
            self._say(seen, entry)
            return 0
        self._over_by_reading()
        stored = seen if isinstance(seen, Stored) else None
        entry.found(None if stored is None else drift(entry.known.as_stored(row), stored))
        if not as_seen(row, stored, entry.known):
            entry.known = replace(entry.known, presence=Presence.UNSURE)
        self._tell_contest(entry)
        return 0

    def _tell_contest(self, entry: Entry) -> None:
        if entry.in_vain >= IN_VAIN:
            keys = entry.repaired
            self._problems.say(_contest(entry), Reason.ROW_CONTESTED, name=entry.name, id=entry.id, keys=keys)
        elif not entry.repaired:
            self._problems.clear(_contest(entry), name=entry.name)

    async def _look(self, entry: Entry) -> Outcome:
        """Look a row up, now and then with all the rows of its name."""
        entry.looks += 1
        if entry.odds is None and entry.looks % LOOK_AROUND_EVERY:
            return await self._api.read(entry.id)
        found = await self._look_around(entry)
        # Of a large group not every row is shown.
        return await self._api.read(entry.id) if found is None else found

    async def _look_around(self, entry: Entry) -> Stored | Failed | None:
        """Look at the rows of a row's name, and say it if some of them starve; gives the row itself."""
        group = await self._api.named(entry.name)
        if isinstance(group, Failed):
            return group
        own, odds = entry.meet(group), entry.odds
        if odds is None:
            self._problems.clear(_odds(entry), name=entry.name)
        else:
            self._problems.say(
                _odds(entry),
                Reason.SIBLINGS_DISAGREE,
                name=entry.name,
                key=odds.key,
                lacking=odds.lacking,
                rows=odds.rows,
            )
        return own

    async def _take(self, entry: Entry) -> float:
        """Make the one call that is needed; give the seconds to wait before the next."""
        async with self._slots:
            if not entry.met and entry.row is not None and entry.row.whole:
                seen = await self._look_around(entry)
                # What cannot be looked at must not keep a model out of LiteLLM.
                if isinstance(seen, Stored):
                    entry.known = replace(entry.known, presence=Presence.UNSURE)
            step, row = entry.step(can_block=self._can_block), entry.row
            if step is Step.NONE:
                return 0
            if row is None:
                return await self._delete(entry)
            failed = await self._write(entry, row, step, blocked=entry.wish.blocked)
        if failed is None:
            return 0
        if failed.reason is Reason.LITELLM_NOT_ADDED and not entry.failures:
            entry.failures = 1  # most likely ours from before a restart: PATCH tells, at once
            return 0
        self._say(failed, entry)
        return self._wait(entry, failed)

    async def _delete(self, entry: Entry) -> float:
        outcome = await self._api.delete(entry.id)
        if isinstance(outcome, Failed):
            entry.known = after_delete_failed(entry.known, outcome.reason)
            self._say(outcome, entry)
            return self._wait(entry, outcome)
        self._problems.clear(LITELLM)
        self._removed_at = self._clock.now()
        entry.known, entry.shown = after_delete(entry.known), False
        return DELETE_AGAIN_AFTER if entry.known.lost else 0

    async def _write(self, entry: Entry, row: Row, step: Step, *, blocked: bool) -> Failed | None:
        if step is Step.BLOCK:
            # Somebody may have blocked it meanwhile; our mark on top would make us undo that later.
            failed = await self._write(entry, row, Step.SETTLE, blocked=blocked)
            if failed is not None or entry.known.blocked or entry.known.presence is not Presence.THERE:
                return failed
        sent = request(step, row, entry.known, blocked=blocked)
        if step is Step.CREATE:
            entry.sent = True
            outcome = await self._api.create(sent)
        else:
            outcome = await self._api.settle(entry.id, sent)
        if isinstance(outcome, Failed):
            return self._not_written(entry, row, step, outcome)
        if isinstance(outcome, Absent):
            entry.known = replace(entry.known, presence=Presence.ABSENT)
        else:
            entry.known = after_write(step, row, outcome, entry.known)
            if outcome.left_out:
                self._problems.say(_poorer(entry), Reason.BROKER_LEFT_OUT, outcome.left_out, name=row.name)
            else:
                self._problems.clear(_poorer(entry), name=row.name)
            self._written(entry, row, step)
        return None

    def _not_written(self, entry: Entry, row: Row, step: Step, failed: Failed) -> Failed | None:
        if failed.reason is Reason.LITELLM_NOT_LIVE:
            entry.known = after_saved(step, row, entry.known, blocked=entry.wish.blocked)
            self._say(failed, entry)
            return None
        if step is Step.CREATE:
            entry.known = after_create_failed(entry.known, failed.reason)
            entry.sent = entry.known.presence is Presence.UNSURE
        else:
            entry.known = replace(entry.known, presence=Presence.UNSURE)
        if step is Step.BLOCK and failed.reason is Reason.LITELLM_REFUSED_ROW:
            self._cannot_block()
        return failed

    def _cannot_block(self) -> None:
        self._can_block = False
        self._problems.say(BLOCKING, Reason.LITELLM_WITHOUT_BLOCK)

    def _written(self, entry: Entry, row: Row, step: Step) -> None:
        entry.failures = 0
        self._problems.clear(LITELLM)
        if entry.known.foreign_block:
            by_reaper = entry.known.by_reaper
            reason = Reason.BLOCKED_BY_REAPER if by_reaper else Reason.BLOCKED_BY_SOMEONE_ELSE
            self._problems.say(entry.id, reason, name=row.name, id=entry.id)
        else:
            self._problems.clear(entry.id, name=row.name)
        if step is Step.BLOCK and not entry.known.blocked:
            self._cannot_block()
        if step is Step.SETTLE and entry.differs == ALL:
            entry.differs = ()  # it was there all the same: that replica's memory was empty
        if entry.differs:
            self._log.event(
                Word.REPAIRED,
                "The row had been changed in LiteLLM and is as it should be again",
                name=row.name,
                id=entry.id,
                differed=entry.differs,
            )
            entry.differs = ()
        elif not entry.shown:
            took = self._clock.now() - entry.begun
            self._log.event(
                Word.REGISTERED,
                "The model is in LiteLLM",
                name=row.name,
                model=entry.served,
                id=entry.id,
                took=took,
            )
        entry.shown = True

    def _over_by_reading(self) -> None:
        self._problems.clear(LITELLM, only=OVER_BY_READING)

    def _say(self, failed: Failed, entry: Entry | None = None) -> None:
        self._problems.say(
            entry.id if entry is not None and failed.reason in OF_ONE_ROW else LITELLM,
            failed.reason,
            failed.detail,
            word=Word.WAITING if failed.reason in PASSING else Word.PROBLEM,
            rule=failed.rule,
            silence=silence(failed),
            name=None if entry is None else entry.name,
        )

    def _wait(self, entry: Entry, failed: Failed) -> float:
        refused = failed.reason in REFUSED
        # how long a queue was full says nothing of how long a rule is broken
        entry.failures = entry.failures + 1 if refused is entry.refused else 1
        entry.refused = refused
        return pause(failed, entry.failures, self._random())


def _odds(entry: Entry) -> str:
    """Name what the rows of a row's name have against each other, as a subject of problems."""
    return f"{entry.id} siblings"


def _contest(entry: Entry) -> str:
    """Name that a row does not stay as it is to be, as a subject of problems."""
    return f"{entry.id} contest"


def _poorer(entry: Entry) -> str:
    """Name that a broker left out some of a row, as a subject of problems."""
    return f"{entry.id} left out"
