"""One call of a registrar, from what it sent to what it is answered."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar.row_contract import NO_KEY, pod_prefix
from webhook.broker import answers, callers, rules
from webhook.broker.asking import contract_of, read
from webhook.broker.claims import Claims
from webhook.broker.fair_queue import FairQueue
from webhook.broker.flights import Flights
from webhook.broker.known_rows import KnownRows
from webhook.broker.metrics import Metrics
from webhook.broker.names import Names
from webhook.broker.pods import Pods
from webhook.broker.rates import Rates
from webhook.broker.reports import Reports
from webhook.broker.shapes import (
    Answer,
    Asked,
    AskPod,
    Call,
    Caller,
    Change,
    Create,
    Delete,
    Holder,
    Look,
    OwnRows,
    Ready,
    RefusedError,
    Reply,
    Rule,
    Siblings,
    Tell,
)
from webhook.broker.tokens import Tokens
from webhook.broker.upstream import FaultError, Upstream
from webhook.kube.events import Events
from webhook.log import Log, traced
from webhook.reasons import shown

Write = Create | Change | Delete

# What a pod that ends may still ask: it takes nothing from anyone.
_CLEARING: Final = (Ready, AskPod, Look, Delete)
# Seconds for which it counts that nobody had a name, as long as readings of the table do: a registrar looks
# at it before it makes its row, and that has to wait its turn, again and again while many start. A look at
# each try would keep LiteLLM from writing. Among registrars a claim decides.
_LOOK_COUNTS: Final = 60.0
# The same when it is written: whoever sees a name appear in LiteLLM must not get a share of its requests by
# having asked for it before. A registrar alone has looked a moment ago.
_JUST_NOW: Final = 2.0
# Seconds for which LiteLLM's readiness counts for whoever asks: a thousand pods may start at a time.
_READY_COUNTS: Final = 1.0
# Seconds after which a registrar gives up on a call (sidecar/litellm.py), less what the way back takes.
_PATIENCE: Final[Mapping[type, float]] = {Create: 28.0, Change: 28.0, Delete: 58.0}
_PATIENCE_READING: Final = 13.0
_LEAST_PATIENCE: Final = 1.0
_SAID: Final[Mapping[type, tuple[str, str]]] = {
    Create: ("CREATED", "A row was made"),
    Change: ("CHANGED", "A row was changed"),
    Delete: ("DELETED", "A row was deleted"),
}
_BAD: Final = 400
_FORBIDDEN: Final = 403
_TOO_MANY: Final = 429
_INTERNAL: Final = 500


@dataclass(frozen=True, slots=True)
class Sent:
    """What a call says before its body; `path` and `query` as they were sent, headers None if missing."""

    method: str
    path: str
    query: str
    authorization: str | None = field(repr=False)
    contract: str | None
    peer: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many rows a pod, and all pods of a namespace together, may have."""

    rows_per_pod: int
    rows_per_namespace: int


@dataclass(slots=True)
class _Course:
    """What is known of a call so far, and the seconds that were not spent here.

    `lookup`: until LiteLLM had said who holds a name; `queue`: until it was this call's turn; `litellm`:
    until it had answered the call itself.
    """

    began: float
    caller: Caller | None = None
    asked: Asked | None = None
    lookup: float = 0.0
    queue: float = 0.0
    litellm: float = 0.0


class Desk:
    """Answers calls, many at a time; whatever happens, there is an answer, and a line for every write."""

    def __init__(
        self,
        cluster: str,
        bounds: Bounds,
        *,
        tokens: Tokens,
        rates: Rates,
        pods: Pods,
        reports: Reports,
        rows: KnownRows,
        claims: Claims,
        queue: FairQueue,
        reads: FairQueue,
        upstream: Upstream,
        log: Log,
        metrics: Metrics,
        events: Events,
        now: Callable[[], float] = time.monotonic,
        new_reference: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._cluster = cluster
        self._bounds = bounds
        self._tokens = tokens
        self._rates = rates
        self._pods = pods
        self._reports = reports
        self._rows = rows
        self._claims = claims
        self._queue = queue
        self._reads = reads
        self._upstream = upstream
        self._log = log
        self._metrics = metrics
        self._events = events
        self._now = now
        self._new_reference = new_reference
        self._names = Names()
        self._flights = Flights[tuple[float, Reply]]()
        # What LiteLLM answered last when it was asked if it is ready, and when that was.
        self._ready = -math.inf, Reply(503, b"")

    def use(self, names: Names) -> None:
        """Grant namespaces these names from now on."""
        self._names = names

    async def answer(self, sent: Sent, body: Callable[[], Awaitable[bytes]]) -> Answer:
        """Answer a call; `body` reads its body, and may raise RefusedError. Never raises."""
        course = _Course(self._now())
        try:
            answer = await self._answered(sent, body, course)
        except RefusedError as error:
            answer = self._refused(sent, course, error)
        except Exception as error:  # noqa: BLE001 - the boundary: what went wrong is logged, and told to nobody
            answer = self._failed(sent, course, error)
        elsewhere = {"lookup": course.lookup, "queue": course.queue, "litellm": course.litellm}
        own = self._now() - course.began - sum(elsewhere.values())
        self._metrics.call(_kind(course), answer.status, {"own": own, **elsewhere})
        return answer

    async def _answered(self, sent: Sent, body: Callable[[], Awaitable[bytes]], course: _Course) -> Answer:
        bearer = await self._tokens.bearer(callers.bearer(sent.authorization))
        course.caller = caller = bearer.caller
        self._ration(caller)
        contract = contract_of(sent.contract)
        course.asked = asked = read(sent.method, sent.path, sent.query, await body(), contract)
        if bearer.doubt is not None and not isinstance(asked, _CLEARING):
            raise bearer.doubt
        prefix = pod_prefix(self._cluster, caller.namespace, caller.pod_uid)
        left_out: tuple[str, ...] = ()
        try:
            match asked:
                case AskPod():
                    return answers.pod_state(await self._pods.facts(caller, fresh=True))
                case Tell(report):
                    await self._reports.take(report, caller, course.began)
                    return answers.taken()
                case OwnRows():
                    return answers.own_rows(await self._rows.of(prefix), prefix)
                case Create() | Change() | Delete():
                    call, reply = await self._write(asked, caller, contract, course)
                case Ready():
                    call = await self._ruled(asked, caller, contract, course)
                    reply = await self._readiness(call, course)
                case _:
                    call = await self._ruled(asked, caller, contract, course)
                    if isinstance(asked, Siblings) and not self._rows.held(asked.name):
                        return answers.own_rows((), prefix)
                    reply = await self._read(asked, call, caller, course)
            left_out = call.left_out
        except FaultError as fault:
            reply = fault.reply
        secrets = (*self._upstream.secrets, *_keys(asked))
        answer = answers.answer(asked, reply, prefix=prefix, secrets=secrets, left_out=left_out)
        self._say_written(sent, course, answer)
        return answer

    def _ration(self, caller: Caller) -> None:
        wait = self._rates.take(caller.namespace, caller.pod_uid, self._now())
        if wait:
            raise RefusedError(Rule.RATE, f"too many calls: the next is taken in {wait:.1f} s", _TOO_MANY)

    async def _write(
        self, asked: Write, caller: Caller, contract: int, course: _Course
    ) -> tuple[Call, Reply]:
        """Write when it is this pod's turn; what is refused does not wait for it."""
        call = await self._ruled(asked, caller, contract, course)
        await self._claim(asked, caller)
        begun = self._now()
        try:
            place = self._queue.place(caller.namespace, caller.pod_uid, urgent=isinstance(asked, Delete))
            async with place:
                course.queue = self._now() - begun
                # the pod may be gone meanwhile, and somebody may have made a row of the name by hand
                call = await self._ruled(asked, caller, contract, course, _JUST_NOW)
                reply = await self._send(asked, call, course)
        except RefusedError:
            course.queue = course.queue or self._now() - begun
            raise
        self._rows.wrote(call, reply, caller)
        return call, reply

    async def _read(self, asked: Asked, call: Call, caller: Caller, course: _Course) -> Reply:
        """Read when it is this pod's turn: a thousand starting pods must not hold up LiteLLM's writes."""
        begun = self._now()
        try:
            async with self._reads.place(caller.namespace, caller.pod_uid):
                course.queue = self._now() - begun
                return await self._send(asked, call, course)
        except RefusedError:
            course.queue = course.queue or self._now() - begun
            raise

    async def _readiness(self, call: Call, course: _Course) -> Reply:
        """Ask whether LiteLLM is ready, once for all who ask that now."""

        async def ask() -> tuple[float, Reply]:
            return self._now(), await self._upstream.send(call, _PATIENCE_READING)

        begun = self._now()
        try:
            if begun - self._ready[0] >= _READY_COUNTS:
                self._ready = await self._flights.once(Ready, ask)
            return self._ready[1]
        finally:
            course.litellm += self._now() - begun

    async def _claim(self, asked: Write, caller: Caller) -> None:
        """Claim the name that a row gets, unless it is one that may be shared. Raises RefusedError."""
        name = rules.name_of(asked)
        if isinstance(asked, Delete) or name is None or self._names.of(caller.namespace).shares(name):
            return
        own = self._rows.own(pod_prefix(self._cluster, caller.namespace, caller.pod_uid))
        if own.get(asked.row.id) == name:  # it has it already
            return
        holder = await self._claims.claim(name, caller.namespace)
        if holder != caller.namespace:
            message = f"model_name: {shown(name)} has just been taken by another namespace"
            raise RefusedError(Rule.NAME_TAKEN, message)

    async def _ruled(
        self, asked: Asked, caller: Caller, contract: int, course: _Course, oldest: float = _LOOK_COUNTS
    ) -> Call:
        """Have everything looked at that rules ask for, a name that nobody has at most `oldest` seconds ago.

        Raises RefusedError, FaultError.
        """
        pod = await self._pods.facts(caller) if rules.needs_pod(asked) else None
        name = rules.name_of(asked)
        context = self._context(asked, caller, contract)
        if name is not None:
            # what is refused whoever holds the name asks LiteLLM nothing
            rules.call(asked, caller, pod, context)
            holders = await self._holders(name, caller, course, oldest)
            context = self._context(asked, caller, contract, holders)
        call = rules.call(asked, caller, pod, context)
        if call is None:
            raise AssertionError(f"{type(asked).__name__} is no call of LiteLLM's")
        return call

    def _context(
        self, asked: Asked, caller: Caller, contract: int, holders: Collection[Holder] = ()
    ) -> rules.Context:
        model = rules.model_of(asked)
        return rules.Context(
            cluster=self._cluster,
            contract=contract,
            grant=self._names.of(caller.namespace),
            holders=holders,
            serving=() if model is None else self._rows.exactly(model),
            reached=self._rows.names(asked.id) if isinstance(asked, Change) else (),
            own=self._rows.own(pod_prefix(self._cluster, caller.namespace, caller.pod_uid)),
            in_namespace=self._rows.in_namespace(caller.namespace),
            rows_per_pod=self._bounds.rows_per_pod,
            rows_per_namespace=self._bounds.rows_per_namespace,
        )

    async def _holders(self, name: str, caller: Caller, course: _Course, oldest: float) -> Collection[Holder]:
        begun = self._now()
        try:
            return await self._rows.holders(name, oldest, asker=caller.namespace)
        finally:
            course.lookup += self._now() - begun

    async def _send(self, asked: Asked, call: Call, course: _Course) -> Reply:
        """Ask LiteLLM, for as long as the registrar waits."""
        begun = self._now()
        patience = _PATIENCE.get(type(asked), _PATIENCE_READING) - (begun - course.began)
        try:
            return await self._upstream.send(call, max(patience, _LEAST_PATIENCE))
        finally:
            course.litellm += self._now() - begun

    def _refused(self, sent: Sent, course: _Course, error: RefusedError) -> Answer:
        self._metrics.refusal(error.rule)
        self._say("REFUSED", error.message, sent, course, status=error.status, rule=error.rule)
        if course.caller is not None and error.status == _FORBIDDEN:
            self._events.say(course.caller.reference, error.rule, error.message)
        return answers.refusal(error)

    def _failed(self, sent: Sent, course: _Course, error: Exception) -> Answer:
        """Answer that it is our fault, and no more; the log tells where, not the error's text."""
        reference = self._new_reference()
        message = f"an error of the broker's own, {reference} in its log; nothing is wrong with the request"
        refusal = RefusedError(Rule.INTERNAL_ERROR, message, _INTERNAL)
        self._metrics.refusal(refusal.rule)
        more = {"error": type(error).__name__, "at": traced(error)}
        self._say("FAILED", message, sent, course, status=_INTERNAL, rule=refusal.rule, **more)
        return answers.refusal(refusal)

    def _say_written(self, sent: Sent, course: _Course, answer: Answer) -> None:
        """Say what became of a write; calls that only read are no lines."""
        if not isinstance(course.asked, Create | Change | Delete):
            return
        if answer.status >= _BAD:
            detail = answers.fault_text(answer)
            self._say("FAULT", "LiteLLM did not do it", sent, course, status=answer.status, detail=detail)
            return
        word, sentence = _SAID[type(course.asked)]
        self._say(word, sentence, sent, course, status=answer.status)

    def _say(
        self, word: str, sentence: str, sent: Sent, course: _Course, *, status: int, **more: str
    ) -> None:
        caller, asked = course.caller, course.asked
        row = asked.row if isinstance(asked, Create | Change) else None
        self._log.say(
            word,
            sentence,
            method=sent.method,
            path=sent.path,
            status=status,
            **more,
            namespace=caller.namespace if caller else None,
            pod=caller.pod if caller else None,
            peer=None if caller else sent.peer,
            id=row.id if row else asked.id if isinstance(asked, Delete) else None,
            name=row.name if row else None,
            ms=round((self._now() - course.began) * 1000, 1),
            litellm_ms=round(course.litellm * 1000, 1) or None,
        )


def _keys(asked: Asked) -> tuple[str, ...]:
    """Give the key of the pod's server that a row holds: LiteLLM may quote that too."""
    key = asked.row.params.get("api_key") if isinstance(asked, Create | Change) else None
    return (key,) if isinstance(key, str) and key != NO_KEY else ()


def _kind(course: _Course) -> str:
    """Name what was asked, for the metrics."""
    return "unread" if course.asked is None else type(course.asked).__name__.lower()
