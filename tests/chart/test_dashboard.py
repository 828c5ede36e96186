"""The dashboard as Grafana's sidecar finds it, and its queries as Prometheus reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from sidecar.broker_contract import DrainReport, State
from sidecar.litellm import OK, Call
from sidecar.reasons import Reason as Problem
from tests.chart.exported import MINUTES, World, courses
from tests.chart.promtool import promtool
from tests.chart.rendering import JSON, NAMESPACE, RELEASE, of_kind, one, rendered, values
from tests.metrics.processes import Broker, Process, Webhook, scraped
from tests.standins.registrar import cluster
from webhook.broker.shapes import Outcome, Rule
from webhook.policy.verdict import Judgement, Mode, Violation
from webhook.reaper.shapes import Failure
from webhook.reasons import Reason

pytestmark = pytest.mark.cluster

NAME: Final = f"{RELEASE}-dashboard"
# What Grafana puts in place of its variables.
FILLED: Final = {"$__rate_interval": "5m", "$namespace": NAMESPACE}


def config_map(**dashboard: object) -> JSON:
    """Give the rendered ConfigMap."""
    return one(rendered(values(metrics={"dashboard": {"enabled": True, **dashboard}})), "ConfigMap", NAME)


def test_grafana_finds_the_dashboard_by_its_label() -> None:
    """The one that its chart's sidecar looks for, or whatever the values say beside it."""
    assert config_map()["metadata"]["labels"]["grafana_dashboard"] == "1"
    found = config_map(labels={"team": "ops"}, annotations={"grafana_folder": "LiteLLM"})["metadata"]
    assert found["labels"]["team"] == "ops"
    assert found["annotations"] == {"grafana_folder": "LiteLLM"}


def test_without_the_value_there_is_no_dashboard() -> None:
    """Nobody gets what nobody has asked for."""
    assert NAME not in [found["metadata"]["name"] for found in of_kind(rendered(values()), "ConfigMap")]


def queries() -> list[str]:
    """Give every panel's, as Helm has rendered them, with Grafana's variables filled in."""
    ((name, text),) = config_map()["data"].items()
    assert name.endswith(".json")
    found = [target["expr"] for panel in json.loads(text)["panels"] for target in panel.get("targets", ())]
    for variable, value in FILLED.items():
        found = [query.replace(variable, value) for query in found]
    return found


def busy(process: Process) -> None:
    """Have all of it happen once a minute."""
    if isinstance(process, Webhook):
        process.metrics.review("/validate", "denied", Reason.POLICY_VIOLATION, 0.001)
        violation = Violation("code.trustRemoteCode", "spec", "true", "false", Mode.ENFORCE)
        process.metrics.judged(Judgement((violation, violation._replace(exception="an-exception"))))
    if isinstance(process, Broker):
        process.metrics.refusal(Rule.RATE)
        process.metrics.litellm(Outcome.OK)
        process.metrics.report(State.SERVING)
        process.metrics.routable(1.0)
        process.metrics.drained(DrainReport("done", {"propagating": 35.0}, 1))
        process.reaper.failures.labels(Failure.LITELLM).inc()


async def of_a_registrar() -> list[dict[str, str]]:
    """Give the series of one that serves, drains and has its problems."""
    async with cluster() as here:
        pod = here.start()
        await pod.serve()
        before = scraped(pod.metrics.page()[1])
        pod.metrics.looked(pod.server.seen)
        pod.metrics.answered(Call.READ, OK)
        pod.metrics.said(Problem.INTERNAL_ERROR)
        await pod.drained()
        place = {"namespace": "team-a", "pod": "qwen-0", "job": f"{NAMESPACE}/{RELEASE}-registrars"}
        return [*courses(place, before, scraped(pod.metrics.page()[1]))]


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    """Promtool finds nothing wrong with any of them."""
    rules = [{"record": f"query:number_{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


async def test_every_query_gives_a_picture_where_there_is_something_to_see(tmp_path: Path) -> None:
    """Of what processes export while all of it happens; a rate of a gauge, or a wrong value, gives none."""
    world = World(NAMESPACE, RELEASE, every=busy)
    tests = {
        "interval": "1m",
        "input_series": [*world.series(), *await of_a_registrar()],
        "promql_expr_test": [
            {
                "expr": f"count({query}) > bool 0",
                "eval_time": f"{MINUTES}m",
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
            for query in queries()
        ],
    }
    file = tmp_path / "tests.json"
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [tests]}))
    promtool("test", "rules", str(file))
