"""The web application: routes, limits, the boundary around errors, one log line per review."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from webhook.defaults import Defaults
from webhook.handlers import Verdict, Word, denied, mutate, noted, validate, warned
from webhook.inject import Injection
from webhook.log import Log, traced
from webhook.metrics import Metrics
from webhook.policy.policy import Policy
from webhook.reasons import Problem, Reason
from webhook.review import BodyError, Review, ReviewError, encode, parse
from webhook.serving import InHand, health
from webhook.settings import OnError
from webhook.wishes import InjectMode

MUTATE: Final = "/mutate"
VALIDATE: Final = "/validate"
# Whoever is told this has reached us (`webhook.gate`).
SELF_TEST: Final = "/selftest"
_REACHED: Final = Problem(Reason.SELF_TEST, "the API server reaches this webhook")
# Two objects of up to 3 MB, the most that etcd and the API server let through, and the envelope
# (controller-runtime reasons likewise); aiohttp's own limit is 1 MiB.
MAX_BODY: Final = 8 * 1024 * 1024


class Admission:
    """Bytes of a review in, bytes of its answer out, one log line; whatever happens on the way."""

    def __init__(
        self,
        config: Injection,
        log: Log,
        on_error: OnError = OnError.BY_PATH,
        *,
        new_nonce: Callable[[], str] = lambda: secrets.token_hex(16),
        new_reference: Callable[[], str] = lambda: secrets.token_hex(4),
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
    ) -> None:
        self._config = config
        self._changing = threading.Lock()
        self._log = log
        self._denies = {
            MUTATE: on_error is OnError.DENY,
            VALIDATE: on_error is not OnError.ALLOW,
            SELF_TEST: False,
        }
        self._new_nonce = new_nonce
        self._new_reference = new_reference
        self._clock = clock
        self._now = now
        self._metrics = metrics or Metrics()
        self._policy: Policy | None = None

    @property
    def config(self) -> Injection:
        """What goes into pods now."""
        return self._config

    @property
    def policy(self) -> Policy | None:
        """The policy that reviews are held against now."""
        return self._policy

    def hold(self, policy: Policy) -> None:
        """Hold the reviews to come against another policy."""
        self._policy = policy
        self._metrics.policy(policy.hash, (exemption.id for exemption in policy.exceptions))

    def use(self, defaults: Defaults) -> None:
        """Take other defaults for the reviews to come."""
        self._change(defaults=defaults)

    def trust(self, bundle: str) -> None:
        """Write these certificates of the broker into pods from now on."""
        if self._config.broker is not None:
            self._change(broker=replace(self._config.broker, ca=bundle))

    def call(self, cluster: str) -> None:
        """Inject registrars from now on under this id of the cluster."""
        self._change(cluster=cluster)

    def place(self, mode: InjectMode, nodes: Mapping[str, InjectMode]) -> None:
        """Inject registrars in this mode from now on, and in these into pods that are bound to a node."""
        self._change(mode=mode, nodes=nodes)

    def _change(self, **parts: Any) -> None:
        with self._changing:  # files are read in threads
            self._config = replace(self._config, **parts)

    @property
    def unready(self) -> str:
        """Why no registrar can be injected now, by its reason's name; empty if one can."""
        if not self._config.cluster:
            return Reason.CLUSTER_UNKNOWN
        broker = self._config.broker
        return Reason.BROKER_CA_UNKNOWN if broker is not None and broker.ca is None else ""

    def answer(self, path: str, body: bytes) -> bytes:
        """Answer a review that came to this path. Raises BodyError, and nothing else."""
        start = self._clock()
        try:
            review = parse(body)
        except ReviewError as error:
            verdict = self._unusable(path, error)
            self._say(path, verdict, start)
            return encode(error.uid, verdict.answer, error.api_version)
        try:
            verdict = self._decide(path, review)
            answer = encode(review.uid, verdict.answer)
        except Exception as error:  # noqa: BLE001 - the boundary: what went wrong is answered and logged
            verdict, where = self._failed(path, error)
            self._say(path, verdict, start, review, **where)
            return encode(review.uid, verdict.answer)
        self._say(path, verdict, start, review)
        return answer

    def _decide(self, path: str, review: Review) -> Verdict:
        if path == MUTATE:
            return mutate(review, self._config, self._new_nonce)
        if path == SELF_TEST:
            return denied([_REACHED])
        return validate(review, self._config, self._policy, self._now())

    def _unusable(self, path: str, error: ReviewError) -> Verdict:
        problem = Problem(error.reason, str(error))
        denies = error.reason is Reason.UNSUPPORTED_VERSION or self._denies[path]
        return self._noted(path, denied([problem]) if denies else warned([problem]))

    def _failed(self, path: str, error: Exception) -> tuple[Verdict, dict[str, str]]:
        """Decide by `--on-error`. The log tells where, not the error's text: that may quote a pod."""
        reference = self._new_reference()
        problem = Problem(
            Reason.INTERNAL_ERROR,
            f"an error of the webhook's own, {reference} in its log; nothing is wrong with the request",
        )
        verdict = denied([problem], 500) if self._denies[path] else warned([problem])
        return self._noted(path, verdict._replace(word=Word.FAILED)), {
            "reference": reference,
            "error": type(error).__name__,
            "at": traced(error),
        }

    def _noted(self, path: str, verdict: Verdict) -> Verdict:
        return noted(verdict, self._policy) if self._policy and path == VALIDATE else verdict

    def _say(
        self, path: str, verdict: Verdict, start: float, review: Review | None = None, **more: str
    ) -> None:
        seconds = self._clock() - start
        ms = round(seconds * 1000, 2)
        self._metrics.review(path, verdict.word.lower(), verdict.reason, seconds)
        self._metrics.judged(verdict.judgement)
        if review is None:
            self._log.say(
                verdict.word, verdict.sentence, path=path, reason=verdict.reason or None, ms=ms, **more
            )
            return
        key, name = review.named
        violations = verdict.judgement.violations
        self._log.say(
            verdict.word,
            verdict.sentence,
            path=path,
            namespace=review.namespace or None,
            kind=review.kind,
            **{key: name},
            operation=review.operation,
            reason=verdict.reason or None,
            rules=" ".join(dict.fromkeys(v.rule for v in violations if not v.exception)) or None,
            exceptions=" ".join(dict.fromkeys(v.exception for v in violations if v.exception)) or None,
            ms=ms,
            **more,
        )


class App:
    """The two web applications over one `Admission`: reviews, and health; `stopping` is set from outside.

    `unready` tells why nobody can be served, by the reason's name; empty if they can.
    """

    def __init__(
        self,
        admission: Admission,
        log: Log,
        metrics: Metrics,
        unready: Callable[[], str] = lambda: "",
    ) -> None:
        self.stopping = False
        self._unready = unready
        self.in_hand = InHand()
        self._admission = admission
        self._log = log
        self._metrics = metrics

    def reviews(self) -> web.Application:
        """POST /mutate and /validate, and /selftest, which refuses everything."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post(MUTATE, self._review)
        app.router.add_post(VALIDATE, self._review)
        app.router.add_post(SELF_TEST, self._review)
        return app

    def health(self) -> web.Application:
        """GET /healthz, /readyz (200 while reviews are taken and registrars can be injected), /metrics."""
        return health(
            self._metrics.text,
            lambda: "stopping" if self.stopping else self._unready() or self._admission.unready,
        )

    async def _review(self, request: web.Request) -> web.Response:
        with self.in_hand.one():
            response = await self._respond(request)
        if self.stopping:  # the API server keeps its connections: let it open the next one elsewhere
            response.force_close()
        return response

    async def _respond(self, request: web.Request) -> web.Response:
        try:
            _check_headers(request)
            return web.Response(
                body=self._admission.answer(request.path, await request.read()),
                content_type="application/json",
            )
        except web.HTTPUnsupportedMediaType as error:
            status, text = error.status, str(error.text)
        except web.HTTPRequestEntityTooLarge as error:
            status, text = error.status, f"the body is over {MAX_BODY // 1024 // 1024} MiB"
        except BodyError as error:
            status, text = 400, str(error)
        except (ConnectionError, web.RequestPayloadError):
            status, text = 400, "the body could not be read to its end"
        self._log.say("REFUSED", text, path=request.path, status=status, peer=request.remote)
        return web.Response(status=status, text=f"{text}\n")


def _check_headers(request: web.Request) -> None:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="Content-Type: allowed is application/json")
    if "Content-Encoding" in request.headers:
        raise web.HTTPUnsupportedMediaType(text="Content-Encoding: none is allowed")
    size = request.content_length or 0
    if size > MAX_BODY:  # refused before it is read
        raise web.HTTPRequestEntityTooLarge(MAX_BODY, size)
