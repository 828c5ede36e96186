"""The alerts of the chart, by Prometheus' own promtool, of what the processes themselves export."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from sidecar.broker_contract import DrainReport, State
from tests.chart.exported import World
from tests.chart.promtool import alerts, promtool, rules_file, told
from tests.chart.rendering import NAMESPACE, RELEASE, one, rendered, values
from tests.metrics.processes import LATEST, Broker, Process, Webhook
from tests.metrics.queries import asked, unknown
from tests.peers.helm import ROOT
from webhook.broker.key_abilities import Abilities, Ability
from webhook.broker.shapes import Outcome, Rule
from webhook.living.figures import Judged, Kind, PodFigures
from webhook.reaper.metrics import Figures
from webhook.reaper.registrars import RegistrarFigures
from webhook.reaper.shapes import Brake, Failure, RowState
from webhook.reaper.shapes import Reason as Gone
from webhook.reasons import Reason

pytestmark = pytest.mark.cluster

ON: Final = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
WELL: Final = World(NAMESPACE, RELEASE)
_DAY = 86400.0


def of_webhook(change: Callable[[Webhook], None]) -> Callable[[Process], None]:
    """Do that to replicas of the webhook only."""
    return lambda process: change(process) if isinstance(process, Webhook) else None


def of_broker(change: Callable[[Broker], None]) -> Callable[[Process], None]:
    """Do that to replicas of the broker only."""
    return lambda process: change(process) if isinstance(process, Broker) else None


def pods(not_started: int, missed: Mapping[Reason, int]) -> Callable[[Process], None]:
    """Have the leader find these pods."""

    def found(webhook: Webhook) -> None:
        webhook.living.pods = PodFigures({Kind("3", current=True): 7}, not_started=not_started, missed=missed)

    return of_webhook(found)


def judged(now: int, later: int) -> Callable[[Process], None]:
    """Have the leader judge living servers so."""

    def found(webhook: Webhook) -> None:
        webhook.living.judged = Judged(at=0.0, judged=7, refused_now=now, refused_later=later)

    return of_webhook(found)


def leads(process: Webhook | Broker, leading: bool) -> None:  # noqa: FBT001 - as it is set
    """Lead or not, from now on."""
    process.leads = leading


def registrars(broker: Broker, states: Mapping[str, int], not_routable: Mapping[str, int]) -> None:
    """Have the leader find registrars in these states."""
    broker.reaper.figures = Figures(at=LATEST, registrars=RegistrarFigures(states, not_routable))


def rows(broker: Broker, found: Mapping[RowState, int], *held: Brake, at: float = LATEST) -> None:
    """Have the leader find these rows, and be held by these brakes."""
    broker.reaper.figures = Figures(at=at, rows=Counter(found), held=frozenset(held))


def bad_file(process: Process) -> None:
    """Have a file that cannot be taken as it is now."""
    process.file_is_good = False


def answered_in_part(broker: Broker) -> None:
    """Have one request to LiteLLM answered and another one not."""
    broker.metrics.litellm(Outcome.OK)
    broker.metrics.litellm(Outcome.NO_ANSWER)


def fail(broker: Broker) -> None:
    """Answer two of a dozen calls with what LiteLLM answers while its database is away."""
    for _ in range(2):
        broker.metrics.call("create", 500, {"litellm": 0.2})


# Each alert, and the world in which it fires, it alone.
FIRES: Final[dict[str, World]] = {
    "LitellmRegistrarWebhookDown": replace(WELL, down=frozenset({f"{RELEASE}-webhook"})),
    "LitellmRegistrarBrokerDown": replace(WELL, down=frozenset({f"{RELEASE}-broker"})),
    "LitellmRegistrarWebhookErrors": replace(
        WELL, first=of_webhook(lambda it: it.metrics.review("/mutate", "failed", "internal_error", 0.1))
    ),
    "LitellmRegistrarPodsMissed": replace(WELL, first=pods(0, {Reason.MISSED: 3})),
    "LitellmRegistrarNotStarted": replace(WELL, first=pods(2, {})),
    "LitellmRegistrarServersRefused": replace(WELL, first=judged(0, 1)),
    "LitellmRegistrarNobodyLooks": replace(WELL, every=of_webhook(lambda it: leads(it, leading=False))),
    "LitellmRegistrarRulesHeldBack": replace(WELL, every=of_webhook(lambda it: it.metrics.held_back.set(3))),
    "LitellmRegistrarWebhookCertificateEnds": replace(
        WELL, first=of_webhook(lambda it: it.tls.ends("leaf", 13 * _DAY))
    ),
    "LitellmRegistrarBrokerCertificateEnds": replace(
        WELL, first=of_broker(lambda it: it.tls.ends("leaf", 13 * _DAY))
    ),
    "LitellmRegistrarWebhookCertificateRefused": replace(
        WELL, first=of_webhook(lambda it: it.tls.verifies.set(0))
    ),
    "LitellmRegistrarBrokerCertificateRefused": replace(
        WELL, first=of_broker(lambda it: it.tls.verifies.set(0))
    ),
    "LitellmRegistrarWebhookBundleNotPublished": replace(
        WELL, every=of_webhook(lambda it: it.tls.published.set(0))
    ),
    "LitellmRegistrarBrokerBundleNotPublished": replace(
        WELL, every=of_broker(lambda it: it.tls.published.set(0))
    ),
    "LitellmRegistrarWebhookFileNotTaken": replace(WELL, first=of_webhook(bad_file)),
    "LitellmRegistrarBrokerFileNotTaken": replace(WELL, first=of_broker(bad_file)),
    "LitellmRegistrarLitellmUnreachable": replace(
        WELL, first=of_broker(lambda it: it.metrics.refusal(Rule.CANNOT_ASK_LITELLM))
    ),
    "LitellmRegistrarNotRoutable": replace(
        WELL, first=of_broker(lambda it: registrars(it, {}, {State.WAITING: 2}))
    ),
    "LitellmRegistrarRowsBlocked": replace(
        WELL, first=of_broker(lambda it: rows(it, {RowState.REGISTERED: 6, RowState.BLOCKED_BY_REAPER: 1}))
    ),
    "LitellmRegistrarDrainsCut": replace(
        WELL, first=of_broker(lambda it: it.metrics.drained(DrainReport("overdue", {}, 1)))
    ),
    "LitellmRegistrarReaperHeld": replace(WELL, first=of_broker(lambda it: rows(it, {}, Brake.SHARE))),
    "LitellmRegistrarReaperFails": replace(
        WELL, first=of_broker(lambda it: it.reaper.failures.labels(Failure.LITELLM).inc())
    ),
    "LitellmRegistrarNobodyReaps": replace(WELL, every=of_broker(lambda it: leads(it, leading=False))),
    "LitellmRegistrarKubernetesUnreachable": replace(
        WELL, first=of_broker(lambda it: it.metrics.refusal(Rule.CANNOT_ASK_KUBERNETES))
    ),
    "LitellmRegistrarKeyLacks": replace(
        WELL, every=of_broker(lambda it: it.metrics.key(Abilities(missing=(next(iter(Ability)),))))
    ),
    "LitellmRegistrarCallsFail": replace(WELL, every=of_broker(fail)),
    "LitellmRegistrarBrokerErrors": replace(
        WELL, first=of_broker(lambda it: it.metrics.refusal(Rule.INTERNAL_ERROR))
    ),
}

# Alerts with more than one sign: the others, each by itself.
ALSO_FIRES: Final[list[tuple[str, World]]] = [
    (
        "LitellmRegistrarLitellmUnreachable",
        replace(WELL, every=of_broker(lambda it: it.metrics.litellm(Outcome.NOT_SENT))),
    ),
    (
        "LitellmRegistrarLitellmUnreachable",
        replace(WELL, every=of_broker(lambda it: it.metrics.key(Abilities(unknown="ConnectError")))),
    ),
    ("LitellmRegistrarNobodyReaps", replace(WELL, first=of_broker(lambda it: rows(it, {}, at=0.0)))),
]

# Worlds in which nobody should be woken.
QUIET: Final[dict[str, World]] = {
    "all is well": WELL,
    "one replica of each is away": replace(
        WELL, down=frozenset({f"{RELEASE}-webhook-1", f"{RELEASE}-broker-1"})
    ),
    "rules refuse what they are for": replace(
        WELL, every=of_broker(lambda it: it.metrics.refusal(Rule.NAME_TAKEN))
    ),
    "some requests to LiteLLM have no answer": replace(WELL, every=of_broker(answered_in_part)),
    "the reaper has removed what a crash has left": replace(
        WELL, first=of_broker(lambda it: it.reaper.removed.labels(Gone.POD_GONE).inc())
    ),
    "drains end without a cut": replace(
        WELL, every=of_broker(lambda it: it.metrics.drained(DrainReport("done", {"propagating": 35.0}, 0)))
    ),
    "the key can do more than need be": replace(
        WELL, every=of_broker(lambda it: it.metrics.key(Abilities(master=True)))
    ),
    "pods are refused by the policy": replace(
        WELL, every=of_webhook(lambda it: it.metrics.review("/validate", "denied", "policy_violation", 0.1))
    ),
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the rendered groups of alerts as a file of Prometheus' own."""
    given = values(metrics=ON, admission={"mutateFailurePolicy": "Fail"})
    return rules_file(given, tmp_path_factory.mktemp("rules"))


def test_prometheus_takes_the_rules(rules: Path) -> None:
    """Promtool finds nothing wrong with expressions, labels and templates, nor two rules of one name."""
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules))
    assert f"{len(FIRES)} rules found" in said


@pytest.mark.parametrize("name", FIRES)
def test_an_alert_fires_alone(rules: Path, name: str) -> None:
    """In the state that it is about, as the processes export it, this alert fires, and no other."""
    told(rules, FIRES[name].series(), [name])


@pytest.mark.parametrize(("name", "world"), ALSO_FIRES)
def test_an_alert_fires_by_each_of_its_signs(rules: Path, name: str, world: World) -> None:
    """One is enough: it need not come with the others."""
    told(rules, world.series(), [name])


@pytest.mark.parametrize("state", QUIET)
def test_nobody_is_woken_without_need(rules: Path, state: str) -> None:
    """No alert fires."""
    told(rules, QUIET[state].series(), [])


def test_every_alert_has_its_state(rules: Path) -> None:
    """There is no alert that no test shows firing; each says how bad it is, what it means and what to do."""
    assert {alert["alert"] for alert in alerts(rules)} == set(FIRES)
    for alert in alerts(rules):
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert set(alert["annotations"]) == {"summary", "description"}


def test_the_readme_has_every_alert_with_its_severity(rules: Path) -> None:
    """Its table names each that can be rendered, and no other."""
    section = (ROOT / "README.md").read_text().partition("### Alerts\n")[2].partition("\n### ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    named = {name: severity.strip() for names, severity in rows for name in re.findall(r"`(\w+)`", names)}
    assert named == {alert["alert"]: alert["labels"]["severity"] for alert in alerts(rules)}


def test_alerts_ask_for_what_is_exported(rules: Path) -> None:
    """Every series in an expression, and every label by which it chooses; `up` is Prometheus' own."""
    queries = [alert["expr"] for alert in alerts(rules)]
    assert any(asked(query) for query in queries)
    assert [wrong for query in queries for wrong in unknown(query)] == []


def test_an_alert_is_about_its_own_release(rules: Path) -> None:
    """What goes on in another namespace is not its business, and does not stand for what is missing here."""
    elsewhere = replace(WELL, namespace="elsewhere", first=pods(2, {Reason.MISSED: 3}))
    told(rules, elsewhere.series(), ["LitellmRegistrarBrokerDown", "LitellmRegistrarWebhookDown"])


def test_what_an_alert_says(rules: Path) -> None:
    """Its texts name what it is about, in words for people."""
    world = replace(WELL, first=pods(0, {Reason.MISSED: 3}))
    about = next(alert for alert in alerts(rules) if alert["alert"] == "LitellmRegistrarPodsMissed")
    expected = {
        "exp_labels": {"reason": "missed", "severity": "warning"},
        "exp_annotations": {
            "summary": "Living pods ask for a registrar and have none: 3 for the reason missed.",
            "description": about["annotations"]["description"],
        },
    }
    test = {
        "interval": "1m",
        "input_series": world.series(),
        "alert_rule_test": [{"eval_time": "30m", "alertname": about["alert"], "exp_alerts": [expected]}],
    }
    file = rules.parent / "said.json"
    file.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", str(file))


def test_direct_mode_is_told_of_no_broker() -> None:
    """Where no broker is installed no alert waits for one."""
    rule = one(rendered({"mode": "direct", "metrics": ON}), "PrometheusRule")
    assert "broker" not in json.dumps(rule["spec"]).lower()


def test_nobody_waits_for_rules_that_nothing_holds_back() -> None:
    """Where nothing has failurePolicy Fail there is no alert about what is held back."""
    rule = one(rendered(values(metrics=ON)), "PrometheusRule")
    assert "rules_held_back" not in json.dumps(rule["spec"])


def test_the_service_monitor_finds_the_ports_of_both() -> None:
    """It selects the Services of webhook and broker, each with a port of that name, and nothing else's."""
    manifests = rendered(values(metrics=ON))
    monitor = one(manifests, "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    services = [each for each in manifests if each["kind"] == "Service"]
    chosen = [each for each in services if wanted <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in chosen] == [f"{RELEASE}-broker", f"{RELEASE}-webhook"]
    for service in chosen:
        targets = {port["name"]: port["targetPort"] for port in service["spec"]["ports"]}
        assert [targets[endpoint["port"]] for endpoint in monitor["endpoints"]] == ["health"]
