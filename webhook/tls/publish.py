"""The CA bundle, published: read where clients read it, and changed there, by whoever leads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from webhook.kube.api import JSON, MANAGER, Api, ApiError
from webhook.kube.follow import Followed
from webhook.log import Log
from webhook.tls.publication import Patience, Place, State, Target, managers

# Seconds after which a write is tried again that came too late, or that nobody answered.
_SOON: Final = 0.2
_LATER: Final = 2.0
_CONFLICT: Final = 409
# States in which nothing was known of its bundle, and those of which there was a line.
_NOT_THERE: Final = frozenset({None, State.UNREADABLE, State.ABSENT, State.NO_WEBHOOK})
_SAID: Final = frozenset({State.ABSENT, State.NO_WEBHOOK, State.REFUSED, State.FOUGHT_OVER})


@dataclass(frozen=True, slots=True)
class Published:
    """What was published at one moment: the places, and the objects that they were read from, by path."""

    places: tuple[Place, ...]
    objects: Mapping[str, JSON | None] = field(repr=False)


class Publisher:
    """Objects that publish one bundle. `changed` is called when one of them changed, or may be written again.

    `show` is told of each object's state. Rights on each object: `get`, `watch`, and `patch` for who leads;
    for a ConfigMap that may be absent, `create`.
    """

    def __init__(
        self,
        api: Api,
        targets: Sequence[Target],
        log: Log,
        *,
        changed: Callable[[], None],
        show: Callable[[str, State], None] = lambda _where, _state: None,
    ) -> None:
        self._changed = changed
        self._objects: dict[str, JSON | None] = {}
        self._targets = [_Object(api, target, log, self._try_again, show) for target in targets]
        self._followed = {
            one.target.path: Followed(api, one.target.path, partial(self._use, one.target.path), log)
            for one in self._targets
        }
        self._alarm: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Follow the objects until cancelled."""
        try:
            async with asyncio.TaskGroup() as all_of_them:
                for followed in self._followed.values():
                    all_of_them.create_task(followed.run())
        finally:
            if self._alarm:
                self._alarm.cancel()

    async def read(self) -> Published | None:
        """Read from the API server what is published now; None if that cannot be told."""
        looks = await asyncio.gather(*(followed.look() for followed in self._followed.values()))
        for one, readable in zip(self._targets, looks, strict=True):
            if readable:
                one.seen(self._objects[one.target.path])
            else:
                one.unreadable()
        return self._published() if all(looks) else None

    async def publish(self, before: Published, wanted: Mapping[str, bytes]) -> None:
        """Have every place hold these certificates (PEM by fingerprint) and no others. Never raises.

        Only what is different is written, and only over what was read before. Whatever stands against that is
        said, and `changed` is called when it is time for another try: then read, decide and publish again.
        """
        pem = b"".join(wanted[fingerprint] for fingerprint in sorted(wanted))
        for one in self._targets:
            await one.publish(before.objects[one.target.path], pem)

    def _published(self) -> Published:
        objects = dict(self._objects)
        places = [place for one in self._targets for place in one.target.places(objects[one.target.path])]
        return Published(tuple(places), objects)

    def _use(self, path: str, found: JSON | None) -> None:
        self._objects[path] = found
        self._changed()

    def _try_again(self, seconds: float) -> None:
        """Call `changed` after so long, unless it is called earlier anyway."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._alarm is None or not loop.time() < self._alarm.when() <= when:
            if self._alarm:
                self._alarm.cancel()
            self._alarm = loop.call_at(when, self._changed)


class _Object:
    """One object: written with patience, and everything about it said once."""

    def __init__(
        self,
        api: Api,
        target: Target,
        log: Log,
        try_again: Callable[[float], None],
        show: Callable[[str, State], None],
    ) -> None:
        self.target = target
        self._api = api
        self._log = log
        self._try_again = try_again
        self._show = show
        *_, kind, name = target.path.split("/")
        self._where = f"{kind}/{name}"
        self._state: State | None = None
        self._patience = Patience()
        self._wanted = b""
        self._fought = False
        self._refused = False

    def unreadable(self) -> None:
        """Take note that it cannot be read; the following says why."""
        self._is(State.UNREADABLE)

    def seen(self, found: JSON | None) -> None:
        """Take note of what it is now."""
        if not self.target.places(found):
            if found is None:
                self._is(State.ABSENT, "there is no such object")
            else:
                self._is(State.NO_WEBHOOK, "none of its webhooks has a name of ours")
        elif self._state in _NOT_THERE or (found and not self.target.ops(found, self._wanted)):
            self._settled()

    async def publish(self, found: JSON | None, pem: bytes) -> None:
        """Write what is different, if that may be now."""
        self._wanted = pem
        if not self.target.places(found) or (found and not self.target.ops(found, pem)):
            return
        now = asyncio.get_running_loop().time()
        if wait := self._patience.wait(now):
            self._wait(found, wait)
        else:
            await self._attempt(found, pem, now)

    async def _attempt(self, found: JSON | None, pem: bytes, now: float) -> None:
        try:
            await self._write(found, pem)
        except ApiError as error:
            self._failed(error, now)
            return
        self._patience = self._patience.wrote(now)
        self._refused = False
        self._log.say("PUBLISHED", f"The CA bundle is written to {self._where}", bytes=len(pem))
        self._settled()

    async def _write(self, found: JSON | None, pem: bytes) -> None:
        if found is not None:
            await self._api.patch(self.target.path, self.target.ops(found, pem))
        elif new := self.target.new(pem):
            await self._api.create(self.target.path.rpartition("/")[0], new)

    def _failed(self, error: ApiError, now: float) -> None:
        if not error.status:
            self._try_again(_LATER)
            return
        self._patience = self._patience.wrote(now)
        self._try_again(_SOON)
        if error.status == _CONFLICT:  # it is not what it was when it was read
            return
        self._refused = True
        self._is(State.REFUSED, str(error))

    def _wait(self, found: JSON | None, seconds: float) -> None:
        self._try_again(seconds)
        if not self._refused and not self._fought:
            self._fought = True
            self._is(
                State.FOUGHT_OVER,
                "another hand changes it again and again; it is put back less and less often, and until then "
                "the certificate that is served may be refused",
                managers=", ".join(managers(found, MANAGER)) if found else None,
            )

    def _settled(self) -> None:
        """Nothing is known against it now; a fight is over when it has not been written for long."""
        if self._fought and (calm := self._patience.calm(asyncio.get_running_loop().time())):
            self._try_again(calm)
            self._is(State.FOUGHT_OVER)
        else:
            self._fought = self._refused = False
            self._is(State.GOOD)

    def _is(self, state: State, problem: str = "", **values: str | None) -> None:
        if state is self._state:
            return
        before, self._state = self._state, state
        self._show(self._where, state)
        if problem:
            self._log.say("PROBLEM", f"The CA bundle in {self._where}: {problem}", state=state, **values)
        elif before in _SAID:
            self._log.say(
                "PUBLISHED", f"The CA bundle in {self._where} can be kept from now on", before=before
            )
