"""What is shown of certificates for Prometheus, by every process that serves with them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class TlsMetrics:
    """Gauges and counters in the registry of a process; `prefix` begins its names."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        self._ends = Gauge(
            f"{prefix}_tls_not_after_seconds",
            "When a certificate ends (seconds since 1970): leaf is the one that is served, ca the own "
            "CA that signs new ones",
            ("certificate",),
            registry=registry,
        )
        self.bad_pairs = Counter(
            f"{prefix}_tls_bad_pairs",
            "Certificates and keys that could not be served; the last good pair went on being served",
            registry=registry,
        )

    def ends(self, certificate: str, when: float) -> None:
        """Take note of when `leaf` or `ca` ends (seconds since 1970)."""
        self._ends.labels(certificate).set(when)


class OwnMetrics(TlsMetrics):
    """The same, and what an own CA adds to it."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        super().__init__(registry, prefix)
        self.verifies = Gauge(
            f"{prefix}_tls_leaf_verifies",
            "Whether the certificate that is served verifies against what is published: 0 if clients that go "
            "by it refuse the connection",
            registry=registry,
        )
        self.leading = Gauge(
            f"{prefix}_tls_leading",
            "Whether this replica is the one that renews and publishes",
            registry=registry,
        )
        self.published = Gauge(
            f"{prefix}_tls_bundle_published",
            "Whether the published CA bundle is the one that should be",
            registry=registry,
        )
        self._publications = Gauge(
            f"{prefix}_tls_publication_info",
            "1 for what is to be said of an object that publishes the bundle",
            ("object", "state"),
            registry=registry,
        )
        self._states: dict[str, str] = {}

    def publication(self, where: str, state: str) -> None:
        """Take note of the state of an object that publishes, like `configmaps/bundle`."""
        before = self._states.get(where)
        if before == state:
            return
        if before is not None:
            self._publications.remove(where, before)
        self._states[where] = state
        self._publications.labels(where, state).set(1)
