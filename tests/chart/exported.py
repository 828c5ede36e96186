"""What Prometheus reads of webhook and broker, in states brought about by the processes' own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.metrics.processes import Broker, Process, Scrape, Webhook

# So many minutes the series of a test last, from 1970-01-01T00:00Z on: that is promtool's clock.
MINUTES = 60


def _nothing(_: Process) -> None:
    """Leave a replica as it is."""


@dataclass(frozen=True)
class World:
    """Two replicas of webhook and broker each, of which one leads.

    `every` is done to each of them once a minute, `first` to the first of each kind alone; `down` are jobs,
    and single pods, that Prometheus does not reach.
    """

    namespace: str
    release: str
    every: Callable[[Process], None] = _nothing
    first: Callable[[Process], None] = _nothing
    down: frozenset[str] = field(default_factory=frozenset)

    def series(self) -> list[dict[str, str]]:
        """Give what Prometheus has of it, in the notation of promtool's tests: one value a minute."""
        replicas: dict[str, list[Process]] = {
            "webhook": [Webhook(leads=True), Webhook(leads=False)],
            "broker": [Broker(leads=True), Broker(leads=False)],
        }
        return [
            line
            for kind, processes in replicas.items()
            for number, process in enumerate(processes)
            for line in self._of(kind, number, process)
        ]

    def _of(self, kind: str, number: int, process: Process) -> Iterator[dict[str, str]]:
        job = f"{self.release}-{kind}"
        pod = f"{job}-{number}"
        place = {"namespace": self.namespace, "job": job, "pod": pod}
        is_up = not {job, pod} & self.down
        yield {"series": _written("up", place), "values": f"{int(is_up)}+0x{MINUTES}"}
        before = process.scrape()
        process.work()
        self.every(process)
        if number == 0:
            self.first(process)
        if is_up:
            yield from courses(place, before, process.scrape())


def courses(place: Mapping[str, str], before: Scrape, after: Scrape) -> Iterator[dict[str, str]]:
    """Give the series of a process at that place (labels of the target), from its first two minutes."""
    for (name, labels), (kind, value) in after.items():
        values = _course(kind, before.get((name, labels)), value)
        yield {"series": _written(name, {**dict(labels), **place}), "values": values}


def _course(kind: str, before: tuple[str, float] | None, now: float) -> str:
    """Go on as in the first minute if it is a counter; stay as it is now if it is not.

    A counter that the process had not at first appears after ten minutes.
    """
    if kind not in {"counter", "histogram"}:
        return f"{now:.0f}+0x{MINUTES}"
    if before is None:
        return f"_x10 {now:.6f}+{now:.6f}x{MINUTES}"
    return f"{before[1]:.6f}+{now - before[1]:.6f}x{MINUTES}"


def _written(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
