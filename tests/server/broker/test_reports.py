"""What registrars report, through the whole broker: honest ones, and whoever has a pod's token."""

from typing import Any

import httpx
import pytest

from sidecar.broker_contract import STATE_PATH
from tests.server.broker.brokering import Brokering, Pod, rule
from tests.standins.kube import UNREACHABLE
from webhook.broker.reports import POD_LIMIT
from webhook.registered import Registered, registered

SERVING = {"state": "serving", "models": 1, "wanted": 1}


def condition(broker: Brokering, pod: Pod) -> Registered | None:
    """Give the condition of a pod."""
    return registered(broker.kube.objects[pod.path])


async def report(broker: Brokering, pod: Pod, body: dict[str, Any]) -> httpx.Response:
    """Tell a state."""
    return await broker.call(pod, "POST", STATE_PATH, body)


async def test_a_report_is_seen_on_the_pod(broker: Brokering, pod: Pod) -> None:
    """The condition, an Event, a line of the log."""
    answer = await report(broker, pod, SERVING)
    assert (answer.status_code, rule(answer), answer.json()) == (200, None, {})
    found = condition(broker, pod)
    assert found is not None
    assert found.word == "serving"
    assert [event["reason"] for event in broker.kube.events()] == ["serving"]
    assert "1 of 1 models are routable through LiteLLM" in broker.stream.getvalue()


async def test_whoever_reports_speaks_for_its_own_pod_alone(broker: Brokering, pod: Pod) -> None:
    """Whatever else it names: the pod is the token's."""
    other = broker.kube.run_pod("other", "llama", "10.0.0.8")
    named = {"namespace": "other", "pod": "llama", "pod_uid": other.uid, "type": "Ready"}
    assert (await report(broker, pod, SERVING | named)).status_code == 200
    assert condition(broker, other) is None
    conditions = broker.kube.objects[pod.path]["status"]["conditions"]
    assert [each["type"] for each in conditions] == ["litellm-registrar.io/Registered"]


async def test_a_registrar_that_lies_shows_it_in_its_own_pod_and_nowhere_else(
    broker: Brokering, pod: Pod
) -> None:
    """No series, no reason and no line of its own making: names are held to their form, texts bounded."""
    text = 'x"} 1\nlitellm_registrar_broker_key{is="master"} 1\n' * 100
    lie = {"state": "waiting", "reason": "made_up_by_somebody", "message": text, "warning": True}
    before = (await broker.health.get("/metrics")).text
    assert (await report(broker, pod, lie)).status_code == 200
    after = (await broker.health.get("/metrics")).text
    assert {line.rpartition(" ")[0] for line in after.splitlines()} >= {
        line.rpartition(" ")[0] for line in before.splitlines()
    }
    assert "made_up" not in after
    found = condition(broker, pod)
    assert found is not None
    assert (found.routable, len(found.message), found.message.isprintable()) == (False, 600, True)
    (event,) = broker.kube.events()
    assert (event["reason"], event["type"], len(event["message"])) == ("waiting", "Warning", 600)


@pytest.mark.parametrize("body", [{}, {"state": "paused"}, {"state": "serving", "reason": "Two Words"}])
async def test_what_is_no_report_is_refused(body: dict[str, Any], broker: Brokering, pod: Pod) -> None:
    """With the field's name, and nothing is written."""
    answer = await report(broker, pod, body)
    assert (answer.status_code, rule(answer)) == (403, "body_bad")
    assert condition(broker, pod) is None


async def test_a_flood_of_reports_is_held_back(broker: Brokering, pod: Pod) -> None:
    """A pod that changes its mind all the time: the API server sees some of it, and other pods as ever."""
    answers = [
        await report(broker, pod, SERVING | {"state": ("serving", "blocked")[number % 2]})
        for number in range(40)
    ]
    taken = [answer for answer in answers if answer.is_success]
    refused = [answer for answer in answers if not answer.is_success]
    assert len(taken) <= POD_LIMIT.burst + 1
    assert {(answer.status_code, rule(answer)) for answer in refused} == {(429, "rate")}
    written = [path for verb, path in broker.kube.calls if verb == "strategic"]
    assert len(written) == len(taken)
    other = broker.kube.run_pod("shop", "llama", "10.0.0.8")
    assert (await report(broker, other, SERVING)).status_code == 200


async def test_an_api_server_that_is_away_is_told_to_the_registrar(broker: Brokering, pod: Pod) -> None:
    """503 with the rule that says so; it is taken when the API server is back."""
    await report(broker, pod, {"state": "waiting"})
    broker.kube.fail["strategic"] = UNREACHABLE
    answer = await report(broker, pod, SERVING)
    assert (answer.status_code, rule(answer)) == (503, "cannot_ask_kubernetes")
    del broker.kube.fail["strategic"]
    assert (await report(broker, pod, SERVING)).status_code == 200
    assert [event["reason"] for event in broker.kube.events()] == ["waiting", "serving"]
