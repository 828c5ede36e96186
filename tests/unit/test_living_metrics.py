"""What is exported of what lives: bounded, and only what somebody keeps up to date."""

from prometheus_client import CollectorRegistry, generate_latest

from webhook.living.figures import Judged, Kind, PodFigures
from webhook.living.metrics import LivingMetrics
from webhook.reasons import Reason


def lines(registry: CollectorRegistry) -> list[str]:
    """Give the samples that are exported."""
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_what_nobody_keeps_up_to_date_is_not_exported() -> None:
    """A replica that does not lead says so, and nothing else of what lives."""
    registry = CollectorRegistry()
    LivingMetrics(registry, "x", lambda: False, lambda: 3)
    assert lines(registry) == ["x_leading 0.0", "x_events_lost 3.0"]


def test_all_figures_of_the_leader() -> None:
    """Missed pods by why, 0 where there are none; no name of a pod or namespace is in it."""
    registry = CollectorRegistry()
    metrics = LivingMetrics(registry, "x", lambda: True, lambda: 0)
    metrics.pods = PodFigures(
        {Kind("1", current=False): 3, Kind("other", current=True): 2},
        not_started=2,
        missed={Reason.BAD_LABEL: 1},
    )
    metrics.judged = Judged(at=1_767_225_600.0, judged=4, refused_now=1, refused_later=2)
    assert sorted(lines(registry)) == [
        "x_events_lost 0.0",
        "x_injected_pods 5.0",
        "x_injected_pods_not_started 2.0",
        "x_leading 1.0",
        'x_missed_pods{reason="bad_label"} 1.0',
        'x_missed_pods{reason="missed"} 0.0',
        'x_registrars{contract="1",image="current"} 0.0',
        'x_registrars{contract="1",image="other"} 3.0',
        'x_registrars{contract="2",image="current"} 0.0',
        'x_registrars{contract="2",image="other"} 0.0',
        'x_registrars{contract="3",image="current"} 0.0',
        'x_registrars{contract="3",image="other"} 0.0',
        'x_registrars{contract="other",image="current"} 2.0',
        'x_registrars{contract="other",image="other"} 0.0',
        "x_servers_judged 4.0",
        "x_servers_judged_timestamp_seconds 1.7672256e+09",
        'x_servers_refused{when="exception_ends"} 2.0',
        'x_servers_refused{when="now"} 1.0',
    ]
