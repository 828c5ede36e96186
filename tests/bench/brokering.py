"""What a broker costs: the time of a registrar's call at its client, less the time that LiteLLM had it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from sidecar.broker_contract import POD_PATH
from sidecar.run import _LIMITS
from tests.bench import fleet
from tests.bench.counting import CountingProxy
from tests.bench.figures import Figure, percentile
from tests.bench.fleet import Planned
from tests.peers.broker import BrokerProcess, Caller, grant
from tests.peers.cluster import control_plane
from tests.peers.proxy import MASTER_KEY, litellm

PODS: Final = 20
SECONDS: Final = 150.0
# Between two calls of a pod, on average: some three a second in all, one of them a write.
PAUSE: Final = 6.0
# A fresh LiteLLM without a row is believed to have none after 35 s (`BELIEVED` in known_rows.py).
_CONFIGURED: Final = "configured"

Call = tuple[str, str, str, Any]


@dataclass(frozen=True)
class Timed:
    """A call as its client saw it; `keys` are in what LiteLLM is asked for it alone."""

    kind: str
    begun: float
    ended: float
    keys: tuple[str, ...]


@dataclass
class Client:
    """Makes the calls of one pod, through a broker or without one."""

    http: httpx.AsyncClient
    caller: Caller
    headers: dict[str, str] = field(repr=False)
    broker: bool = True
    timed: list[Timed] = field(default_factory=list)

    async def run(self, end: float) -> None:
        """Live row after row, at a steady rate."""
        await asyncio.sleep(random.uniform(0, 5) * PAUSE)  # noqa: S311 - pods out of step
        for number in itertools.count():
            name = f"{self.caller.name}-row-{number}"
            for kind, method, path, body in self._life(name):
                await asyncio.sleep(random.uniform(0.5, 1.5) * PAUSE)  # noqa: S311 - pods out of step
                if time.monotonic() > end:
                    return
                await self._call(kind, method, path, body, name)

    def _life(self, name: str) -> Iterator[Call]:
        """Give what a registrar asks in a row's life, from its look at the name to its deletion."""
        key, row = self.caller.id(name), self.caller.row(name)
        yield "ready", "GET", "/health/readiness", None
        yield "own rows", "GET", "/v2/model/info?page=1&size=200", None
        yield "siblings", "GET", f"/v2/model/info?model={name}&size=50", None
        yield "create", "POST", "/model/new", row
        yield "look", "GET", f"/v2/model/info?modelId={key}&size=1", None
        yield "change", "PATCH", f"/model/{key}/update", self.caller.row(name, rpm=9)
        yield "block", "PATCH", f"/model/{key}/update", {**row, "blocked": True}
        yield "siblings", "GET", f"/v2/model/info?model={name}&size=50", None
        if self.broker:
            yield "pod state", "GET", POD_PATH, None
        yield "delete", "POST", "/model/delete", {"id": key}

    async def _call(self, kind: str, method: str, path: str, body: Any, name: str) -> None:
        begun = time.monotonic()
        answer = await self.http.request(method, path, json=body, headers=self.headers)
        ended = time.monotonic()
        if answer.status_code != 200:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        self.timed.append(Timed(kind, begun, ended, (name, self.caller.id(name))))


async def measure() -> list[Figure]:
    """Give broker_share."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(control_plane(folder))
        proxy = stack.enter_context(litellm(replicas=1))
        grant(cluster)
        cluster.fake_node({})
        cluster.namespace("share")
        proxy.create(_CONFIGURED, {"model": "openai/x", "api_key": "none"}, {"id": _CONFIGURED})
        plan = [Planned("share", f"pod-{number}", "") for number in range(PODS + 1)]
        async with CountingProxy(proxy.urls[0]) as before:
            broker = BrokerProcess(cluster, before.url, MASTER_KEY, folder)
            stack.callback(broker.stop)
            await asyncio.to_thread(broker.start)
            callers = [member.caller for member in await fleet.members(cluster, plan, folder, broker)]
            through, direct = await _clients(broker, before.url, callers)
            told = broker.health("/metrics").text
        return [_figure(through, direct, before.spans, told)]


async def _clients(
    broker: BrokerProcess, litellm_url: str, callers: list[Caller]
) -> tuple[list[Timed], list[Timed]]:
    """Have the pods call for a while, the last one without the broker."""
    end = time.monotonic() + SECONDS
    tls = ssl.create_default_context(cadata=broker.bundle())
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for caller in callers[:-1]:
            http = httpx.AsyncClient(
                base_url=broker.url, verify=tls, limits=_LIMITS, trust_env=False, timeout=60
            )
            clients.append(Client(await stack.enter_async_context(http), caller, caller.headers))
        http = httpx.AsyncClient(base_url=litellm_url, limits=_LIMITS, trust_env=False, timeout=60)
        key = {"Authorization": f"Bearer {MASTER_KEY}"}
        alone = Client(await stack.enter_async_context(http), callers[-1], key, broker=False)
        await asyncio.gather(*(client.run(end) for client in (*clients, alone)))
    return [timed for client in clients for timed in client.timed], alone.timed


def _figure(
    through: list[Timed], direct: list[Timed], spans: list[tuple[float, float, str]], metrics: str
) -> Figure:
    shares = defaultdict(list)
    for timed in through:
        shares[timed.kind].append(1000 * _share(timed, spans))
    everything = [share for kind in shares.values() for share in kind]
    alone = [1000 * _share(timed, spans) for timed in direct]
    slowest = max(shares, key=lambda kind: percentile(shares[kind], 0.99))
    return Figure(
        "broker_share",
        percentile(everything, 0.99),
        "ms",
        "<= 30",
        f"{len(everything)} calls of {PODS} pods, median {percentile(everything, 0.5):.1f} ms; slowest kind "
        f"{slowest}: {percentile(shares[slowest], 0.99):.0f} ms; without a broker the same measuring gives "
        f"{percentile(alone, 0.99):.1f} ms; {_own_metric(metrics)}",
    )


def _share(timed: Timed, spans: Iterable[tuple[float, float, str]]) -> float:
    """Give the seconds of a call in which LiteLLM had nothing of it.

    What the broker asks for several calls at once (readiness, the table, patterns, whether there is a
    database) counts for each that may have waited for it, as far as it overlaps.
    """
    mine = sorted(
        (max(begun, timed.begun), min(ended, timed.ended))
        for begun, ended, what in spans
        if begun < timed.ended
        and ended > timed.begun
        and (any(_names(what, key) for key in timed.keys) or _common(timed.kind, what))
    )
    had, until = 0.0, timed.begun
    for begun, ended in mine:
        had += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    return timed.ended - timed.begun - had


def _names(what: str, key: str) -> bool:
    """Tell whether this very name is in it, not one that goes on with another digit."""
    return any(f"{key}{end}" in what for end in ('"', "&", "/", " "))


_WHOLE_TABLE: Final = "GET /v2/model/info?page="
_OF_A_NEW_NAME: Final = (_WHOLE_TABLE, "wildcard_only", "/v1/models", "/model/registrar-nobody/")
_COMMON: Final = {
    "ready": ("/health/readiness",),
    "own rows": (_WHOLE_TABLE,),
    "siblings": _OF_A_NEW_NAME,
    "create": _OF_A_NEW_NAME,
}


def _common(kind: str, what: str) -> bool:
    return any(part in what for part in _COMMON.get(kind, ()))


def _own_metric(text: str) -> str:
    """Say what the broker's own histogram says of its own part: the bucket that holds 99 of 100 calls."""
    within: defaultdict[float, float] = defaultdict(float)
    for line in text.splitlines():
        if "_call_seconds_bucket{" in line and 'part="own"' in line:
            bound = line.partition('le="')[2].partition('"')[0]
            within[float(bound)] += float(line.rpartition(" ")[2])
    least = min(bound for bound, count in within.items() if count >= 0.99 * within[float("inf")])
    return f"by its own metrics 99 of 100 take it up to {1000 * least:g} ms"
