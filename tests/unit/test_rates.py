"""Token buckets of pods and namespaces."""

import pytest

from webhook.broker import rates
from webhook.broker.rates import Limit, Rates

WIDE = Limit(1e6, 1e6)


def granted(limits: Rates, namespace: str, pod: str, now: float, most: int = 1000) -> int:
    """Count the calls that are let through at one moment."""
    return next(count for count in range(most) if limits.take(namespace, pod, now))


def test_a_pod_may_ask_in_bursts_and_then_at_its_rate() -> None:
    """Five at once, then two a second, and never more than five at once again."""
    limits = Rates(Limit(2, 5), WIDE)
    assert granted(limits, "a", "x", 0.0) == 5
    assert granted(limits, "a", "x", 1.0) == 2
    assert granted(limits, "a", "x", 1000.0) == 5


def test_who_is_refused_is_told_when_to_come_again() -> None:
    """After exactly the seconds that were told there is one call, and only one."""
    limits = Rates(Limit(2, 1), WIDE)
    assert limits.take("a", "x", 10.0) == 0
    wait = limits.take("a", "x", 10.25)
    assert wait == 0.25
    assert limits.take("a", "x", 10.25 + wait) == 0
    assert limits.take("a", "x", 10.25 + wait) == 0.5


def test_pods_do_not_use_up_one_another() -> None:
    """One pod's burst leaves its neighbour's, and that of a pod of the same name elsewhere, as it was."""
    limits = Rates(Limit(1, 3), WIDE)
    assert [granted(limits, *pod, 0.0) for pod in (("a", "x"), ("a", "y"), ("b", "x"))] == [3, 3, 3]


def test_a_namespace_has_a_bound_of_its_own() -> None:
    """However many pods ask, together they get what their namespace may; another namespace gets its own."""
    limits = Rates(WIDE, Limit(1, 4))
    assert sum(limits.take("a", f"x{number}", 0.0) == 0 for number in range(100)) == 4
    assert granted(limits, "b", "x", 0.0) == 4


def test_what_is_refused_costs_nothing() -> None:
    """A pod that its namespace's bound stops keeps its own calls for later."""
    limits = Rates(Limit(0.001, 2), Limit(1, 1))
    assert [limits.take("a", "x", 0.0) == 0 for _ in range(10)] == [True] + [False] * 9
    assert limits.take("a", "x", 1.0) == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more pods than are remembered the longest silent one is forgotten."""
    monkeypatch.setattr(rates, "_MOST", 10)
    limits = Rates(Limit(1, 1), WIDE)
    for number in range(100):
        assert limits.take("a", f"x{number}", 0.0) == 0
    assert len(limits._pods._held) == 10
    assert limits.take("a", "x99", 0.0) > 0
