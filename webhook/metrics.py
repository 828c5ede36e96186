"""The webhook's metrics, for Prometheus.

No label of any holds what comes with a request (names, namespaces): the number of series is bounded by the
code and the policy, whatever is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from webhook.policy.verdict import Judgement
from webhook.process_metrics import ProcessMetrics
from webhook.reasons import Reason

PREFIX: Final = "litellm_registrar_webhook"
# Seconds. A small pod is decided in under 1 ms, one of 3 MB in some 100 ms; the API server waits 5 s.
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

# Where reviews come to.
_PATHS: Final = ("/mutate", "/validate")


class Metrics(ProcessMetrics):
    """What is counted, in a registry of its own."""

    def __init__(self) -> None:
        super().__init__(PREFIX)
        self._reviews = Counter(
            f"{PREFIX}_reviews",
            "Reviews answered, by path, what was decided and the reason's name",
            ("path", "decision", "reason"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            f"{PREFIX}_review_seconds",
            "Time from a review's bytes to those of its answer",
            ("path",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._violations = Counter(
            f"{PREFIX}_policy_violations",
            "Violations of the policy that no exception let pass, by rule and what became of them",
            ("rule", "mode"),
            registry=self.registry,
        )
        self._exceptions = Counter(
            f"{PREFIX}_policy_exceptions_used",
            "Violations that an exception let pass, by its id",
            ("id",),
            registry=self.registry,
        )
        self._policy = Gauge(
            f"{PREFIX}_policy_info",
            "1 for the policy that counts now, by its hash",
            ("hash",),
            registry=self.registry,
        )
        self.held_back = Gauge(
            f"{PREFIX}_rules_held_back",
            "Webhooks of failurePolicy Fail that are not in force, until the API server reaches this webhook",
            registry=self.registry,
        )
        # An error of our own that never happened is 0, not absent: an alert sees the first.
        for path in _PATHS:
            self._reviews.labels(path, "failed", Reason.INTERNAL_ERROR)
        self._known_exceptions: frozenset[str] = frozenset()
        self._by_rule: dict[tuple[str, str], Counter] = {}
        self._by_review: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def review(self, path: str, decision: str, reason: str, seconds: float) -> None:
        """Count an answered review."""
        series = self._by_review.get((path, decision, reason))
        if series is None:  # the library takes longer to find a series than to count in it
            series = self._reviews.labels(path, decision, reason), self._seconds.labels(path)
            self._by_review[path, decision, reason] = series
        series[0].inc()
        series[1].observe(seconds)

    def judged(self, judgement: Judgement) -> None:
        """Count what a policy found."""
        for violation in judgement.violations:
            if violation.exception:
                self._exceptions.labels(violation.exception).inc()
            else:
                key = violation.rule, violation.mode.value
                if key not in self._by_rule:
                    self._by_rule[key] = self._violations.labels(*key)
                self._by_rule[key].inc()

    def policy(self, digest: str, exceptions: Iterable[str]) -> None:
        """Take note of another policy: of exceptions that are not in it any more there are no series."""
        self._policy.clear()
        self._policy.labels(digest).set(1)
        known = frozenset(exceptions)
        for gone in self._known_exceptions - known:
            self._exceptions.remove(gone)
        for one in known:
            self._exceptions.labels(one)
        self._known_exceptions = known
