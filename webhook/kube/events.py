"""Events on objects of the cluster (core/v1): what `kubectl describe` shows beside a pod.

They are for people and may be lost: whoever has something to say never waits, and never fails because of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from webhook.kube.api import JSON, Api, ApiError
from webhook.log import Log
from webhook.review import clean

# Seconds in which an object gets one Event of a reason; what is said again meanwhile is counted.
ONE_IN: Final = 600.0
# The bounds: Events that are remembered, that wait to be written, and the seconds between two writes.
_MOST_KNOWN: Final = 2_000
_MOST_WAITING: Final = 200
_WRITE_EVERY: Final = 0.1
# What events.k8s.io/v1 allows for a note (kubernetes, pkg/apis/core/validation/events.go).
_MESSAGE_LENGTH: Final = 1024
# How the API server refuses whatever is new in a namespace that is being deleted (k8s.io/apiserver,
# pkg/admission/plugin/namespace/lifecycle/admission.go).
_ENDING: Final = "because it is being terminated"
_REFUSED: Final = 400
_NOT_FOUND: Final = 404
_TOO_MANY: Final = 429
_FAULT: Final = 500


@dataclass(slots=True)
class _Event:
    """One Event: `path` once it has been written, `count` of all that was said."""

    about: Mapping[str, str]
    reason: str
    kind: str
    message: str
    first: str
    last: str
    count: int = 1
    path: str = ""
    waiting: bool = False
    written: float = float("-inf")


class Events:
    """Writes Events in the name of `component`. Rights: `create` and `patch` on events."""

    def __init__(
        self,
        api: Api,
        component: str,
        log: Log,
        *,
        shared: bool = False,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Write through `api`.

        `shared` is for replicas of which one writes at a time: what another has said is not said anew.
        """
        self._api = api
        self._component = component
        self._log = log
        self._shared = shared
        self._today = today
        self._known: OrderedDict[tuple[str, ...], _Event] = OrderedDict()
        self._waiting: asyncio.Queue[_Event] = asyncio.Queue(_MOST_WAITING)
        self._problem, self._said = "", float("-inf")
        self.lost = 0

    def say(self, about: Mapping[str, str], reason: str, message: str, *, kind: str = "Warning") -> None:
        """Have an Event of this reason (`Warning` or `Normal`) written on an object.

        `about` is a core/v1 ObjectReference: `apiVersion`, `kind`, `namespace`, `name`, `uid`; without a
        namespace the object is the cluster's. `lost` counts what there was no room for.
        """
        key = (*(about.get(part, "") for part in ("kind", "namespace", "name", "uid")), reason)
        now = self._today().strftime("%Y-%m-%dT%H:%M:%SZ")
        message = clean(message, _MESSAGE_LENGTH)
        event = self._known.get(key)
        if event is None:
            event = self._known[key] = _Event(dict(about), reason, kind, message, now, now)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
            event.count, event.message, event.last = event.count + 1, message, now
        if event.waiting or asyncio.get_running_loop().time() < event.written + ONE_IN:
            return
        try:
            self._waiting.put_nowait(event)
            event.waiting = True
        except asyncio.QueueFull:
            self.lost += 1

    async def once(
        self, about: Mapping[str, str], reason: str, message: str, *, kind: str, occasion: str
    ) -> bool:
        """Write an Event now; whichever replica says the same of an `occasion` again makes no second one.

        What the API server does not take is `lost`: False. Raises ApiError if it cannot be asked now.
        """
        now = self._today().strftime("%Y-%m-%dT%H:%M:%SZ")
        event = _Event(dict(about), reason, kind, clean(message, _MESSAGE_LENGTH), now, now)
        try:
            await self._create(event, self._digest(event, occasion))
        except ApiError as error:
            if not _REFUSED <= error.status < _FAULT or error.status == _TOO_MANY:
                raise
            self.lost += 1
            self._say_problem(error)
            return False
        return True

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            event = await self._waiting.get()
            event.waiting = False
            event.written = asyncio.get_running_loop().time()
            try:
                await self._write(event)
            except ApiError as error:
                self.lost += 1
                self._say_problem(error)
            await asyncio.sleep(_WRITE_EVERY)

    async def _write(self, event: _Event) -> None:
        if event.path:
            news = {"count": event.count, "lastTimestamp": event.last, "message": event.message}
            try:
                await self._api.merge(event.path, news)
            except ApiError as error:
                if error.status != _NOT_FOUND:  # it has ended: after an hour, as the API server ships
                    raise
            else:
                return
        ending = self._digest(event) if self._shared else uuid.uuid4().hex[:16]
        event.path = await self._create(event, ending)

    async def _create(self, event: _Event, ending: str) -> str:
        # The API server takes Events on what has no namespace in this one.
        namespace = event.about.get("namespace") or "default"
        name = f"{event.about.get('name', '')[:200]}.{ending}"
        collection = f"/api/v1/namespaces/{namespace}/events"
        try:
            await self._api.create(collection, self._body(event, namespace, name))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        return f"{collection}/{name}"

    def _digest(self, event: _Event, *occasion: str) -> str:
        about = event.about
        what = (self._component, about.get("kind", ""), about.get("uid", ""), event.reason, *occasion)
        return hashlib.sha256("\0".join(what).encode()).hexdigest()[:16]

    def _body(self, event: _Event, namespace: str, name: str) -> JSON:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": event.about,
            "reason": event.reason,
            "message": event.message,
            "type": event.kind,
            "count": event.count,
            "firstTimestamp": event.first,
            "lastTimestamp": event.last,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._component,
        }

    def _say_problem(self, error: ApiError) -> None:
        if error.reason == "Forbidden" and _ENDING in error.message:
            return  # its Events end with it
        # One may concern a single namespace (it is being deleted): others' Events do not end it.
        problem, now = f"{error.status} {error.reason}", asyncio.get_running_loop().time()
        if problem != self._problem or now >= self._said + ONE_IN:
            self._problem, self._said = problem, now
            self._log.say("PROBLEM", f"An Event cannot be written: {error}")
