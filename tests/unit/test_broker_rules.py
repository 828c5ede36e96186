"""All rules in their order, and the one call that LiteLLM gets."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.contract import CONTRACT_VERSION
from sidecar.row_contract import row_id
from tests.honest import CALLER, CLUSTER, POD, PREFIX
from webhook.broker import rules
from webhook.broker.names import Grant
from webhook.broker.rules import Context, model_of, name_of, needs_pod
from webhook.broker.shapes import (
    Asked,
    AskPod,
    Call,
    Change,
    Create,
    Delete,
    Holder,
    Look,
    OwnRows,
    PodFacts,
    Ready,
    RefusedError,
    RowSent,
    Rule,
    Siblings,
)

ID = row_id(CLUSTER, "team", "uid-1", "qwen")
OTHERS = row_id(CLUSTER, "team", "uid-2", "qwen")
PARAMS: dict[str, Any] = {
    "model": "hosted_vllm/qwen",
    "api_base": "http://10.0.0.5:8000/v1",
    "api_key": "none",
    "extra_headers": {},
}
DESCRIBED: dict[str, Any] = {
    "server": "vllm",
    "version": "",
    "model": "qwen",
    "owner": "",
    "unknown": [],
}
OWNER = {
    "cluster": CLUSTER,
    "namespace": "team",
    "pod": "qwen-0",
    "pod_uid": "uid-1",
    "node": "node-1",
    **DESCRIBED,
}
ROW = RowSent(ID, "qwen", PARAMS, {"mode": "chat"}, DESCRIBED, None)
BODY = {
    "model_name": "qwen",
    "litellm_params": PARAMS,
    "model_info": {"mode": "chat", "id": ID, "registrar": OWNER},
}
CONTEXT = Context(CLUSTER, CONTRACT_VERSION)
ELSEWHERE = (Holder(CLUSTER, "other"),)


def called(asked: Asked, context: Context = CONTEXT, pod: PodFacts | None = POD) -> Call | None:
    """Give the call that LiteLLM gets."""
    return rules.call(asked, CALLER, pod, context)


def refusal(asked: Asked, context: Context = CONTEXT, pod: PodFacts | None = POD) -> Rule:
    """Give the rule by which it is refused."""
    with pytest.raises(RefusedError) as caught:
        called(asked, context, pod)
    assert caught.value.status == 403
    return caught.value.rule


@pytest.mark.parametrize(
    ("asked", "call"),
    [
        (Ready(), Call("GET", "/health/readiness")),
        (AskPod(), None),
        (OwnRows(), None),
        (Look(ID), Call("GET", "/v2/model/info", {"modelId": ID, "size": "1"})),
        (Siblings("qwen"), Call("GET", "/v2/model/info", {"model": "qwen", "size": "50"})),
        (Delete(ID), Call("POST", "/model/delete", body={"id": ID})),
        (Create(ROW), Call("POST", "/model/new", body=BODY)),
        (Create(replace(ROW, blocked=True)), Call("POST", "/model/new", body=BODY | {"blocked": True})),
        (Change(ID, ROW), Call("PATCH", f"/model/{ID}/update", body=BODY)),
    ],
)
def test_what_is_allowed_becomes_one_call(asked: Asked, call: Call | None) -> None:
    """Written anew of what was looked at; of what the broker answers by itself LiteLLM hears nothing."""
    assert called(asked) == call


def test_a_change_without_a_block_leaves_the_stored_one_alone() -> None:
    """Its answer tells the registrar what is stored."""
    call = called(Change(ID, replace(ROW, owner=None)))
    assert call is not None
    assert call.body is not None
    assert call.body["model_info"] == {"mode": "chat", "id": ID}


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        (Look(OTHERS), Rule.ROW_ID),
        (Delete(OTHERS), Rule.ROW_ID),
        (Change(OTHERS, replace(ROW, id=OTHERS)), Rule.ROW_ID),
        (Change(OTHERS, ROW), Rule.ROW_ID),
        (Change(ID, replace(ROW, id=OTHERS)), Rule.ROW_ID),
        (Change(OTHERS, replace(ROW, id=OTHERS, params={}, info={}, owner=None)), Rule.ROW_ID),
        (Change(PREFIX + "0" * 24, ROW), Rule.ROW_ID),
        (Create(replace(ROW, id=OTHERS)), Rule.ROW_ID),
        (Create(replace(ROW, id=OTHERS, params={"model": 7}, owner={})), Rule.ROW_ID),
        (Create(replace(ROW, id=PREFIX + "0" * 24)), Rule.ROW_ID),
        (Create(replace(ROW, owner=None)), Rule.MODEL_INFO),
        (Create(replace(ROW, params={})), Rule.PROVIDER),
        (Create(replace(ROW, params=PARAMS | {"api_base": "http://10.0.0.6:8000/v1"})), Rule.API_BASE),
        (Create(replace(ROW, params=PARAMS | {"api_key": ""})), Rule.API_KEY),
        (Create(replace(ROW, params=PARAMS | {"base_url": "http://x"})), Rule.LITELLM_PARAMS),
        (Create(replace(ROW, params=PARAMS | {"extra_headers": {"X": "y"}})), Rule.LITELLM_PARAMS),
        (Create(replace(ROW, info={"team_id": "t"})), Rule.TEAM),
        (Create(replace(ROW, info={"health_check_model": "bedrock/x"})), Rule.MODEL_INFO),
        (Create(replace(ROW, info={"db_model": False})), Rule.MODEL_INFO),
        (Create(replace(ROW, name="gpt*")), Rule.MODEL_NAME),
        (Siblings("openai/*"), Rule.MODEL_NAME),
        (Change(ID, replace(ROW, params={"api_base": "http://10.0.0.5:8000/v1"})), Rule.PROVIDER),
        (Change(ID, replace(ROW, params={}, info={"health_check_params": {}})), Rule.MODEL_INFO),
        (Change(ID, replace(ROW, params={}, info={"health_check_model": "bedrock/x"})), Rule.MODEL_INFO),
        (Change(ID, replace(ROW, params={}, info={}, owner=DESCRIBED | {"model": "x"})), Rule.ROW_ID),
    ],
)
def test_every_rule_is_asked(asked: Asked, rule: Rule) -> None:
    """One request for each, otherwise honest."""
    assert refusal(asked) is rule


@pytest.mark.parametrize("asked", [Create(ROW), Change(ID, ROW), Siblings("qwen")])
def test_a_taken_name_is_refused(asked: Asked) -> None:
    """To write and to look at: whose rows there are elsewhere is nobody's business here."""
    assert refusal(asked, replace(CONTEXT, holders=ELSEWHERE)) is Rule.NAME_TAKEN
    assert refusal(asked, replace(CONTEXT, grant=Grant(allow=("team/*",)))) is Rule.NAME_NOT_ALLOWED
    assert called(asked, replace(CONTEXT, holders=ELSEWHERE, grant=Grant(share=("qwen",)))) is not None


def test_a_model_that_a_configured_row_has_too_is_refused() -> None:
    """LiteLLM takes requests for `openai/gpt-4o` as well, wherever no row is called so."""
    configured = replace(CONTEXT, serving=(Holder(CLUSTER, "team"), Holder()))
    assert refusal(Create(ROW), configured) is Rule.NAME_TAKEN
    shared = replace(configured, grant=Grant(share=("hosted_vllm/qwen",)))
    assert called(Create(ROW), shared) is not None


def test_a_model_may_be_served_by_registrars_everywhere() -> None:
    """Many namespaces serve the same model, each under a name of its own."""
    assert (
        called(Create(ROW), replace(CONTEXT, serving=(Holder("c2", "x"), Holder(CLUSTER, "other"))))
        is not None
    )


def test_a_row_may_keep_its_model_and_not_take_another() -> None:
    """Its id tells the model's name at the server, not the provider."""
    configured = replace(CONTEXT, serving=(Holder(),), own={ID: "qwen"})
    assert called(Change(ID, ROW), replace(configured, reached=("qwen", "hosted_vllm/qwen"))) is not None
    assert called(Change(ID, replace(ROW, params={}, info={})), configured) is not None
    assert refusal(Change(ID, ROW), replace(configured, reached=("qwen", "openai/qwen"))) is Rule.NAME_TAKEN


def test_a_row_that_keeps_its_name_may_be_changed_when_others_have_taken_it() -> None:
    """It could not be blocked otherwise when its server is ill; a new name has to be free."""
    taken = replace(CONTEXT, holders=ELSEWHERE, own={ID: "qwen"})
    assert called(Change(ID, ROW), taken) is not None
    assert called(Siblings("qwen"), taken) is not None
    assert refusal(Change(ID, replace(ROW, name="gpt-4o")), taken) is Rule.NAME_TAKEN
    assert refusal(Create(ROW), taken) is Rule.NAME_TAKEN


@pytest.mark.parametrize(
    ("pod", "rule"),
    [
        (None, Rule.POD_GONE),
        (replace(POD, gone=True, deleting=True), Rule.POD_GONE),
        (replace(POD, labelled=False), Rule.POD_NOT_INJECTED),
        (replace(POD, host_network=True), Rule.HOST_NETWORK),
        (replace(POD, addresses=(), base_urls=frozenset()), Rule.POD_WITHOUT_IP),
    ],
)
def test_a_row_is_written_for_a_pod_that_is_there_and_as_it_should_be(
    pod: PodFacts | None, rule: Rule
) -> None:
    """What clears up asks nothing of the pod."""
    assert refusal(Create(ROW), pod=pod) is rule
    assert refusal(Change(ID, ROW), pod=pod) is rule
    assert called(Delete(ID), pod=pod) is not None
    assert called(Look(ID), pod=pod) is not None


@pytest.mark.parametrize("pod", [None, replace(POD, gone=True, deleting=True), replace(POD, labelled=False)])
def test_only_a_pod_of_ours_looks_at_the_rows_of_a_name(pod: PodFacts | None) -> None:
    """Any pod can have a token of our audience."""
    assert refusal(Siblings("qwen"), pod=pod) in (Rule.POD_GONE, Rule.POD_NOT_INJECTED)
    assert called(Siblings("qwen"), pod=replace(POD, host_network=True)) is not None


def test_a_pod_that_is_being_deleted_gets_no_more_rows() -> None:
    """Those it has can still be changed: a drain may have to wait for an ill LiteLLM."""
    ending = replace(POD, deleting=True, grace=30)
    assert refusal(Create(ROW), pod=ending) is Rule.POD_GONE
    assert called(Change(ID, ROW), pod=ending) is not None


def test_a_pod_on_its_nodes_network_has_to_be_allowed() -> None:
    """By the names file."""
    pod = replace(POD, host_network=True)
    assert called(Create(ROW), replace(CONTEXT, grant=Grant(host_network=True)), pod) is not None


@pytest.mark.parametrize(
    "context",
    [
        replace(CONTEXT, own={"a": "x", "b": "y"}, rows_per_pod=2),
        replace(CONTEXT, in_namespace=2, rows_per_namespace=2),
    ],
)
def test_rows_are_bounded(context: Context) -> None:
    """Of a pod and of a namespace; one that is there already is no more."""
    assert refusal(Create(ROW), context) is Rule.TOO_MANY_ROWS
    assert called(Create(ROW), replace(context, own={**context.own, ID: "qwen"})) is not None
    assert called(Change(ID, ROW), context) is not None


def test_what_a_newer_registrar_sends_is_left_out_and_named() -> None:
    """Of every part of a row."""
    sent = replace(
        ROW,
        params=PARAMS | {"zeta": 1},
        info={**ROW.info, "team_size": 3},
        owner=DESCRIBED | {"licence": "MIT"},
        left_out=("priority",),
    )
    call = called(Create(sent), replace(CONTEXT, contract=CONTRACT_VERSION + 2))
    assert call == Call(
        "POST",
        "/model/new",
        body=BODY,
        left_out=(
            "priority",
            "litellm_params.zeta",
            "model_info.team_size",
            "model_info.registrar.licence",
        ),
    )


def test_whose_name_is_asked_and_whether_the_pod_is() -> None:
    """What the desk has to find out before it asks the rules."""
    asked: list[Asked] = [Ready(), AskPod(), OwnRows(), Look(ID), Delete(ID)]
    assert [(name_of(each), needs_pod(each)) for each in asked] == [(None, False)] * 5
    assert [model_of(each) for each in (*asked, Siblings("qwen"))] == [None] * 6
    assert model_of(Create(replace(ROW, params={"model": 7}))) is None
    assert model_of(Change(ID, ROW)) == "hosted_vllm/qwen"
    for each in (Create(ROW), Change(ID, ROW), Siblings("qwen")):
        assert (name_of(each), needs_pod(each)) == ("qwen", True)
