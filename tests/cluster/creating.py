"""Pods that are made all the time, labelled and unlabelled, while something is done to what admits them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.peers.admitted import has_registrar
from webhook.kube.api import JSON, Api, ApiError

LABEL: Final = {"litellm-registrar.io/server": "vllm"}
# Seconds between two pairs of pods, and pairs between two bursts.
_EVERY: Final = 0.25
_BURST_EVERY: Final = 20
# With so many unanswered nothing more is asked for: the machine is too slow for this rate.
_AT_ONCE: Final = 100
# More than the connections that the API server keeps to a webhook (client-go's transport: 25 to each host):
# some handshakes are made each time.
_BURST: Final = 32
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Made:
    """One pod that was asked for at `at` (seconds since 1970) and answered after `seconds`."""

    at: float
    seconds: float
    labelled: bool
    injected: bool = False
    refused: str = ""

    def __str__(self) -> str:
        kind = "labelled" if self.labelled else "unlabelled"
        end = self.refused or ("injected" if self.injected else "made without a registrar")
        return f"{_clock(self.at)} {kind}, after {self.seconds:.2f} s: {end}"


class Creating:
    """The pods of one namespace that were asked for so far.

    They have a gate that nobody opens (`schedulingGates`), so none of them is ever run.
    """

    def __init__(self, api: Api, namespace: str) -> None:
        self.all: list[Made] = []
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._tasks: set[asyncio.Task[None]] = set()

    def refused(self, *, labelled: bool | None = None, since: float = 0.0) -> list[Made]:
        """Give those that were refused, of one kind or both, asked for since then."""
        return [
            one for one in self.all if one.refused and one.at >= since and labelled in (None, one.labelled)
        ]

    def missed(self, since: float, until: float = float("inf")) -> list[Made]:
        """Give those with a label that were asked for in this time and made without a registrar."""
        return [
            one
            for one in self.all
            if one.labelled and not one.injected and not one.refused and since <= one.at < until
        ]

    def injected(self, since: float = 0.0, until: float = float("inf")) -> int:
        """Count those that were asked for in this time and have a registrar."""
        return sum(one.injected for one in self.all if since <= one.at < until)

    def slowest(self) -> float:
        """Give how long the slowest answer took, in seconds."""
        return max((one.seconds for one in self.all), default=0.0)

    async def run(self) -> None:
        """Ask for one of each kind four times a second, however long the answers take, and bursts between."""
        number = 0
        try:
            while True:
                self._ask(labelled=True)
                self._ask(labelled=False)
                if number % _BURST_EVERY == 0:
                    for _ in range(_BURST):
                        self._ask(labelled=True)
                number += 1
                await asyncio.sleep(_EVERY)
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _ask(self, *, labelled: bool) -> None:
        if len(self._tasks) < _AT_ONCE:
            task = asyncio.create_task(self._create(labelled=labelled))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _create(self, *, labelled: bool) -> None:
        at, begun = time.time(), time.monotonic()
        try:
            made = await self._api.create(self._path, pod(labelled=labelled))
        except ApiError as error:
            self.all.append(Made(at, time.monotonic() - begun, labelled, refused=str(error)))
            return
        self.all.append(Made(at, time.monotonic() - begun, labelled, has_registrar(made)))
        with contextlib.suppress(ApiError):  # it goes with its namespace
            await self._api.delete(f"{self._path}/{made['metadata']['name']}", {"gracePeriodSeconds": 0})


@asynccontextmanager
async def creating(api: Api, namespace: str) -> AsyncIterator[Creating]:
    """Make pods in a namespace for as long as one is inside; at the end all have been answered."""
    it = Creating(api, namespace)
    task = asyncio.create_task(it.run())
    try:
        yield it
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def create(api: Api, namespace: str, *, labelled: bool) -> JSON:
    """Create one such pod, and give it as it was stored. Raises ApiError when it is refused."""
    return await api.create(f"/api/v1/namespaces/{namespace}/pods", pod(labelled=labelled))


def pod(*, labelled: bool) -> JSON:
    """Give a pod that is never run."""
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.32.0",
        "args": ["--model", "Qwen/Qwen3-0.6B", "--port", "8000"],
        "ports": [{"containerPort": 8000}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "made-", "labels": LABEL if labelled else {"app": "else"}},
        "spec": {"schedulingGates": [{"name": "example.com/never"}], "containers": [container]},
    }


def told(some: Iterable[Made]) -> str:
    """Write down the first few of them, for a failing test."""
    every = [*some]
    return f"{len(every)}: " + "; ".join(map(str, every[:_SHOWN]))


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at)) + f"{at % 1:.2f}"[1:]
