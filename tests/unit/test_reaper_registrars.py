"""Where registrars are, by what the broker has written of them into their pods."""

from collections import Counter
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from sidecar.broker_contract import TOKEN_VOLUME, State
from tests.injected import injected, running
from webhook.reaper.metrics import Figures, ReaperMetrics
from webhook.reaper.registrars import SILENT, STATES, RegistrarFigures, Told, count, told
from webhook.reaper.shapes import RowState, SeenPod
from webhook.registered import CONDITION

JSON = dict[str, Any]
MADE = "2026-11-21T10:00:00Z"
LATER = "2026-11-21T10:20:00Z"
NOW = "2026-11-21T10:30:00Z"
WAITS = Told(State.WAITING.value, routable=False, since=MADE)
SERVES = Told(State.SERVING.value, routable=True, since=MADE)


def telling(status: str = "", reason: str = "") -> JSON:
    """Give a running pod whose condition says this; without a status it has none."""
    found = running(injected("shop"))
    found["metadata"]["creationTimestamp"] = MADE
    if status:
        said = {"type": CONDITION, "status": status, "reason": reason, "lastTransitionTime": LATER}
        found["status"]["conditions"] = [{"type": "Ready", "status": "True"}, said]
    return found


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("True", "serving", Told("serving", routable=True, since=LATER)),
        ("False", "blocked:server_timeout", Told("blocked", routable=False, since=LATER)),
        ("False", "drained", Told("drained", routable=False, since=LATER)),
        ("", "", Told(SILENT, routable=False, since=MADE)),
        ("False", "flying:high", Told(SILENT, routable=False, since=LATER)),
        ("Unknown", "serving", Told("serving", routable=False, since=LATER)),
    ],
)
def test_a_pod_is_where_its_condition_says(status: str, reason: str, expected: Told) -> None:
    """Without one, or with a word that no registrar has, it has told nothing."""
    assert told(telling(status, reason)) == expected


def test_a_registrar_that_reaches_litellm_itself_is_not_waited_for() -> None:
    """It has no token for a broker, and tells nobody."""
    direct = telling()
    for container in direct["spec"]["initContainers"]:
        container["volumeMounts"] = [
            mount for mount in container["volumeMounts"] if mount["name"] != TOKEN_VOLUME
        ]
    assert told(direct) is None
    assert told({"spec": {"containers": [{"name": "vllm"}]}}) is None


def pod(uid: str, said: Told | None, *, deleting: bool = False, ended: bool = False) -> SeenPod:
    """Give what is kept of a pod."""
    return SeenPod("shop", uid, uid, "node-1", deleting=deleting, ended=ended, registrar=True, told=said)


def counted(*pods: SeenPod, served: frozenset[str] = frozenset(), before: str = NOW) -> RegistrarFigures:
    """Count these pods."""
    return count(pods, served, before)


def test_pods_are_counted_by_state_and_those_that_have_not_been_routable_for_too_long() -> None:
    """One that serves is routable, whatever else; one that is being deleted need not be any more."""
    found = counted(
        pod("a", SERVES),
        pod("b", WAITS),
        pod("c", WAITS, deleting=True),
        pod("d", WAITS._replace(state="blocked")),
        pod("e", WAITS, ended=True),
        pod("f", None),
    )
    assert found.states == {"serving": 1, "waiting": 2, "blocked": 1}
    assert found.not_routable == {"waiting": 1, "blocked": 1}


def test_a_pod_has_its_time() -> None:
    """Up to the very second since when it would be too long."""
    assert counted(pod("a", WAITS), before="2026-11-21T09:59:59Z").not_routable == {}
    assert counted(pod("a", WAITS), before=MADE).not_routable == {"waiting": 1}


def test_a_registrar_older_than_reports_is_judged_by_its_rows() -> None:
    """It never tells, and is routable by a row that LiteLLM sends requests to."""
    silent = Told(SILENT, routable=False, since=MADE)
    found = counted(pod("a", silent), pod("b", silent), served=frozenset("a"))
    assert found.states == {SILENT: 2}
    assert found.not_routable == {SILENT: 1}


def test_a_row_does_not_stand_for_a_registrar_that_tells_otherwise() -> None:
    """LiteLLM's table may be a minute old; what a registrar has told since is newer."""
    assert counted(pod("a", WAITS), served=frozenset("a")).not_routable == {"waiting": 1}


def test_the_leader_exports_every_state_once_pods_are_known() -> None:
    """0 where there is none, so that an alert sees the first; before that nothing."""
    registry = CollectorRegistry()
    metrics = ReaperMetrics(registry, lambda: True)
    metrics.figures = Figures(at=0.0)
    name = "litellm_registrar_broker_registrars"
    assert registry.get_sample_value(name, {"state": "serving"}) is None
    metrics.figures = Figures(at=0.0, registrars=RegistrarFigures({"serving": 2}, {"waiting": 1}))
    found = {state: registry.get_sample_value(name, {"state": state}) for state in STATES}
    assert found == {**dict.fromkeys(STATES, 0.0), "serving": 2.0}
    name = "litellm_registrar_broker_not_routable_pods"
    found = {state: registry.get_sample_value(name, {"state": state}) for state in STATES}
    assert found == {**dict.fromkeys(STATES, 0.0), "waiting": 1.0}


def test_rows_that_are_not_known_are_not_exported() -> None:
    """While LiteLLM cannot be read there is no figure: 0 would end an alert."""
    registry = CollectorRegistry()
    metrics = ReaperMetrics(registry, lambda: True)
    name, registered = "litellm_registrar_broker_rows", {"state": "registered"}
    metrics.figures = Figures(at=0.0)
    assert registry.get_sample_value(name, registered) is None
    metrics.figures = Figures(at=0.0, rows=Counter({RowState.REGISTERED: 3}))
    assert registry.get_sample_value(name, registered) == 3
