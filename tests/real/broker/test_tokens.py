"""Who may ask: real tokens of the real API server, checked by the broker's own ServiceAccount."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sidecar.broker_contract import RULE_HEADER
from tests.peers.broker import ISSUER, BrokerProcess, Caller
from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM

pytestmark = [pytest.mark.real, pytest.mark.kube]


@pytest.fixture
def model(namespace: str) -> str:
    """Give a name of this test's own: one that another namespace had stays claimed for minutes."""
    return f"{namespace}-qwen"


def refusal(answer: httpx.Response) -> tuple[int, str | None]:
    """Give status and rule."""
    return answer.status_code, answer.headers.get(RULE_HEADER)


def test_what_a_registrar_asks_is_done(pod: Caller, client: httpx.Client, proxy: LiteLLM, model: str) -> None:
    """A bound token of our audience makes, looks at, changes and deletes the pod's row."""
    made = pod.call(client, "POST", "/model/new", pod.row(model))
    assert refusal(made) == (200, None), made.text
    (row,) = [row for row in proxy.rows() if row["model_info"]["id"] == pod.id(model)]
    block = row["model_info"]["registrar"]
    assert (block["namespace"], block["pod"], block["pod_uid"]) == (pod.namespace, "qwen", pod.uid)
    assert block["node"] == "fake"
    look = pod.call(client, "GET", f"/v2/model/info?modelId={pod.id(model)}&size=1")
    assert [row["model_name"] for row in look.json()["data"]] == [model]
    path = f"/model/{pod.id(model)}/update"
    changed = pod.call(client, "PATCH", path, pod.row(model, rpm=9))
    assert refusal(changed) == (200, None), changed.text
    gone = pod.call(client, "POST", "/model/delete", {"id": pod.id(model)})
    assert refusal(gone) == (200, None), gone.text
    state = pod.call(client, "GET", "/registrar/pod")
    assert state.json() == {"deleting": False, "grace_period_seconds": None}


def wrong_audience(pod: Caller) -> str:
    """Give a token of the pod for the API server itself."""
    return pod.new_token(audience=ISSUER)


def of_no_pod(pod: Caller) -> str:
    """Give a token of the ServiceAccount that is bound to nothing."""
    return pod.new_token("--duration=10m")


def of_a_secret(pod: Caller) -> str:
    """Give a token that is bound to a Secret."""
    meta = {"name": "anything", "namespace": pod.namespace}
    pod.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta})
    return pod.new_token("--bound-object-kind=Secret", "--bound-object-name=anything")


def forged(pod: Caller) -> str:
    """Give the pod's token with another signature."""
    return pod.token[:-8] + "AAAAAAAA"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (wrong_audience, (401, "token_refused")),
        (of_no_pod, (403, "token_not_of_a_pod")),
        (of_a_secret, (403, "token_not_of_a_pod")),
        (Caller.expired_token, (401, "token_refused")),
        (forged, (401, "token_refused")),
    ],
)
def test_other_tokens_are_refused(
    token: Callable[[Caller], str],
    expected: tuple[int, str],
    pod: Caller,
    client: httpx.Client,
    proxy: LiteLLM,
) -> None:
    """A wrong audience, no pod, a Secret in its place, an end that is past, a signature of nobody: no row."""
    headers = {"Authorization": f"Bearer {token(pod)}"}
    assert refusal(pod.call(client, "POST", "/model/new", pod.row("qwen"), headers)) == expected
    assert proxy.own_rows() == {}


def test_a_deleted_pod_is_refused_soon(
    pod: Caller, client: httpx.Client, broker: BrokerProcess, model: str
) -> None:
    """From its deletion on it makes no row; soon its token is refused, and still deletes what it has made."""
    assert refusal(pod.call(client, "POST", "/model/new", pod.row(model)))[0] == 200
    pod.delete()
    deleted = time.monotonic()
    while (found := refusal(pod.call(client, "GET", "/v2/model/info?page=1&size=200"))) != (
        401,
        "token_refused",
    ):
        assert found == (200, None)
        assert time.monotonic() - deleted < 120
        time.sleep(0.5)
    took = time.monotonic() - deleted
    print(f"refused {took:.1f} s after its deletion")
    assert refusal(pod.call(client, "POST", "/model/new", pod.row(f"{model}-2"))) == (401, "token_refused")
    state = pod.call(client, "GET", "/registrar/pod")
    assert state.json() == {"deleting": True, "grace_period_seconds": None}
    gone = pod.call(client, "POST", "/model/delete", {"id": pod.id(model)})
    assert refusal(gone) == (200, None), broker.log.read_text()


def test_a_pod_that_is_being_deleted_is_told_its_grace(pod: Caller, client: httpx.Client, model: str) -> None:
    """While the kubelet ends it, it is told so, with the grace as it was cut; it makes no new row."""
    pod.delete(grace=45)
    state = pod.call(client, "GET", "/registrar/pod")
    assert state.json() == {"deleting": True, "grace_period_seconds": 45}
    assert refusal(pod.call(client, "POST", "/model/new", pod.row(model))) == (403, "pod_gone")


def test_a_refusal_is_an_event_on_the_pod(pod: Caller, client: httpx.Client, model: str) -> None:
    """`kubectl describe pod` shows by which rule something was refused, and why."""
    row = pod.row(model, api_base="http://169.254.169.254/v1")
    assert refusal(pod.call(client, "POST", "/model/new", row)) == (403, "api_base")

    def found() -> list[dict[str, Any]]:
        events = pod.cluster.list("events", pod.namespace)
        return [event for event in events if event["involvedObject"].get("uid") == pod.uid]

    (event,) = wait_until("Event", 120, found)
    assert (event["reason"], event["type"]) == ("api_base", "Warning")
    assert "169.254.169.254" in event["message"]
