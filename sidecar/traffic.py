"""What is in flight at the server: the engine's gauges, else the sockets of its port."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final, Protocol

from sidecar.sockets import SocketSample

# Gauges and kept connections remember. A closed connection leaves no trace, and a short answer takes 10 to
# 20 ms: looked at ten times a second, two such requests a second went unseen for five seconds and the next
# one was lost (a real llama-server, a LiteLLM replica that reloaded late). A look costs a millisecond.
LOOK_WITH_GAUGES: Final = 0.5
LOOK_WITHOUT: Final = 0.015
# So long nothing may be in flight before arrivals count as over.
QUIET_SECONDS: Final = 5.0
ZEROS_IN_A_ROW: Final = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """Requests in flight, None when that is unknown (which is not zero), and whether others still speak."""

    in_flight: int | None
    spoken: bool = False


class Gauged(Protocol):
    """A server that may tell its requests in flight."""

    async def in_flight(self) -> int | None:
        """Give the number, None when it is unknown."""
        ...


class Sampled(Protocol):
    """Sockets that may tell connections in use."""

    def sample(self, probers: Collection[str]) -> SocketSample | None:
        """Look once; None when it cannot be told."""
        ...

    def listening(self) -> frozenset[int]:
        """Give what tells one start of the server from another; empty when it cannot be told."""
        ...


class Traffic:
    """Reads what is in flight. `probers` gives the addresses that the kubelet's probes come from."""

    def __init__(self, server: Gauged, sockets: Sampled, probers: Callable[[], Collection[str]]) -> None:
        self._server = server
        self._sockets = sockets
        self._probers = probers
        self.pause = LOOK_WITHOUT

    def listening(self) -> frozenset[int]:
        """Give what tells one start of the server from another; empty when it cannot be told."""
        return self._sockets.listening()

    async def look(self) -> Reading:
        """Read once; `pause` is how long to wait before the next time."""
        gauge = await self._server.in_flight()
        self.pause = LOOK_WITHOUT if gauge is None else LOOK_WITH_GAUGES
        return reading(gauge, self._sockets.sample(self._probers()))


def reading(gauge: int | None, sample: SocketSample | None) -> Reading:
    """Put the two sources together: the engine knows best what it works on, the sockets who still speaks."""
    if sample is None:
        return Reading(gauge)
    return Reading(sample.busy if gauge is None else gauge, sample.spoken_lately > 0)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Whether the server has come to rest; `active` is when something was last in flight, as far as known."""

    active: float
    zeros: int = 0

    def after(self, seen: Reading, now: float) -> Quiet:
        """Give what is known after one more reading."""
        if seen.in_flight == 0:
            return replace(self, zeros=0 if seen.spoken else self.zeros + 1)
        return Quiet(now)

    def reached(self, now: float, seconds: float) -> bool:
        """Tell whether nothing was in flight for so long, and none twice in a row."""
        return self.zeros >= ZEROS_IN_A_ROW and now - self.active >= seconds
