"""The alerts with `mode: direct`: by what registrars themselves export, as the PodMonitor has it read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from sidecar.drain import Outcome, Stage
from sidecar.litellm import OK, Call
from sidecar.reasons import Reason
from tests.chart.exported import World, courses
from tests.chart.promtool import alerts, promtool, rules_file, told
from tests.chart.rendering import NAMESPACE, RELEASE
from tests.metrics.processes import scraped
from tests.metrics.queries import asked, unknown
from tests.standins.registrar import Pod, cluster
from tests.standins.scripted import REFUSED

pytestmark = pytest.mark.cluster

ON: Final = {
    "mode": "direct",
    "metrics": {"prometheusRule": {"enabled": True}, "podMonitor": {"enabled": True}},
}
PLACE: Final = {"namespace": "team-a", "pod": "qwen-0", "job": f"{NAMESPACE}/{RELEASE}-registrars"}

# What becomes of a registrar that serves, before it is read for the second time.
Fate = Callable[[Pod], Awaitable[None]]


async def goes_on(pod: Pod) -> None:
    """Serve on."""
    pod.metrics.answered(Call.READ, OK)


async def is_blocked(pod: Pod) -> None:
    """Have the server refuse connections."""
    pod.server.seen = REFUSED
    await pod.clock.advance(10)


async def somebody_blocks(pod: Pod) -> None:
    """Have somebody block the row."""
    for row in pod.table.rows.values():
        row["blocked"] = True
    await pod.clock.advance(80)


async def cuts(pod: Pod) -> None:
    """Have a drain cut requests."""
    pod.metrics.drained(Outcome(Stage.OVERDUE, 120.0, cut=3, rows_left=0))


async def is_not_answered(pod: Pod) -> None:
    """Have LiteLLM answer no more."""
    pod.metrics.answered(Call.READ, Reason.LITELLM_UNREACHABLE)


async def is_answered_in_part(pod: Pod) -> None:
    """Have LiteLLM answer the next time."""
    await is_not_answered(pod)
    await goes_on(pod)


async def series(fate: Fate) -> list[dict[str, str]]:
    """Give what Prometheus has of a release that is well, and of a registrar to which this happens."""
    async with cluster() as here:
        pod = here.start()
        await pod.serve()
        before = scraped(pod.metrics.page()[1])
        await fate(pod)
        after = scraped(pod.metrics.page()[1])
    return [*World(NAMESPACE, RELEASE).series(), *courses(PLACE, before, after)]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the rendered groups of alerts as a file of Prometheus' own."""
    return rules_file(ON, tmp_path_factory.mktemp("direct"))


def test_prometheus_takes_the_rules(rules: Path) -> None:
    """Promtool finds nothing wrong with them, and they ask for what is exported."""
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules))
    queries = [alert["expr"] for alert in alerts(rules)]
    assert any("litellm_registrar_state" in asked(query) for query in queries)
    assert [wrong for query in queries for wrong in unknown(query)] == []


@pytest.mark.parametrize(
    ("fate", "name"),
    [
        (is_blocked, "LitellmRegistrarNotRoutable"),
        (somebody_blocks, "LitellmRegistrarRowsBlocked"),
        (cuts, "LitellmRegistrarDrainsCut"),
        (is_not_answered, "LitellmRegistrarLitellmUnreachable"),
    ],
)
async def test_an_alert_fires_alone(rules: Path, fate: Fate, name: str) -> None:
    """In the state that it is about, as a registrar exports it, this alert fires, and no other."""
    told(rules, await series(fate), [name])


@pytest.mark.parametrize("fate", [goes_on, is_answered_in_part])
async def test_nobody_is_woken_without_need(rules: Path, fate: Fate) -> None:
    """A registrar that serves, before a LiteLLM that answers at least the next time."""
    told(rules, await series(fate), [])


def test_without_the_pod_monitor_nobody_waits_for_registrars(tmp_path: Path) -> None:
    """Their metrics are read by nobody then."""
    without = rules_file({**ON, "metrics": {"prometheusRule": {"enabled": True}}}, tmp_path)
    names = {alert["alert"] for alert in alerts(without)}
    assert "LitellmRegistrarPodsMissed" in names
    assert "LitellmRegistrarNotRoutable" not in names
