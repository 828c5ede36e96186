"""Pods of one name after the other, each lived as it was planned: what a kubelet would do, and deaths."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from tests.bench import fleet
from tests.bench.fleet import Member, Planned
from tests.real.churn.plan import End, Life, Slot
from tests.real.churn.world import NODES, World
from webhook.kube.api import ApiError

# No requests are sent that LiteLLM's replicas would have to notice in time.
_SETTINGS: Final = {"poll_interval": "5s", "propagation": "2s", "drain_timeout": "20s"}
# Seconds: more than any drain takes with these.
_DRAIN: Final = 40.0
_FORCED: Final = {"gracePeriodSeconds": 0}
# IPs beyond those in use: a pod's IP is soon another's.
_SPARE: Final = 8

# Calls to the API server that it had no answer to, or no time for, one after the other; seconds between them.
_TRIES: Final = 5
_TRY_AGAIN: Final = 1.0
_TOO_MANY: Final = 429
_INTERNAL: Final = 500

T = TypeVar("T")
Drain = Callable[[], Awaitable[object]]


class Lives:
    """Lives `lives`, each in the next slot that is free; then pods in the first `staying` slots live on.

    Their registrars run until `stack` is closed.
    """

    def __init__(
        self,
        world: World,
        slots: Sequence[Slot],
        lives: Iterable[Life],
        staying: int,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self.lived: list[Life] = []
        self._world = world
        self._slots = slots
        self._lives = iter(lives)
        self._staying = staying
        self._stack = stack
        count = len(slots) + _SPARE
        self._addresses = deque(f"127.99.{number // 250}.{number % 250 + 1}" for number in range(count))

    async def run(self) -> None:
        """Live all of them; at the end nobody lives but those that stay."""
        async with asyncio.TaskGroup() as together:
            for number, slot in enumerate(self._slots):
                node, stays = NODES[number % len(NODES)], number < self._staying
                together.create_task(self._one_after_the_other(slot, node, stays=stays))

    async def _one_after_the_other(self, slot: Slot, node: str, *, stays: bool) -> None:
        await asyncio.sleep(slot.start)
        for life in self._lives:
            member = await self._born(slot, node)
            await self._live(member, life)
            await self._end(member, life)
            self._addresses.append(member.caller.address)
            self.lived.append(life)
        if stays:
            await self._stack.enter_async_context(fleet.registrar(await self._born(slot, node)))

    async def _born(self, slot: Slot, node: str) -> Member:
        planned, address = Planned(slot.namespace, slot.name, slot.model), self._addresses.popleft()
        api, cluster, way = self._world.api, self._world.cluster, self._world.way

        async def make() -> Member:
            await self._remove(slot.namespace, slot.name)  # one that was made without an answer
            return await fleet.member(
                api, cluster, planned, way, node=node, address=address, settings=_SETTINGS
            )

        member = await _surely(make)
        self._world.ledger.begins(slot.namespace, slot.name, member.caller.uid)
        return member

    async def _remove(self, namespace: str, name: str) -> None:
        """Have a pod gone at once, whether it is there or not."""
        try:
            await self._world.api.delete(_path(namespace, name), _FORCED)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    async def _live(self, member: Member, life: Life) -> None:
        """Run its registrar until it is killed, or, of a pod that is deleted in peace, has drained."""
        path = _path(member.caller.namespace, member.caller.name)
        if life.restart is not None:
            async with _registrar(member, life):
                await asyncio.sleep(life.restart)
        async with _registrar(member, life) as drain:
            await asyncio.sleep(life.seconds - (life.restart or 0.0))
            if life.end in (End.DRAINED, End.CUT):
                self._leaves(member)
                await _surely(lambda: self._world.api.delete(path))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_DRAIN if life.end is End.DRAINED else life.cut):
                        await drain()

    async def _end(self, member: Member, life: Life) -> None:
        pod = member.caller
        self._leaves(member)
        if life.end is End.ENDED:
            failed = {"status": {"phase": "Failed"}}
            await _surely(lambda: self._world.api.merge(f"{_path(pod.namespace, pod.name)}/status", failed))
            self._ends(member)
            await asyncio.sleep(life.pause)
        await _surely(lambda: self._remove(pod.namespace, pod.name))
        if life.end is not End.ENDED:
            self._ends(member)
            await asyncio.sleep(life.pause)

    def _leaves(self, member: Member) -> None:
        self._world.ledger.leaves(member.caller.namespace, member.caller.uid, time.monotonic())

    def _ends(self, member: Member) -> None:
        self._world.ledger.ends(member.caller.namespace, member.caller.uid, time.monotonic())


def _path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


async def _surely(call: Callable[[], Awaitable[T]]) -> T:
    """Ask the API server until it answers: on a busy machine it may take longer than a call may last."""
    for _ in range(_TRIES):
        try:
            return await call()
        except ApiError as error:
            if error.status and error.status != _TOO_MANY and error.status < _INTERNAL:
                raise
            await asyncio.sleep(_TRY_AGAIN)
    return await call()


@asynccontextmanager
async def _registrar(member: Member, life: Life) -> AsyncIterator[Drain]:
    """Run a pod's registrar, of which nothing goes on at the end; gives what drains it."""
    if not life.process:
        async with fleet.registrar(member) as agent:
            yield lambda: agent.drain("preStop")
        return
    async with fleet.registrar_process(member, sys.executable) as process:

        async def drain() -> None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()

        yield drain
