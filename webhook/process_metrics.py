"""What every process counts for Prometheus: a registry of its own, and whether its files are good."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics, generate_latest


class ProcessMetrics:
    """The registry of a process; `prefix` begins the names in it."""

    def __init__(self, prefix: str) -> None:
        # When each counter began: as many series again, which nobody asks for. (The library lacks its type.)
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._good = Gauge(
            f"{prefix}_file_good",
            "Whether the file as it is now is the one that counts: 0 if a bad one was not taken",
            ("file",),
            registry=self.registry,
        )

    def follow(self, file: str, is_good: Callable[[], bool]) -> None:
        """Show of a followed file, by its flag, whether it is good; asked when metrics are read."""
        self._good.labels(file).set_function(is_good)

    def text(self) -> bytes:
        """Give all of it in Prometheus' text format."""
        return generate_latest(self.registry)
