"""What the broker knows of LiteLLM's rows: who holds a name, and which rows are a pod's.

The whole table is read now and then, page by page, and of each row only whose it is and what leads to it
is kept. LiteLLM's replicas lag behind their database by 30 s, so that a row which one reading lacks still
counts; a name that nobody is known to hold is looked up at once, in the memory of the replica that is asked
and in the database (`search` with `model`: `_fetch_db_models_for_search` in litellm/proxy/proxy_server.py,
1.106).
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

from webhook.broker import table
from webhook.broker.fair_queue import FairQueue
from webhook.broker.flights import Flights
from webhook.broker.own_rows import OwnRow, Reading, read_own
from webhook.broker.row_index import LAG, KnownRow, RowIndex, known_row
from webhook.broker.shapes import Call, Caller, Holder, RefusedError, Reply, Rule
from webhook.broker.table import Sending
from webhook.broker.upstream import FaultError
from webhook.log import Log

_MOST_TRIES: Final = 3
# Seconds between readings of the whole table, and how old one may be where it must be new.
_EVERY: Final = 60.0
_NEW: Final = 15.0
# Seconds after which what may be asked for beside rows (aliases, patterns) is read again, if it matters.
_AROUND: Final = 10.0
# Seconds for which it counts that LiteLLM's database was there, when a name is looked up.
_THERE: Final = 1.0
# Seconds after which a reading is no ground any more to say that nobody holds a name.
_OLD: Final = 300.0
# Seconds after which a table without any row is believed: a replica that has not read the database yet shows
# none either, and will have read it by then.
BELIEVED: Final = 35.0
_LOOK_SECONDS: Final = 10.0
_AT_ONCE: Final = 4
# LiteLLM works on all it has in hand by turns: each look more holds up the writes.
_LOOKS_AT_ONCE: Final = 2
_MOST_LOOKED: Final = 10_000
# A row that is not there: 404, but only from LiteLLM's database. Without it, LiteLLM answers readings of its
# memory by a key that it remembers, and `search` says nothing of it (tried on 1.106.2).
_NOBODY: Final = Call("PATCH", "/model/registrar-nobody/update", body={})
_NOT_FOUND: Final = 404
_OK: Final = 200
_FORBIDDEN: Final = 403


class KnownRows:
    """Reads LiteLLM's rows. Where it cannot, it raises what it was answered: RefusedError or FaultError."""

    def __init__(
        self,
        upstream: Sending,
        cluster: str,
        log: Log,
        *,
        believed: float = BELIEVED,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._upstream = upstream
        self._cluster = cluster
        self._log = log
        self._believed = believed
        self._now = now
        self._sleep = sleep
        self._index = RowIndex()
        self._flights = Flights[None]()
        self._looks = FairQueue(_LOOKS_AT_ONCE)
        # When the last whole reading, and that of what is around, were begun.
        self._read_at = self._around_at = -math.inf
        # Of the last whole reading: when it was begun, and this cluster's rows, with what was written since.
        self._whole_at = -math.inf
        self._own: dict[str, OwnRow] = {}
        self._there_at = -math.inf
        # Names that nobody had, and when that was asked.
        self._looked: OrderedDict[str, float] = OrderedDict()
        self._empty_since: float | None = None
        self._problem = ""

    @property
    def count(self) -> int:
        """Tell how many rows LiteLLM has, as far as known."""
        return len(self._index)

    def own(self, prefix: str) -> Mapping[str, str]:
        """Give the rows that a pod is known to have, id to name; `prefix` is how its ids begin."""
        return self._index.own(prefix)

    def in_namespace(self, namespace: str) -> int:
        """Tell how many rows a namespace is known to have."""
        return self._index.count(Holder(self._cluster, namespace))

    def holds(self, name: str, namespace: str) -> bool:
        """Tell whether a namespace may have a row of this name: as far as known, or nothing is known yet."""
        unread = self._read_at == -math.inf
        return unread or Holder(self._cluster, namespace) in self._index.holders(name)

    def held(self, name: str) -> bool:
        """Tell whether anybody is known to have a row that this name leads to."""
        return bool(self._index.holders(name))

    def exactly(self, name: str) -> Collection[Holder]:
        """Tell whose rows are known to be reached by this name, patterns aside."""
        return self._index.exactly(name)

    def names(self, key: str) -> Collection[str]:
        """Tell by which names a row is known to be reached."""
        known = self._index.get(key)
        return known.names if known else ()

    async def follow(self) -> None:
        """Read the table again and again; a failure is said once, and when it is over."""
        while True:
            try:
                await self._table(_EVERY / 2)  # one that was asked for meanwhile will do
                self._said("")
            except (RefusedError, FaultError) as error:
                self._said(str(error))
            except Exception as error:  # noqa: BLE001 - a fault of our own must not end the following
                self._said(type(error).__name__)
            await self._sleep(_EVERY * random.uniform(0.9, 1.1))  # noqa: S311 - replicas out of step, no secret

    async def holders(self, name: str, oldest: float = 0.0, asker: str = "") -> tuple[Holder, ...]:
        """Tell whose rows have this name, or would catch it.

        None only if LiteLLM has said so now, or at most `oldest` seconds ago. `asker` is the namespace that
        asks: one that asks for many names holds up no other.
        """
        # A row that is just being made is listed before its maker, maybe the asker's namespace, is known.
        if not self._index.by_rows(name) and self._now() - self._looked.get(name, -math.inf) >= oldest:
            await self._flights.once(("name", asker, name), lambda: self._look(name, asker))
        found = self._index.holders(name)
        if not found:
            self._must_be_believed()
        return tuple(found)

    async def of(self, prefix: str) -> tuple[Mapping[str, Any], ...]:
        """Give the rows of a pod as LiteLLM shows them; `prefix` is how their ids begin."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._table(_NEW)
        except TimeoutError:
            if self._now() - self._read_at > _OLD:
                message = "LiteLLM cannot be asked: its table takes too long to read"
                raise RefusedError(Rule.CANNOT_ASK_LITELLM, message, 504) from None
        slots = asyncio.Semaphore(_AT_ONCE)

        async def row(key: str) -> list[Mapping[str, Any]]:
            async with slots:
                page = await table.page(self._upstream, {"modelId": key, "size": "1"}, _LOOK_SECONDS)
            return page.rows

        pages = await asyncio.gather(*(row(key) for key in self.own(prefix)))
        return tuple(shown for page in pages for shown in page)

    async def whole(self, oldest: float) -> Reading:
        """Give the last reading that missed no row, at most so old (seconds): who reads of it removes by it.

        With what this broker has made, blocked and deleted since. Raises RefusedError and FaultError, the
        former also where the last reading failed or missed some, or found none, if not yet believed.
        """
        await self._table(oldest)
        if self._now() - self._whole_at > oldest:
            message = "LiteLLM cannot be asked: the last reading of its table was not whole"
            raise RefusedError(Rule.CANNOT_ASK_LITELLM, message, 503)
        self._must_be_believed()
        there = {key: row for key, row in self._own.items() if not self._index.is_deleted(key)}
        return Reading(self._whole_at, there)

    def learned(self, row: OwnRow) -> None:
        """Learn what a row of this cluster is now, by the answer to a write."""
        self._own[row.id] = row

    def wrote(self, call: Call, reply: Reply, caller: Caller) -> None:
        """Learn of a write: what this broker did need not be read."""
        body = call.body or {}
        if call.path == "/model/delete":
            key = str(body.get("id"))
            with suppress(FaultError):
                table.deleted(reply, key)  # if there was none, it is gone as well
                self._index.deleted(key, self._now())
            return
        # A row that LiteLLM cannot serve is stored all the same (500 "... are not live").
        row = known_row(body) if _good(reply) or b"not live" in reply.body else None
        if row is not None:
            known = self._index.get(row.id)
            names = row.names | (known.names if known else frozenset())
            holder = Holder(self._cluster, caller.namespace)
            if call.path == "/model/new" and (mine := read_own(body, self._cluster)):
                self.learned(mine)
            self._index.wrote(KnownRow(row.id, row.name, names, row.patterns, holder), self._now())

    async def _look(self, name: str, asker: str) -> None:
        """Look up who holds a name that nobody is known to hold: a few at a time, namespaces in turn."""
        await self._table(_OLD)
        await self._flights.once("around", self._look_around)
        async with self._looks.place(asker, name):
            asked = self._now()
            await self._pages({"model": name, "search": name}, _LOOK_SECONDS)
            await self._flights.once("database", self._look_for_database)
        self._looked[name] = asked
        self._looked.move_to_end(name)
        if len(self._looked) > _MOST_LOOKED:
            self._looked.popitem(last=False)

    async def _look_for_database(self) -> None:
        """Find out whether LiteLLM has its database. Raises FaultError, RefusedError."""
        asked = self._now()
        if asked - self._there_at < _THERE:
            return
        reply = await self._upstream.send(_NOBODY, _LOOK_SECONDS)
        if reply.status != _NOT_FOUND:
            raise FaultError(reply)
        self._there_at = asked

    async def _look_around(self) -> None:
        """Read the patterns, and what else LiteLLM says can be asked for."""
        now = self._now()
        if now - self._around_at < _AROUND:
            return
        await self._pages({"wildcard_only": "true"}, _LOOK_SECONDS)
        reply = await self._upstream.send(Call("GET", "/v1/models", {"scope": "expand"}), _LOOK_SECONDS)
        # The key may lack this one; the broker says so at its start.
        if reply.status != _FORBIDDEN:
            listed = table.listed(reply).rows
            self._index.listed([each["id"] for each in listed if isinstance(each.get("id"), str)])
        self._around_at = now

    async def _table(self, oldest: float) -> None:
        """Have a whole reading that is at most so old (seconds)."""
        if self._now() - self._read_at > oldest:
            await self._flights.once("table", self._read_table)

    async def _read_table(self) -> None:
        began = self._now()
        try:
            whole, total = await self._read_whole(began)
        except BaseException:
            self._whole_at = -math.inf
            raise
        if not whole:
            self._whole_at = -math.inf
        if total:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = began
        # What two readings lack is gone; not what was written meanwhile on another replica of LiteLLM.
        self._index.forget(min(self._read_at, began - LAG))
        self._read_at = began

    async def _read_whole(self, began: float) -> tuple[bool, int]:
        """Read the table until nothing moves meanwhile; tell whether that was so, and its number of rows."""
        for _ in range(_MOST_TRIES):
            own: dict[str, OwnRow] = {}
            seen, total, moved = await self._pages({}, table.PAGE_SECONDS, own)
            # Rows that come and go meanwhile move others from page to page.
            if not moved and seen >= total:
                self._whole_at, self._own = began, own
                return True, total
        return False, total

    async def _pages(
        self, query: Mapping[str, str], seconds: float, own: dict[str, OwnRow] | None = None
    ) -> tuple[int, int, bool]:
        """Read all pages; give how many rows they had, how many there are, and if that changed meanwhile.

        Those of this cluster are put into `own`.
        """
        seen: set[str] = set()
        totals: set[int] = set()
        async with aclosing(table.pages(self._upstream, query, seconds)) as pages:
            async for page in pages:
                rows = [row for each in page.rows if (row := known_row(each)) is not None]
                self._index.saw(rows, self._now())
                seen.update(row.id for row in rows)
                if own is not None:
                    mine = (read_own(each, self._cluster) for each in page.rows)
                    own.update((row.id, row) for row in mine if row)
                totals.add(page.total)
        return len(seen), max(totals), len(totals) > 1

    def _must_be_believed(self) -> None:
        """Refuse to say that nobody holds a name while it is not known whether LiteLLM shows all it has."""
        if self._empty_since is None or self.count:
            return
        wait = self._empty_since + self._believed - self._now()
        if wait > 0:
            message = (
                "LiteLLM shows no row at all: it is believed to have none, and not to have read its database "
                f"yet, in {wait:.0f} s"
            )
            raise RefusedError(Rule.CANNOT_ASK_LITELLM, message, 503)

    def _said(self, problem: str) -> None:
        if problem and not self._problem:
            self._log.say("PROBLEM", f"LiteLLM's table of models cannot be read: {problem}")
        elif self._problem and not problem:
            self._log.say("RECOVERED", "LiteLLM's table of models can be read again", rows=self.count)
        self._problem = problem


def _good(reply: Reply) -> bool:
    return reply.status == _OK
