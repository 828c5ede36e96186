"""Whose token it is: TokenReview, asked seldom enough for the API server, often enough for a deleted pod.

The API server itself goes on taking the token of a deleted pod for some 10 s (its own cache, measured on
1.36); with ours on top such a token is refused within 20 s.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from webhook.broker.callers import caller
from webhook.broker.flights import Flights
from webhook.broker.shapes import Caller, RefusedError, Rule
from webhook.kube.api import ApiError

REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"

# Seconds for which the API server's yes counts, its no, and that it could not be asked.
_TAKEN_FOR: Final = 8.0
_REFUSED_FOR: Final = 5.0
_UNASKED_FOR: Final = 1.0
# Seconds for which a pod may still clear up by a token that was good and cannot be shown to be so any more:
# force-deleted, or the API server is away. A longer drain has its pod, and so a good token, to its end.
_LEAVING_FOR: Final = 900.0
# Questions at a time. Anybody may send made-up tokens, each of which is one: they leave room among the
# connections to the API server (200) for Leases, pods and claims.
_AT_ONCE: Final = 50
# Tokens that are remembered; of one that is forgotten the API server is asked again.
_MOST_TAKEN: Final = 10_000
_MOST_REFUSED: Final = 2_000

# A ServiceAccount's token is a JSON Web Token in its compact form (RFC 7519, RFC 7515 section 7.1).
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII).fullmatch


class Reviewing(Protocol):
    """What is needed of the API server."""

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object and give it as answered. Raises ApiError."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who holds a token. `doubt` is why it is not known to be good now; then only clearing up is granted."""

    caller: Caller
    doubt: RefusedError | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of a token: when it was last asked about, whose it was when last good, what is wrong."""

    asked: float
    caller: Caller | None = None
    good: float = 0.0
    refusal: RefusedError | None = None


class Tokens:
    """Asks the API server about tokens and remembers its answers, by a hash of each."""

    def __init__(self, api: Reviewing, audience: str, now: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._audience = audience
        self._now = now
        self._flights = Flights[_Seen]()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._taken: OrderedDict[bytes, _Seen] = OrderedDict()
        self._refused: OrderedDict[bytes, _Seen] = OrderedDict()

    async def bearer(self, token: str) -> Bearer:
        """Tell who holds this token. Raises RefusedError where nothing at all is granted to it."""
        if not _JWT(token):
            raise RefusedError(Rule.TOKEN_REFUSED, "the token is not a ServiceAccount's", 401)
        key = hashlib.sha256(token.encode()).digest()
        seen = self._remembered(key)
        if seen is None:
            seen = await self._flights.once(key, lambda: self._ask(key, token))
        refusal = seen.refusal and seen.refusal.with_traceback(None)  # it is raised time and again
        if seen.caller is not None and (refusal is None or self._now() - seen.good < _LEAVING_FOR):
            return Bearer(seen.caller, refusal)
        raise refusal or RefusedError(Rule.TOKEN_REFUSED, "the token is of nobody", 401)

    def _remembered(self, key: bytes) -> _Seen | None:
        for known in (self._taken, self._refused):
            if (seen := known.get(key)) is not None:
                known.move_to_end(key)
                return seen if self._now() - seen.asked < _lasts(seen.refusal) else None
        return None

    async def _ask(self, key: bytes, token: str) -> _Seen:
        await self._slots.acquire()
        asked = self._now()  # the answer may be as old as the question
        try:
            seen = _Seen(asked, caller(await self._review(token), self._audience), asked)
        except RefusedError as error:
            seen = replace(self._taken.get(key) or _Seen(asked), asked=asked, refusal=error)
        finally:
            self._slots.release()
        kept, most = (self._refused, _MOST_REFUSED) if seen.caller is None else (self._taken, _MOST_TAKEN)
        self._refused.pop(key, None)
        kept[key] = seen
        if len(kept) > most:
            kept.popitem(last=False)
        return seen

    async def _review(self, token: str) -> Mapping[str, Any]:
        """Ask by TokenReview (kubernetes.io, reference, authentication.k8s.io/v1); give its status."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        try:
            status = (await self._api.create(REVIEWS, body)).get("status")
        except ApiError as error:
            raise unasked(error) from None
        return status if isinstance(status, Mapping) else {}


def unasked(error: ApiError) -> RefusedError:
    """Say that the API server could not be asked; of its answer only its own word."""
    message = f"the API server cannot be asked: {error.status or 'no answer'} {error.reason}"
    return RefusedError(Rule.CANNOT_ASK_KUBERNETES, message, 503)


def _lasts(refusal: RefusedError | None) -> float:
    """Give the seconds for which an answer counts."""
    if refusal is None:
        return _TAKEN_FOR
    return _UNASKED_FOR if refusal.rule is Rule.CANNOT_ASK_KUBERNETES else _REFUSED_FOR
