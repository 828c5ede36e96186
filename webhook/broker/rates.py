"""How often a pod, and all pods of a namespace together, may ask: token buckets, told the time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

# Buckets that are remembered of each kind; of those the longest untouched, which is full again or nearly so,
# is forgotten.
_MOST: Final = 20_000


@dataclass(frozen=True, slots=True)
class Limit:
    """`rate` calls a second on average, `burst` of them at once."""

    rate: float
    burst: float


class Rates:
    """Counts the calls of each pod and each namespace; times are seconds of one clock."""

    def __init__(self, pod: Limit, namespace: Limit) -> None:
        self._pods = _Buckets(pod)
        self._namespaces = _Buckets(namespace)

    def take(self, namespace: str, pod: str, now: float) -> float:
        """Take one call out of both buckets: 0; or out of neither: the seconds after which both hold one."""
        buckets = ((self._pods, (namespace, pod)), (self._namespaces, namespace))
        wait = max(kind.wait(key, now) for kind, key in buckets)
        if not wait:
            for kind, key in buckets:
                kind.take(key, now)
        return wait


class _Buckets:
    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        # What each held, and when that was; who has not asked has a full one.
        self._held: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait(self, key: Hashable, now: float) -> float:
        """Give the seconds until this bucket holds a call."""
        return max(0.0, 1.0 - self._holds(key, now)) / self._limit.rate

    def take(self, key: Hashable, now: float) -> None:
        """Take a call out of this bucket."""
        self._held[key] = self._holds(key, now) - 1.0, now
        self._held.move_to_end(key)
        if len(self._held) > _MOST:
            self._held.popitem(last=False)

    def _holds(self, key: Hashable, now: float) -> float:
        held, then = self._held.get(key, (self._limit.burst, now))
        return min(self._limit.burst, held + max(0.0, now - then) * self._limit.rate)
