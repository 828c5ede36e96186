"""What the registrar is answered: its own rows, LiteLLM's own faults, and nothing of anybody else's."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from sidecar.access import ByKey, Failed
from sidecar.broker_access import ByToken
from sidecar.broker_contract import LEFT_OUT_HEADER, RULE_HEADER, PodState
from sidecar.litellm import Absent, LiteLLM
from sidecar.reasons import Reason
from sidecar.registration import Row, body, owner_block
from sidecar.row_contract import row_id
from sidecar.token_file import TokenFile
from tests.honest import BASE, CLUSTER, IDENTITY, POD, PREFIX, SETTINGS, Core
from tests.standins import litellm_answers
from tests.standins.litellm_table import KEY, URL, Table
from webhook.broker import answers, limits
from webhook.broker.shapes import (
    Answer,
    Asked,
    Change,
    Create,
    Delete,
    Look,
    Ready,
    RefusedError,
    Reply,
    RowSent,
    Rule,
    Siblings,
)

ID = row_id(CLUSTER, "team", "uid-1", "qwen")
OTHERS = row_id(CLUSTER, "team", "uid-2", "qwen")
UUID = "0b7e0a36-1c55-4d8e-9a55-3a0a2f0e1f11"
SENT = RowSent(ID, "qwen", {}, {}, None, None)
OWN: dict[str, Any] = {
    "model_name": "qwen",
    "litellm_params": {"model": "hosted_vllm/qwen", "api_base": f"{BASE}/v1", "rpm": 5},
    "model_info": {"id": ID, "mode": "chat", "registrar": {"pod": "qwen-0"}, "blocked": True},
}
FOREIGN: dict[str, Any] = {
    "model_name": "qwen",
    "litellm_params": {
        "model": "openai/secret-model",
        "api_base": "http://10.9.9.9:1/v1",
        "api_key": "sk-foreign",
        "rpm": 10,
        "tpm": None,
        "weight": 2.5,
        "order": 1,
    },
    "model_info": {"id": OTHERS, "db_model": True, "registrar": {"pod_uid": "uid-1"}, "blocked": True},
}


def answered(asked: Asked, value: Any, status: int = 200, secrets: tuple[str, ...] = (KEY,)) -> Answer:
    """Give what the registrar is answered when LiteLLM answers this."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return answers.answer(asked, Reply(status, content), prefix=PREFIX, secrets=secrets)


def page(*rows: dict[str, Any]) -> dict[str, Any]:
    """Give a page of LiteLLM's."""
    return {"data": list(rows), "total_count": 99, "current_page": 1, "total_pages": 9, "size": 50}


def shown(answer: Answer) -> Any:
    """Read an answer's JSON."""
    return json.loads(answer.body)


@pytest.mark.parametrize("params", [{"model": "gAAAAA", "rpm": 3}, '{"model": "gAAAAA"}'])
@pytest.mark.parametrize("asked", [Create(SENT), Change(ID, SENT)])
def test_a_write_is_answered_with_its_row(asked: Asked, params: object) -> None:
    """With its block and whether it is blocked, by which the registrar goes; not with who wrote it.

    Nor with parameters that LiteLLM has encrypted: whoever has these can try out its key at leisure.
    """
    told = {
        "model_id": ID,
        "model_name": "qwen",
        "litellm_params": params,
        "model_info": OWN["model_info"] | {"created_by": "admin", "updated_by": "admin"},
        "blocked": True,
        "created_by": "admin",
    }
    answer = answered(asked, told)
    assert (answer.status, shown(answer)) == (
        200,
        {"model_id": ID, "model_name": "qwen", "model_info": OWN["model_info"], "blocked": True},
    )


@pytest.mark.parametrize("key", [OTHERS, UUID, None, 7])
def test_a_write_that_is_answered_with_another_row_is_not_passed_on(key: object) -> None:
    """What came of it is not known."""
    told = {"model_name": "qwen", "model_info": {"id": key}}
    with pytest.raises(RefusedError) as caught:
        answered(Create(SENT), told)
    assert (caught.value.rule, caught.value.status) == (Rule.CANNOT_ASK_LITELLM, 504)


def test_a_deletion_is_answered_in_our_own_words() -> None:
    """LiteLLM's have to name the row, and are not passed on."""
    told = {"message": f"Model: {ID} deleted successfully by somebody"}
    assert shown(answered(Delete(ID), told)) == {"message": f"Model: {ID} deleted successfully"}


@pytest.mark.parametrize("told", [{}, {"message": "Model: another deleted successfully"}, b"<html>Welcome"])
def test_a_deletion_that_litellm_did_not_confirm(told: object) -> None:
    """What came of it is not known: another program may stand at LiteLLM's address."""
    with pytest.raises(RefusedError) as caught:
        answered(Delete(ID), told)
    assert (caught.value.rule, caught.value.status) == (Rule.CANNOT_ASK_LITELLM, 504)


def test_a_look_shows_the_row_that_was_asked_for() -> None:
    """And no other, whatever LiteLLM found; never a key."""
    with_key = OWN | {"litellm_params": OWN["litellm_params"] | {"api_key": "sk-server"}}
    answer = answered(Look(ID), page(FOREIGN, with_key, {"model_info": None}))
    assert shown(answer)["data"] == [OWN]
    assert shown(answer)["total_pages"] == 1
    assert shown(answered(Look(ID), page(FOREIGN)))["data"] == []


def test_of_other_rows_of_a_name_only_the_share_is_told() -> None:
    """By what LiteLLM shares requests out; a block that says it is ours proves nothing."""
    bare = {"model_name": "other", "litellm_params": None, "model_info": {"id": UUID}}
    data = shown(answered(Siblings("qwen"), page(FOREIGN, OWN, bare)))["data"]
    assert data == [
        {
            "model_name": "qwen",
            "litellm_params": {"rpm": 10, "weight": 2.5},
            "model_info": {"id": "another-1", "blocked": True},
        },
        OWN,
        {"model_name": "qwen", "litellm_params": {}, "model_info": {"id": "another-3", "blocked": False}},
    ]


def test_the_table_is_the_pods_own_rows() -> None:
    """On one page."""
    answer = answers.own_rows([FOREIGN, OWN, {}], PREFIX)
    assert (shown(answer)["data"], shown(answer)["total_pages"]) == ([OWN], 1)


@pytest.mark.parametrize(
    ("status", "db"), [(200, "connected"), (200, "Not connected"), (503, "disconnected")]
)
def test_whether_litellm_is_well_is_passed_on(status: int, db: str) -> None:
    """With LiteLLM's status; what else it tells of itself is not."""
    answer = answered(Ready(), {"status": "healthy", "db": db, "litellm_version": "1.106.2"}, status)
    assert (answer.status, shown(answer)) == (status, {"status": "healthy", "db": db})


@pytest.mark.parametrize("value", [b"", b"<html>", [], {}, {"data": None}, {"data": "x"}, b"[" * 100000])
@pytest.mark.parametrize("asked", [Look(ID), Siblings("qwen"), Create(SENT), Ready()])
def test_what_is_no_answer_of_litellm_is_none(asked: Asked, value: Any) -> None:
    """A proxy's page, or half an answer: the call may have been carried out."""
    with pytest.raises(RefusedError) as caught:
        answered(asked, value)
    assert caught.value.status == 504


@pytest.mark.parametrize("status", [100, 204 + 100, 301, 307, 308])
def test_a_redirect_is_no_answer(status: int) -> None:
    """The key goes nowhere else."""
    with pytest.raises(RefusedError) as caught:
        answered(Look(ID), page(), status)
    assert caught.value.message == f"LiteLLM: it answered HTTP {status}"


def test_the_brokers_key_being_refused_is_no_refusal_of_the_pod() -> None:
    """LiteLLM's text quotes part of the key and its hash; and there is no rule of ours."""
    answer = answered(Look(ID), litellm_answers.unknown_key(KEY).body, 401)
    assert (answer.status, dict(answer.headers)) == (401, {})
    assert shown(answer)["error"] == {
        "message": "LiteLLM does not take the broker's key",
        "type": "litellm",
        "code": "401",
    }


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"error": {"message": "m", "type": "no word", "param": "p", "code": "500"}}, "m"),
        ({"error": {"message": "m", "type": ["x"]}}, "m"),
        ({"detail": {"error": "m"}}, "m"),
        ({"detail": "m"}, "m"),
        ({"error": "m"}, "m"),
        (
            {"detail": [{"loc": ["body", "id"], "msg": "missing", "input": {"api_key": "sk-x"}}]},
            "['body', 'id']: missing",
        ),
        (b"<html>\n bad   gateway</html>", "<html> bad gateway</html>"),
        ({"x": 1}, '{"x": 1}'),
        (b"\xff\x00", "\ufffd\x00"),
        (b"", ""),
        ({"error": {"message": "a" * 5000}}, "a" * 2000),
    ],
)
def test_a_fault_of_litellms_keeps_its_status_and_sentence(told: Any, message: str) -> None:
    """Bounded, on one line, with no rule of ours."""
    answer = answered(Create(SENT), told, 500)
    assert (answer.status, dict(answer.headers)) == (500, {})
    assert shown(answer) == {"error": {"message": message, "type": "litellm", "code": "500"}}


def test_the_kind_of_a_fault_is_told() -> None:
    """LiteLLM names a database that is not there only so."""
    answer = answered(Create(SENT), litellm_answers.database_unreachable().body, 503)
    assert shown(answer)["error"]["type"] == "no_db_connection"


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        "my-own-master-key",
        "sk-1234567890abcdef",
        "sk-...cdef",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
        "postgresql://llm:hunter2@db:5432/litellm",
        "http://10.9.9.9:8000/v1",
        OTHERS,
        "registrar-" + "0" * 24 + "-" + "1" * 24,
        UUID,
        "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
    ],
)
def test_no_secret_and_nobody_elses_row_is_in_a_fault(secret: str) -> None:
    """Keys, tokens, addresses, hashes of keys, ids of rows."""
    told = {"error": {"message": f"Bearer {secret}: '{secret}' is not {secret}, {ID} is"}}
    answer = answered(Create(SENT), told, 500, secrets=(KEY, "my-own-master-key", ""))
    assert secret not in answer.body.decode()
    assert ID in answer.body.decode()


@pytest.mark.parametrize("quoted", ["a." * 65_536, "a" * 131_072, "a. " * 43_690])
def test_a_body_that_a_fault_quotes_holds_up_nobody(quoted: str) -> None:
    """Looking for secrets in all of it took two minutes, in which nobody else was answered."""
    answer = answered(Create(SENT), {"error": {"message": quoted}}, 500)
    assert shown(answer)["error"]["message"] == quoted[: limits.MAX_SAID]


def test_what_was_left_out_is_named_in_the_answer() -> None:
    """For a registrar that is newer than the broker."""
    reply = Reply(200, json.dumps({"model_name": "qwen", "model_info": {"id": ID}}).encode())
    answer = answers.answer(Create(SENT), reply, prefix=PREFIX, left_out=("litellm_params.a", "b"))
    assert answer.headers == {LEFT_OUT_HEADER: "litellm_params.a, b"}


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (RefusedError(Rule.ROW_ID, "m"), {}),
        (RefusedError(Rule.BUSY, "m", 503), {"Retry-After": "3"}),
        (RefusedError(Rule.RATE, "m", 429), {"Retry-After": "3"}),
        (RefusedError(Rule.TOKEN_REFUSED, "m", 401), {"WWW-Authenticate": "Bearer"}),
        (RefusedError(Rule.CANNOT_ASK_LITELLM, "m", 502), {}),
    ],
)
def test_a_refusal_names_its_rule(error: RefusedError, headers: dict[str, str]) -> None:
    """In a header and in the body; where patience helps it says how much."""
    answer = answers.refusal(error, retry_after=3)
    assert answer.status == error.status
    assert answer.headers == {RULE_HEADER: error.rule.value, **headers}
    assert shown(answer) == {"error": {"message": "m", "type": "registrar_broker", "code": error.rule.value}}


@pytest.mark.parametrize(("deleting", "grace"), [(False, None), (True, 10), (True, None)])
def test_the_pod_is_told_what_the_api_server_says_of_it(deleting: bool, grace: int | None) -> None:  # noqa: FBT001
    """So that a drain can tell a container's restart from the pod's end."""
    answer = answers.pod_state(replace(POD, deleting=deleting, grace=grace))
    assert PodState.from_json(answer.body) == PodState(deleting, grace)


FAULTS = [
    litellm_answers.role_not_allowed("internal_user"),
    litellm_answers.route_not_allowed(["/chat"], "/model/new"),
    litellm_answers.unknown_key(KEY),
    litellm_answers.no_key(),
    litellm_answers.database_unreachable(),
    litellm_answers.no_database(),
    litellm_answers.no_database_for_update(),
    litellm_answers.store_model_off(),
    litellm_answers.store_model_off_for_update(),
    litellm_answers.not_added(),
    litellm_answers.not_live("create", ID),
    litellm_answers.not_found_on_proxy(ID),
    litellm_answers.config_model(),
    litellm_answers.update_failed(RuntimeError("Can't reach database server at `db`:`5432`")),
    litellm_answers.not_found_in_db(ID),
    litellm_answers.delete_failed(RuntimeError("All connection attempts failed")),
    litellm_answers.not_in_memory(ID),
    litellm_answers.no_deployment(),
    litellm_answers.missing_field("id"),
    litellm_answers.team_without_licence(),
]
# How the registrar calls what is about the key when it is the broker's.
_NAMES = {
    Reason.LITELLM_WRONG_KEY: Reason.BROKER_WRONG_KEY,
    Reason.LITELLM_KEY_MAY_NOT_WRITE: Reason.BROKER_KEY_MAY_NOT_WRITE,
}
ROW = Row(
    ID,
    "qwen",
    "qwen",
    {"model": "hosted_vllm/qwen", "api_base": f"{BASE}/v1", "api_key": "none", "extra_headers": {}},
    {"id": ID, "mode": "chat"},
    {
        "cluster": SETTINGS.cluster,
        "namespace": IDENTITY.namespace,
        "pod": IDENTITY.pod,
        "pod_uid": IDENTITY.pod_uid,
        "node": IDENTITY.node,
        "server": "vllm",
        "version": "",
        "model": "qwen",
        "owner": "",
        "unknown": [],
    },
)


async def outcomes(api: LiteLLM) -> list[object]:
    """Give what each of the registrar's calls comes to: a reason, or that there is no such row."""
    sent = body(ROW, owner=owner_block(ROW, marked=False), blocked=None)
    found = [
        await api.create(sent),
        await api.settle(ID, sent),
        await api.delete(ID),
        await api.read(ID),
        await api.named("qwen"),
    ]
    return [_NAMES.get(each.reason, each.reason) if isinstance(each, Failed) else each for each in found]


@pytest.mark.parametrize("fault", FAULTS)
async def test_litellms_faults_pass_through_as_themselves(
    fault: litellm_answers.RefusedError, tmp_path: Any
) -> None:
    """Through the broker the registrar learns of each what it learns of LiteLLM itself."""
    (tmp_path / "token").write_text("a.b.c")
    table = Table()
    table.faults.append(lambda _: httpx.Response(fault.status, json=fault.body))
    core = Core(table)
    async with table.client() as straight, core.client() as through:
        direct = await outcomes(LiteLLM(straight, ByKey(URL, KEY)))
        token = TokenFile(str(tmp_path / "token"), lambda _: None)
        brokered = await outcomes(LiteLLM(through, ByToken("https://broker", token)))
    assert brokered == direct
    assert not core.refused


async def test_a_row_lives_its_life_through_the_rules(tmp_path: Any) -> None:
    """Made, looked at, blocked, found again and deleted, as by LiteLLM itself."""
    (tmp_path / "token").write_text("a.b.c")
    core = Core()
    async with core.client() as client:
        api = LiteLLM(client, ByToken("https://broker", TokenFile(str(tmp_path / "token"), lambda _: None)))
        assert await api.ready() is None
        assert await api.pod() == PodState(deleting=False)
        assert isinstance(await api.read(row_id(CLUSTER, "team", "uid-1", "")), Absent)
        made = await api.create(body(ROW, owner=ROW.owner, blocked=None))
        blocked = await api.settle(ID, body(ROW, owner=owner_block(ROW, marked=True), blocked=True))
        settled = await api.settle(ID, body(ROW, owner=None, blocked=None))
        assert await api.read(ID) == (await api.table(lambda _: True))[0]  # type: ignore[index]
        assert isinstance(await api.delete(ID), Absent)
        assert isinstance(await api.settle(ID, body(ROW, owner=None, blocked=None)), Absent)
    assert not isinstance(made, Failed | Absent)
    assert (made.owner, made.blocked) == (ROW.owner, False)
    assert blocked == settled
    assert (core.table.rows, core.refused) == ({}, [])
