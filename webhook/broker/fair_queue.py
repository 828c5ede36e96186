"""A bound on what LiteLLM has in hand at a time, and whose turn it is: namespaces in turn, in each its pods.

LiteLLM does one thing at a time: 1, 4, 8 and 16 creations at once took 0.1, 0.4, 0.8 and 2.2 s each on
1.106.2 with some hundred rows, nine a second or fewer in all: more at once
only lengthens each, and holds up its other requests.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from webhook.broker.shapes import RefusedError, Rule

AT_ONCE: Final = 4
# The same for calls that only read: 8 to 50 ms each, with up to 1,000 rows. LiteLLM works on all it has in
# hand by turns: with more of them than writes it would do little else while a thousand pods start.
READS_AT_ONCE: Final = 4
# Seconds that a call waits here at most. A registrar gives up on a call that reads after 15.
WAIT: Final = 10.0
# The same for writes, on which it gives up after 30. LiteLLM took up to 4 s for one.
WRITES_WAIT: Final = 20.0
# Deletions in a row after which something else gets its turn, if it waits.
_URGENT_IN_A_ROW: Final = 3
# A registrar makes four calls at a time (`AT_ONCE` in sidecar/keeper.py).
_MOST_OF_A_POD: Final = 16
_MOST: Final = 20_000
# Seconds for which a pod that was told to come back has its place kept.
_KEPT: Final = 60.0

Ticket = asyncio.Future[None]


@dataclass(slots=True)
class _Line:
    """The calls of one pod that wait, oldest first; if none does, until when its place is kept."""

    tickets: OrderedDict[int, Ticket] = field(default_factory=OrderedDict)
    until: float = 0.0


class Turns:
    """Who is next. Both orders turn: who was served goes to the end, who comes new begins there.

    So between a pod's coming and its turn every other pod of its namespace is served at most once, and
    between two turns of a namespace every other one at most once. A pod that was told to come back keeps
    its place meanwhile.
    """

    def __init__(self) -> None:
        self._namespaces: OrderedDict[str, OrderedDict[str, _Line]] = OrderedDict()
        self._swept = 0.0
        self.waiting = 0

    def add(self, namespace: str, pod: str, ticket: Ticket, now: float) -> bool:
        """Queue a call; False: this pod has too many waiting, and nothing was done."""
        if now - self._swept > _KEPT:
            self._sweep(now)
        line = self._namespaces.setdefault(namespace, OrderedDict()).setdefault(pod, _Line())
        if len(line.tickets) >= _MOST_OF_A_POD:
            return False
        line.tickets[id(ticket)] = ticket
        self.waiting += 1
        return True

    def leave(self, namespace: str, pod: str, ticket: Ticket, until: float = 0.0) -> None:
        """Take a call out; if it was not served its pod's place is kept `until` then."""
        pods = self._namespaces[namespace]
        line = pods[pod]
        del line.tickets[id(ticket)]
        self.waiting -= 1
        line.until = max(line.until, until)
        if not line.tickets and not line.until:
            self._drop(namespace, pod)

    def next(self) -> Ticket | None:
        """Serve whose turn it is, past those that are about to leave; None: nobody waits."""
        for namespace, pods in self._namespaces.items():
            for pod, line in pods.items():
                ticket = next((ticket for ticket in line.tickets.values() if not ticket.done()), None)
                if ticket is None:
                    continue
                self._namespaces.move_to_end(namespace)
                pods.move_to_end(pod)
                line.until = 0.0
                self.leave(namespace, pod, ticket)
                return ticket
        return None

    def _sweep(self, now: float) -> None:
        """Drop the places that nobody came back to."""
        self._swept = now
        for namespace, pods in [*self._namespaces.items()]:
            for pod in [pod for pod, line in pods.items() if not line.tickets and line.until <= now]:
                self._drop(namespace, pod)

    def _drop(self, namespace: str, pod: str) -> None:
        pods = self._namespaces[namespace]
        del pods[pod]
        if not pods:
            del self._namespaces[namespace]


class FairQueue:
    """At most `at_once` calls at a time; the others wait their turn, `wait` seconds at most."""

    def __init__(
        self, at_once: int = AT_ONCE, wait: float = WAIT, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._free = at_once
        self._wait = wait
        self._now = now
        self._urgent = Turns()
        self._others = Turns()
        self._urgent_in_a_row = 0

    @property
    def waiting(self) -> int:
        """Tell how many calls wait."""
        return self._urgent.waiting + self._others.waiting

    @asynccontextmanager
    async def place(self, namespace: str, pod: str, *, urgent: bool = False) -> AsyncIterator[None]:
        """Hold one of the places; what is `urgent` (a deletion) goes first, three times in a row at most.

        Raises RefusedError(BUSY) if there is none in time; then the pod's turn comes no later for it,
        if it asks again within a minute.
        """
        await self._enter(namespace, pod, self._urgent if urgent else self._others)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, namespace: str, pod: str, turns: Turns) -> None:
        if self._free and not self.waiting:
            self._free -= 1
            return
        ticket: Ticket = asyncio.get_running_loop().create_future()
        if self.waiting >= _MOST or not turns.add(namespace, pod, ticket, self._now()):
            raise _busy(f"{self.waiting} calls wait already")
        try:
            async with asyncio.timeout(self._wait):
                await ticket
        except BaseException as error:
            late = isinstance(error, TimeoutError)
            if ticket.done() and not ticket.cancelled():
                if late:  # its turn came in the same moment
                    return
                self._leave()
                raise
            turns.leave(namespace, pod, ticket, self._now() + _KEPT if late else 0.0)
            if late:
                raise _busy(f"no turn in {self._wait:g} s, {self.waiting} calls wait") from None
            raise

    def _leave(self) -> None:
        self._free += 1
        ticket = self._next()
        if ticket is not None:
            self._free -= 1
            ticket.set_result(None)

    def _next(self) -> Ticket | None:
        """Serve the urgent ones first, but not for ever."""
        if self._urgent_in_a_row < _URGENT_IN_A_ROW or not self._others.waiting:
            ticket = self._urgent.next()
            if ticket is not None:
                self._urgent_in_a_row += 1
                return ticket
        self._urgent_in_a_row = 0
        return self._others.next() or self._urgent.next()


def _busy(message: str) -> RefusedError:
    return RefusedError(Rule.BUSY, f"LiteLLM has its hands full: {message}; ask again", 503)
