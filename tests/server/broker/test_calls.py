"""What registrars ask, through the whole broker: TLS, token, rules, claim, queue, LiteLLM and back."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.broker_contract import CONTRACT_HEADER
from tests.injected import CLUSTER
from tests.server.broker.brokering import IP, Brokering, Broking, Pod, a_token, rule
from tests.server.running import until
from tests.standins.kube import UNREACHABLE
from tests.standins.litellm_store import MASTER_KEY, Key
from webhook.broker import desk
from webhook.broker.claims import lease_name
from webhook.broker.shapes import Call, Reply
from webhook.kube.api import ApiError

LEASES = "/apis/coordination.k8s.io/v1/namespaces/litellm-registrar/leases"


async def test_a_row_is_made(broker: Brokering, pod: Pod) -> None:
    """A creation of the pod's own is 200 with its row; the block in it says who, by the review."""
    answer = await broker.create(pod)
    assert (answer.status_code, rule(answer)) == (200, None), answer.text
    assert answer.json()["model_info"]["id"] == pod.id()
    block = broker.litellm.database.rows[pod.id()].model_info["registrar"]
    assert (block["cluster"], block["namespace"], block["pod"]) == (CLUSTER, "shop", "qwen")
    assert (block["pod_uid"], block["node"]) == (pod.uid, "node-1")


async def test_a_row_is_changed_and_deleted(broker: Brokering, pod: Pod) -> None:
    """A pod changes its row and deletes it; once it is gone LiteLLM's own answer says so."""
    await broker.create(pod)
    changed = await broker.call(pod, "PATCH", f"/model/{pod.id()}/update", pod.row(rpm=7))
    assert (changed.status_code, rule(changed)) == (200, None), changed.text
    assert broker.litellm.database.rows[pod.id()].litellm_params["rpm"] == 7
    assert (await broker.call(pod, "POST", "/model/delete", {"id": pod.id()})).status_code == 200
    assert broker.rows() == {}
    again = await broker.call(pod, "POST", "/model/delete", {"id": pod.id()})
    assert (again.status_code, rule(again)) == (400, None)
    assert "not found in db" in again.text


async def test_a_write_is_a_line(broker: Brokering, pod: Pod) -> None:
    """The log has one line of each write: what, whose, which row, how long, and LiteLLM's part of it."""
    await broker.create(pod)
    await broker.call(pod, "GET", f"/v2/model/info?modelId={pod.id()}&size=1")
    await broker.call(pod, "POST", "/model/delete", {"id": pod.id()})
    created, deleted = broker.log
    assert (created["event"], created["status"]) == ("created", 200)
    assert (created["namespace"], created["pod"], created["name"]) == ("shop", "qwen", "qwen")
    assert created["id"] == deleted["id"] == pod.id()
    assert created["ms"] > created["litellm_ms"] > 0
    assert deleted["event"] == "deleted"


async def test_a_pod_reads_its_own(broker: Brokering, pod: Pod) -> None:
    """Its row by id, its rows of the table, and whether LiteLLM is there."""
    await broker.create(pod)
    other = broker.kube.run_pod("other", "llama", "10.0.0.8")
    assert (await broker.call(other, "POST", "/model/new", other.row("llama", "10.0.0.8"))).is_success
    look = await broker.call(pod, "GET", f"/v2/model/info?modelId={pod.id()}&size=1")
    assert [row["model_name"] for row in look.json()["data"]] == ["qwen"]
    table = await broker.call(pod, "GET", "/v2/model/info?page=1&size=200")
    assert [row["model_info"]["id"] for row in table.json()["data"]] == [pod.id()]
    ready = await broker.call(pod, "GET", "/health/readiness")
    assert ready.json() == {"status": "healthy", "db": "connected"}


async def test_pods_that_start_together_ask_once_whether_litellm_is_there(broker: Brokering) -> None:
    """What is asked while the same question is under way gets the same answer."""
    replica = broker.litellm.replicas[0]
    replica.faults.delay = 0.5
    pods = [broker.kube.run_pod("shop", f"qwen-{number}") for number in range(10)]
    answers = await asyncio.gather(*(broker.call(pod, "GET", "/health/readiness") for pod in pods))
    assert {answer.json()["db"] for answer in answers} == {"connected"}
    assert replica.calls["GET /health/readiness"] < len(pods)


async def test_of_a_sibling_only_its_share_is_shown(broker: Brokering, pod: Pod) -> None:
    """Rows of the same name in other pods are numbers without a name."""
    sibling = broker.kube.run_pod("shop", "qwen-2", "10.0.0.8")
    await broker.create(pod)
    await broker.call(sibling, "POST", "/model/new", sibling.row("qwen", "10.0.0.8", rpm=5))
    answer = await broker.call(pod, "GET", "/v2/model/info?model=qwen&size=50")
    own, other = sorted(answer.json()["data"], key=lambda row: "rpm" in row["litellm_params"])
    assert own["model_info"]["id"] == pod.id()
    assert other == {
        "model_name": "qwen",
        "litellm_params": {"rpm": 5},
        "model_info": {"id": other["model_info"]["id"], "blocked": False},
    }


async def test_a_name_that_somebody_gave_a_row_since_it_was_looked_up_is_not_captured(
    broker: Brokering, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that has asked for a name again and again gets no share of it when it appears in LiteLLM."""
    monkeypatch.setattr(desk, "_JUST_NOW", 0.0)
    assert (await broker.call(pod, "GET", "/v2/model/info?model=new&size=50")).json()["data"] == []
    by_hand = {"model_name": "new", "litellm_params": {"model": "openai/x"}, "model_info": {"id": "by-hand"}}
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    made = await broker.client.post(f"{broker.litellm.url}/model/new", json=by_hand, headers=headers)
    assert made.status_code == 200
    assert rule(await broker.create(pod, "new")) == "name_taken"


async def test_what_is_refused_whoever_has_its_name_asks_litellm_nothing(broker: Brokering, pod: Pod) -> None:
    """Another pod's address, somebody's id: such requests cost LiteLLM no look at a name, however many."""
    await broker.call(pod, "GET", "/v2/model/info?model=first&size=50")
    await broker.settled()
    calls = broker.litellm.replicas[0].calls
    before = calls.total()
    others = await broker.create(pod, "new-1", api_base="http://10.9.9.9:8000/v1")
    forged = {**pod.row("new-2"), "model_info": {**pod.row("new-2")["model_info"], "id": pod.id("new-1")}}
    assert rule(others) == "api_base"
    assert rule(await broker.call(pod, "POST", "/model/new", forged)) == "row_id"
    assert calls.total() == before


async def test_a_new_name_is_looked_up_once_for_its_look_and_its_row(
    broker: Brokering, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a registrar asks one after the other is asked of LiteLLM once; nobody has no row of it."""
    monkeypatch.setattr(desk, "_JUST_NOW", 60.0)  # a moment may be long on a busy machine
    await broker.call(pod, "GET", "/v2/model/info?model=first&size=50")
    await broker.settled()
    replica = broker.litellm.replicas[0]
    before = replica.calls["GET /v2/model/info"]
    siblings = await broker.call(pod, "GET", "/v2/model/info?model=qwen&size=50")
    assert siblings.json()["data"] == []
    assert (await broker.create(pod)).status_code == 200
    assert replica.calls["GET /v2/model/info"] == before + 1


async def test_a_pod_is_told_what_becomes_of_it(broker: Brokering, pod: Pod) -> None:
    """Whether it is being deleted, and with which grace, comes fresh from the API server."""
    state = await broker.call(pod, "GET", "/registrar/pod")
    assert state.json() == {"deleting": False, "grace_period_seconds": None}
    metadata = broker.kube.objects[pod.path]["metadata"]
    metadata |= {"deletionTimestamp": "2026-11-21T12:00:00Z", "deletionGracePeriodSeconds": 12}
    state = await broker.call(pod, "GET", "/registrar/pod")
    assert state.json() == {"deleting": True, "grace_period_seconds": 12}


async def test_a_refusal_is_line_metric_and_event(broker: Brokering, pod: Pod) -> None:
    """What a rule refuses is 403 with its name, and the same name in log, metrics and an Event on the pod."""
    answer = await broker.call(pod, "POST", "/model/new", pod.row(address="169.254.169.254"))
    assert (answer.status_code, rule(answer)) == (403, "api_base")
    (line,) = broker.log
    assert (line["event"], line["rule"], line["status"]) == ("refused", "api_base", 403)
    assert line["message"].rstrip(".") == answer.json()["error"]["message"].rstrip(".")
    metrics = (await broker.health.get("/metrics")).text
    assert 'refusals_total{rule="api_base"} 1.0' in metrics
    assert 'calls_total{call="create",status="403"} 1.0' in metrics
    await until(lambda: bool(broker.kube.events()))
    (event,) = broker.kube.events()
    assert event["reason"] == "api_base"
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "shop",
        "name": "qwen",
        "uid": pod.uid,
    }
    assert broker.rows() == {}


async def test_another_pods_row_is_out_of_reach(broker: Brokering, pod: Pod) -> None:
    """Neither changed nor deleted nor looked at, and not made in its name."""
    other = broker.kube.run_pod("other", "llama", "10.0.0.8")
    assert (await broker.call(other, "POST", "/model/new", other.row("llama", "10.0.0.8"))).is_success
    before = broker.litellm.database.rows[other.id("llama")]
    theirs = other.row("llama")
    answers = [
        await broker.call(pod, "POST", "/model/delete", {"id": other.id("llama")}),
        await broker.call(pod, "PATCH", f"/model/{other.id('llama')}/update", theirs),
        await broker.call(pod, "GET", f"/v2/model/info?modelId={other.id('llama')}&size=1"),
        await broker.call(pod, "POST", "/model/new", theirs),
    ]
    assert [(answer.status_code, rule(answer)) for answer in answers] == [(403, "row_id")] * 4
    assert broker.litellm.database.rows == {other.id("llama"): before}


async def test_a_configured_name_is_not_captured(broker: Brokering, pod: Pod) -> None:
    """A name of LiteLLM's own configuration is refused, and the refusal says how it could be allowed."""
    answer = await broker.create(pod, "gpt-4o")
    assert (answer.status_code, rule(answer)) == (403, "name_taken")
    assert "share" in answer.json()["error"]["message"]
    assert broker.rows() == {}


async def test_the_names_file_is_followed(broking: Broking, tmp_path: Path) -> None:
    """A namespace gets a name that others have as soon as the changed file says so."""
    names = tmp_path / "names.yaml"
    head = "apiVersion: names.litellm-registrar.io/v1\nkind: ModelNames\nspec: {namespaces: [%s]}\n"
    names.write_text(head % "")
    async with broking(names=str(names)) as broker:
        pod = broker.kube.run_pod("shop")
        assert rule(await broker.create(pod, "gpt-4o")) == "name_taken"
        names.write_text(head % '{match: shop, share: ["gpt-*"]}')
        broker.server._files["names"].look()
        assert (await broker.create(pod, "gpt-4o")).status_code == 200


async def test_a_name_is_claimed_in_the_cluster(broker: Brokering, pod: Pod) -> None:
    """Before the first row of a name there is a Lease of its namespace; one of another's refuses the name."""
    await broker.create(pod)
    assert broker.kube.objects[f"{LEASES}/{lease_name('qwen')}"]["spec"]["holderIdentity"] == "shop"
    held = {"metadata": {}, "spec": {"holderIdentity": "other"}}
    broker.kube.put(f"{LEASES}/{lease_name('llama')}", held)
    answer = await broker.create(pod, "llama")
    assert (answer.status_code, rule(answer)) == (403, "name_taken")
    assert list(broker.rows().values()) == ["qwen"]


async def test_a_row_that_has_its_name_needs_no_claim(broker: Brokering, pod: Pod) -> None:
    """A change of a row goes on, blocking it too, whatever has become of the Lease."""
    await broker.create(pod)
    held = {"metadata": {}, "spec": {"holderIdentity": "other"}}
    broker.kube.put(f"{LEASES}/{lease_name('qwen')}", held)
    broker.kube.fail["replace"] = UNREACHABLE
    body = {**pod.row(), "blocked": True}
    assert (await broker.call(pod, "PATCH", f"/model/{pod.id()}/update", body)).status_code == 200
    assert broker.litellm.database.rows[pod.id()].blocked


@pytest.mark.parametrize(
    ("headers", "status", "named"),
    [
        ({"Authorization": ""}, 401, "token_missing"),
        ({"Authorization": "Basic eDp5"}, 401, "token_missing"),
        ({"Authorization": f"Bearer {MASTER_KEY}"}, 401, "token_refused"),
        ({"Authorization": f"Bearer {a_token('nobody')}"}, 401, "token_refused"),
        ({CONTRACT_HEADER: ""}, 403, "contract_unsupported"),
        ({CONTRACT_HEADER: "1"}, 403, "contract_unsupported"),
        ({CONTRACT_HEADER: "3, 3"}, 403, "contract_unsupported"),
    ],
)
async def test_who_asks_must_be_known(
    broker: Brokering, pod: Pod, headers: dict[str, str], status: int, named: str
) -> None:
    """Without a good token and a version of the contract that is served nothing is done."""
    answer = await broker.call(pod, "POST", "/model/new", pod.row(), headers)
    assert (answer.status_code, rule(answer)) == (status, named)
    assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)
    assert broker.rows() == {}
    assert broker.log[-1]["rule"] == named


async def test_two_tokens_are_none(broker: Brokering, pod: Pod) -> None:
    """Of two Authorization headers neither counts, whichever is good."""
    headers = [*pod.headers.items(), ("Authorization", f"Bearer {a_token('nobody')}")]
    answer = await broker.client.get("/health/readiness", headers=headers)
    assert (answer.status_code, rule(answer)) == (401, "token_refused")


async def test_a_deleted_pod_may_only_clear_up(
    broker: Brokering, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its token is refused, its own rows may be looked at and deleted, and nothing else be done."""
    await broker.create(pod)
    broker.kube.remove_pod(pod)
    monkeypatch.setattr("webhook.broker.pods._SEEN_FOR", 0.0)
    assert rule(await broker.create(pod, "second")) == "pod_gone"
    monkeypatch.setattr("webhook.broker.tokens._TAKEN_FOR", 0.0)
    refused = [
        await broker.create(pod, "third"),
        await broker.call(pod, "PATCH", f"/model/{pod.id()}/update", pod.row()),
        await broker.call(pod, "GET", "/v2/model/info?model=qwen&size=50"),
        await broker.call(pod, "GET", "/v2/model/info?page=1&size=200"),
    ]
    assert [(answer.status_code, rule(answer)) for answer in refused] == [(401, "token_refused")] * 4
    state = await broker.call(pod, "GET", "/registrar/pod")
    assert state.json() == {"deleting": True, "grace_period_seconds": None}
    assert (await broker.call(pod, "GET", "/health/readiness")).status_code == 200
    look = await broker.call(pod, "GET", f"/v2/model/info?modelId={pod.id()}&size=1")
    assert len(look.json()["data"]) == 1
    assert (await broker.call(pod, "POST", "/model/delete", {"id": pod.id()})).status_code == 200
    assert broker.rows() == {}


async def test_without_kubernetes_deletions_go_on(
    broker: Brokering, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the API server is away nothing is made (503), but who was known may delete its rows."""
    await broker.create(pod)
    broker.kube.fail[""] = UNREACHABLE
    monkeypatch.setattr("webhook.broker.tokens._TAKEN_FOR", 0.0)
    answer = await broker.create(pod, "second")
    assert (answer.status_code, rule(answer)) == (503, "cannot_ask_kubernetes")
    assert answer.headers["retry-after"] == "1"
    assert (await broker.call(pod, "POST", "/model/delete", {"id": pod.id()})).status_code == 200
    assert broker.rows() == {}


async def test_a_missing_right_is_named(broker: Brokering, pod: Pod) -> None:
    """An API server that refuses the broker's own question is 503, with its word in the log."""
    broker.kube.fail["get"] = ApiError(403, "Forbidden", "pods is forbidden")
    answer = await broker.create(pod)
    assert (answer.status_code, rule(answer)) == (503, "cannot_ask_kubernetes")
    assert "403 Forbidden" in broker.log[-1]["message"]


async def test_litellm_away_is_named(broker: Brokering, pod: Pod) -> None:
    """A LiteLLM that refuses connections is 502 with the broker's rule: nothing was sent."""
    await broker.litellm.replicas[0].refuse()
    answer = await broker.call(pod, "POST", "/model/delete", {"id": pod.id()})
    assert (answer.status_code, rule(answer)) == (502, "cannot_ask_litellm")


async def test_an_event_that_is_lost_is_counted(broker: Brokering, pod: Pod) -> None:
    """The call is refused as ever, and the metrics show that its pod does not tell why."""
    assert "events_lost 0.0" in (await broker.health.get("/metrics")).text
    broker.kube.fail[f"create /api/v1/namespaces/{pod.namespace}/events"] = UNREACHABLE
    assert (await broker.create(pod, "all-team-models")).status_code == 403
    await until(lambda: bool(broker.server._events.lost))
    assert "events_lost 1.0" in (await broker.health.get("/metrics")).text


async def test_litellms_faults_pass_as_they_are(broker: Brokering, pod: Pod) -> None:
    """A database that is down is LiteLLM's own status and words, no rule of the broker's."""
    await broker.create(pod)
    broker.litellm.database.up = False
    answer = await broker.call(pod, "PATCH", f"/model/{pod.id()}/update", pod.row())
    assert (answer.status_code, rule(answer)) == (500, None)
    assert (broker.log[-1]["event"], broker.log[-1]["detail"]) == (
        "fault",
        answer.json()["error"]["message"],
    )


async def test_a_key_of_the_pods_server_is_in_no_line(
    broker: Brokering, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM quotes it in a fault; neither the log nor the answer does."""
    key, send = "the-server-s-own", broker.server._upstream.send

    async def quoting(call: Call, seconds: float) -> Reply:
        if call.path != "/model/new":
            return await send(call, seconds)
        return Reply(500, json.dumps({"error": {"message": f"no: {call.body}"}}).encode())

    monkeypatch.setattr(broker.server._upstream, "send", quoting)
    answer = await broker.call(pod, "POST", "/model/new", pod.row(api_key=key))
    assert answer.status_code == 500
    assert "'api_key': '[hidden]'" in broker.log[-1]["detail"]
    assert key not in answer.text + broker.stream.getvalue()


async def test_a_key_that_litellm_does_not_take_is_not_quoted(
    broker: Brokering, pod: Pod, key_file: Path
) -> None:
    """LiteLLM's 401 is about the broker's key and no rule; it shows nothing of it, and another one counts."""
    await broker.create(pod)
    broker.litellm.keys = {"sk-another": Key()}
    answer = await broker.call(pod, "POST", "/model/delete", {"id": pod.id()})
    assert (answer.status_code, rule(answer)) == (401, None)
    assert MASTER_KEY[-4:] not in answer.text
    key_file.write_text("sk-another")
    broker.server._files["litellm-key-file"].look()
    assert (await broker.call(pod, "POST", "/model/delete", {"id": pod.id()})).status_code == 200


async def test_an_error_of_our_own_tells_nothing(
    broker: Brokering, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is 500 with a reference; the log has the reference and the place, neither has the error's text."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError("a text that may quote anything")

    monkeypatch.setattr("webhook.broker.desk.rules.call", broken)
    answer = await broker.create(pod)
    assert (answer.status_code, rule(answer)) == (500, "internal_error")
    line = broker.log[-1]
    assert (line["event"], line["error"], line["rule"]) == ("failed", "ValueError", "internal_error")
    assert "test_calls.py" in line["at"]
    assert "quote anything" not in answer.text + broker.stream.getvalue()


async def test_a_pod_that_asks_too_often_waits(broking: Broking) -> None:
    """Beyond its rate a pod gets 429 with the rule, others are answered."""
    async with broking(pod_rate="0.1") as broker:
        pod, other = broker.kube.run_pod("shop"), broker.kube.run_pod("shop", "qwen-2")
        assert (await broker.call(pod, "GET", "/health/readiness")).status_code == 200
        answer = await broker.call(pod, "GET", "/health/readiness")
        assert (answer.status_code, rule(answer)) == (429, "rate")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await broker.call(other, "GET", "/health/readiness")).status_code == 200


async def test_a_pod_has_only_so_many_rows(broking: Broking) -> None:
    """The row beyond --rows-per-pod is refused; one that is there may be made again."""
    async with broking(rows_per_pod="2") as broker:
        pod = broker.kube.run_pod("shop")
        assert [(await broker.create(pod, name)).status_code for name in ("a", "b")] == [200, 200]
        assert rule(await broker.create(pod, "c")) == "too_many_rows"


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda pod: pod["metadata"]["labels"].clear(),
        lambda pod: pod["spec"].update(hostNetwork=True),
        lambda pod: pod["spec"].update(initContainers=[]),
        lambda pod: pod.update(status={"phase": "Pending"}),
        lambda pod: pod["status"].update(phase="Failed"),
    ],
)
async def test_the_pod_must_be_one_that_may_register(broker: Brokering, pod: Pod, change: Change) -> None:
    """No label, the node's network, no registrar, no IP, or ended: no row is made for it."""
    change(broker.kube.objects[pod.path])
    answer = await broker.create(pod)
    assert answer.status_code == 403
    assert rule(answer) in {"pod_not_injected", "host_network", "pod_without_ip", "pod_gone"}
    assert broker.rows() == {}


async def test_an_answer_is_json(broker: Brokering, pod: Pod) -> None:
    """Whatever is answered, to whatever was asked, is JSON and says so."""
    answers: list[httpx.Response] = [
        await broker.create(pod),
        await broker.call(pod, "GET", "/nothing"),
        await broker.client.get("/"),
    ]
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    assert all(isinstance(json.loads(answer.content), dict) for answer in answers)
    assert IP in json.dumps(pod.row())
