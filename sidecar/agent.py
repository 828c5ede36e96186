"""The registrar's loop and its states.

`waiting -> serving <-> blocked`, `-> draining -> drained`, and from `drained` back: preStop hooks also run
when a single container restarts, and a pod that lives on must come back. The agent never ends by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from sidecar.broker_contract import State
from sidecar.catalogue import Catalogue
from sidecar.clock import Clock
from sidecar.contract import PodIdentity, Probing, Settings
from sidecar.drain import Drain, Outcome, Stage
from sidecar.exploring import Explored, Exploring
from sidecar.fate import Fate
from sidecar.health import REFUSED_APART, WAITING_POLL, Condition, Health, judge, poll_after
from sidecar.keeper import Keeper
from sidecar.log import Log, Word, stamp
from sidecar.patience import PASSING
from sidecar.problems import Problems
from sidecar.reasons import Reason
from sidecar.registration import Stored, adopted, is_ours
from sidecar.row_contract import row_id
from sidecar.servers.shapes import Answer, Observation, Refused
from sidecar.traffic import Traffic

SERVER: Final = "server"
READINESS: Final = "readiness"
# A server in ill health for one of these is not there at all; for any other it may still be at work.
_NOT_THERE: Final = frozenset({Reason.SERVER_REFUSED, Reason.SERVER_TIMEOUT, Reason.SERVER_UNREACHABLE})
_AFTER_FAULT: Final = 5.0


_ENDING: Final = frozenset({State.DRAINING, State.DRAINED})


class Observed(Explored, Protocol):
    """The model server: see `sidecar.servers`."""

    @property
    def base_url(self) -> str:
        """Give its address, without /v1."""
        ...

    async def observe(self) -> Observation:
        """Look at it once."""
        ...

    def forget(self) -> None:
        """Ask anew for what is asked only once: it was started anew."""
        ...


class Agent:
    """Watches the server, tells the keeper which rows are wanted, and drains when asked."""

    def __init__(
        self,
        settings: Settings,
        identity: PodIdentity,
        server: Observed,
        keeper: Keeper,
        traffic: Traffic,
        *,
        fate: Fate,
        api_key: str | None,
        problems: Problems,
        log: Log,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._server = server
        self._keeper = keeper
        self._traffic = traffic
        self._fate = fate
        self._problems = problems
        self._log = log
        self._clock = clock
        self._began = self._waits_since = clock.now()
        self._state = State.WAITING
        self._since = clock.today()
        self._health = Health()
        self._catalogue = Catalogue(
            settings, identity, server.base_url, api_key=api_key, problems=problems, log=log
        )
        self._listening = frozenset[int]()
        self._first_answer: float | None = None
        # Seconds from the server's first good answer until its models were routable for the first time.
        self.routable: float | None = None
        # The drain under way or over, and how it went; None again when the pod lives on.
        self.last_drain: Drain | None = None
        self.outcome: Outcome | None = None
        self._drained: Callable[[Outcome], None] = lambda _: None
        self._changed: Callable[[], None] = lambda: None
        self._look_back = asyncio.Event()
        self._look_now = asyncio.Event()
        self._draining: asyncio.Task[Outcome] | None = None
        self._exploring = Exploring(
            server,
            traffic,
            clock,
            every=settings.poll_interval,
            may=lambda: self._health.condition is Condition.WELL and self._state not in _ENDING,
            learned=self._look_now.set,
        )
        self._drain_began = 0.0
        self._gone_since_drain = False
        self._listening_at_drain: frozenset[int] = frozenset()
        keeper.tell(self.review)

    @property
    def state(self) -> State:
        """Where the registrar is now."""
        return self._state

    def tell(self, drained: Callable[[Outcome], None]) -> None:
        """Call this when a drain has ended, or is cut short: once for each."""
        self._drained = drained

    def follow(self, changed: Callable[[], None]) -> None:
        """Call this whenever the state may have changed, or what keeps it from being another one."""
        self._changed = changed

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._unfailing(self._watch), name="watch")
            tasks.create_task(self._unfailing(self._meet_litellm), name="meet LiteLLM")
            if self._settings.probing is Probing.ACTIVE:
                tasks.create_task(self._unfailing(self._exploring.run), name="explore")

    def ready(self) -> bool:
        """Tell whether the pod may count as ready: registered once, or waited for long enough."""
        return self.routable is not None or self._clock.now() - self._began >= self._settings.ready_timeout

    def status(self) -> Mapping[str, Any]:
        """Give what `/status` shows."""
        last, answer, drain = self._problems.last, self._catalogue.answer, self.last_drain
        return {
            "state": self._state,
            "since": stamp(self._since),
            "ready": self.ready(),
            "server": self._server.base_url,
            "engine": answer.engine if answer else None,
            "version": answer.version if answer else None,
            "models": self._catalogue.status(),
            "rows": [
                {"id": entry.id, "model_name": entry.name, "model": entry.served, "state": entry.state}
                for entry in self._keeper.entries
            ],
            "waiting_for": drain.stage if self._state is State.DRAINING and drain else None,
            "in_flight": drain.in_flight if drain else None,
            "problems": [
                {"reason": problem.reason, "since": stamp(problem.since)}
                for problem in self._problems.current()
            ],
            "last_problem": last.told() if last else None,
        }

    async def drain(self, why: str) -> Outcome:
        """Drain, or join the drain under way, or give the outcome of the last one. `why`: who asks."""
        if self._draining is None:
            self._draining = asyncio.create_task(self._run_drain(why), name="drain")
        return await asyncio.shield(self._draining)

    def review(self) -> None:
        """Look whether the state has changed; called after each change of health or of a row."""
        registered = sum(entry.registered for entry in self._keeper.entries)
        if self._state in _ENDING:
            pass
        elif registered and self._health.condition is Condition.ILL:
            self._enter(State.BLOCKED)
        elif registered and self._keeper.settled():
            self._enter(State.SERVING)
        elif not registered:
            self._enter(State.WAITING)
        self._changed()

    async def _unfailing(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - a registrar that exits makes its pod unready for ever
                self._problems.say(work.__name__, Reason.INTERNAL_ERROR, repr(error))
                await self._clock.sleep(_AFTER_FAULT)
            else:
                return

    async def _meet_litellm(self) -> None:
        """Make LiteLLM's acquaintance at once; look back once for rows of an earlier life."""
        await self._keeper.greet(
            row_id(self._settings.cluster, self._identity.namespace, self._identity.pod_uid, "")
        )
        await self._look_back.wait()
        self._adopt(await self._keeper.table(self._is_ours))

    async def _watch(self) -> None:
        while True:
            self._notice_restart()
            seen = await self._server.observe()
            if self._notice_restart():  # some of it may have been told by the former server
                seen = await self._server.observe()
            now = self._clock.now()
            await self._note(seen, now)
            self._say_if_late()
            self._look_now.clear()
            await self._clock.wait(self._look_now, self._until_next_look())

    def _notice_restart(self) -> bool:
        """Let the server be asked anew if another one listens: a quick restart refuses nobody."""
        listening = self._traffic.listening()
        anew = bool(listening and self._listening) and listening.isdisjoint(self._listening)
        if anew:
            self._server.forget()
            self._log.event(Word.FOUND, "The server was started anew; what it can do is asked again")
        self._listening = listening or self._listening
        return anew

    def _until_next_look(self) -> float:
        if self._state is State.DRAINED:
            return WAITING_POLL
        if self._state is State.DRAINING:
            return REFUSED_APART
        return poll_after(
            self._health, serving=not self._catalogue.empty, poll_interval=self._settings.poll_interval
        )

    async def _note(self, seen: Observation, now: float) -> None:
        self._health = judge(self._health, seen, now, had_models=not self._catalogue.empty)
        answer = seen if isinstance(seen, Answer) and self._health.condition is Condition.WELL else None
        if self._state in _ENDING:
            self._gone_since_drain |= isinstance(seen, Refused) or self._another_listens()
            if not (self._lives_on(answer, now) and await self._may_return()):
                return
            self._return_to_service(now)
        self._catalogue.take(answer, now=now, waited=now - self._waits_since)
        if self._first_answer is None and self._catalogue.rows:
            self._first_answer = now
        self._speak(now)
        ill = self._health.condition is Condition.ILL
        self._keeper.want(self._catalogue.rows, blocked=ill)
        if ill:
            self._look_back.set()
        self.review()

    def _speak(self, now: float) -> None:
        reason = self._health.reason
        if reason is None:
            self._problems.clear(SERVER, quiet=self._state is not State.SERVING)
        elif self._catalogue.rows:
            self._problems.say(SERVER, reason, self._health.detail)
        else:
            waited = now - self._waits_since
            self._problems.say(
                SERVER,
                reason,
                self._health.detail,
                word=Word.WAITING,
                url=self._server.base_url,
                waited=waited,
            )

    def _say_if_late(self) -> None:
        if self.ready() and self.routable is None and self._state is State.WAITING:
            # one of a thousand that start together may wait longer for its turn: nothing is wrong with it
            queued = self._problems.is_any_of(PASSING)
            self._problems.say(
                READINESS,
                Reason.READY_TIMEOUT,
                word=Word.WAITING if queued else Word.PROBLEM,
                ready_timeout=self._settings.ready_timeout,
            )

    def _enter(self, state: State) -> None:
        if state is self._state:
            return
        self._state, self._since = state, self._clock.today()
        entries = self._keeper.entries
        if state is State.SERVING:
            if self.routable is None:
                now = self._clock.now()
                self.routable = now - (now if self._first_answer is None else self._first_answer)
            self._problems.clear(READINESS, quiet=True)
            self._look_back.set()
            names = [entry.name for entry in entries if entry.state == "registered"]
            self._log.event(
                Word.SERVING,
                f"{len(names)} of {len(self._catalogue.rows)} models are routable through LiteLLM",
                names=names,
            )
        elif state is State.BLOCKED:
            asleep = self._health.reason is Reason.SERVER_ASLEEP
            self._log.event(
                Word.BLOCKED,
                f"The server {'sleeps' if asleep else 'is not well'}; LiteLLM is told to send it nothing "
                f"until it {'wakes' if asleep else 'is'}",
                reason=self._health.reason,
                detail=self._health.detail,
                rows=len(entries),
            )
        self._changed()

    def _is_ours(self, stored: Stored) -> bool:
        return is_ours(stored, self._settings, self._identity)

    def _adopt(self, table: tuple[Stored, ...]) -> None:
        """Take care of rows of this very pod that an earlier life of this registrar left behind."""
        known = {entry.id for entry in self._keeper.entries}
        for stored in table:
            if stored.id in known:
                continue
            ending = self._state in _ENDING
            row, keep = (adopted(stored), False) if ending else self._catalogue.adopt(stored)
            self._keeper.adopt(row, keep=keep)

    async def _run_drain(self, why: str) -> Outcome:
        self._drain_began = self._clock.now()
        self._gone_since_drain = False
        self._listening_at_drain = self._traffic.listening()
        self._enter(State.DRAINING)
        self._look_now.set()
        self._exploring.drop()  # the drain would wait for its answer
        self.last_drain = Drain(
            self._settings,
            self._keeper,
            self._traffic,
            fate=self._fate,
            server_gone=self._server_gone,
            problems=self._problems,
            log=self._log,
            clock=self._clock,
        )
        try:
            return self._over(await self.last_drain.run(why))
        except Exception as error:  # noqa: BLE001 - the hook must be answered, or the pod hangs
            self._problems.say("drain", Reason.INTERNAL_ERROR, repr(error))
            took = self._clock.now() - self._drain_began
            return self._over(Outcome(Stage.OVERDUE, took, None, len(self._keeper.entries)))
        finally:
            self._enter(State.DRAINED)

    def cut_short(self) -> Outcome | None:
        """Take note that the pod ends before the drain under way does; None: it has not begun."""
        return None if self.last_drain is None else self._over(self.last_drain.cut_short())

    def _over(self, outcome: Outcome) -> Outcome:
        """Take note of how a drain ended; what comes after it was cut short is not told any more."""
        if self.outcome is None:
            self.outcome = outcome
            self._drained(outcome)
            self._changed()
        return outcome

    def _another_listens(self) -> bool:
        """Tell whether the server was started anew since the drain began.

        A kubelet restarts a quick server within 0.2 s, between two looks. One of several workers that ends is
        no new start.
        """
        now = self._traffic.listening()
        return bool(now and self._listening_at_drain) and now.isdisjoint(self._listening_at_drain)

    def _server_gone(self) -> bool:
        if self._another_listens():
            return True
        return self._health.condition is Condition.ILL and self._health.reason in _NOT_THERE

    def _lives_on(self, answer: Answer | None, now: float) -> bool:
        """Tell whether the drain was for a restart of the server alone.

        An answer by itself proves nothing: vLLM with --shutdown-timeout lists its models until it exits.
        """
        if answer is None or not answer.models or self._state is not State.DRAINED:
            return False
        return self._gone_since_drain or now - self._drain_began >= self._settings.grace_period

    async def _may_return(self) -> bool:
        """Tell whether the pod goes on: one that is being deleted stays drained, whoever answers in it."""
        if not self._fate.known.deleting:
            await self._fate.look()
        return not self._fate.known.deleting

    def _return_to_service(self, now: float) -> None:
        self._draining = self.last_drain = self.outcome = None
        self._catalogue.forget()
        self._waits_since = now
        self._enter(State.WAITING)
        self._problems.clear("drain", quiet=True)
        self._log.event(
            Word.WAITING,
            "The pod lives on and its server answers again; its models are registered anew",
            after=self._clock.now() - self._drain_began,
        )
