"""What is asked of a broker, read from the bytes of a request."""

import json
from typing import Any

import pytest

from sidecar.broker_contract import DrainReport, State, StateReport
from sidecar.contract import CONTRACT_VERSION
from sidecar.row_contract import row_id
from webhook.broker import limits
from webhook.broker.asking import NEWEST_CONTRACT, OLDEST_CONTRACT, contract_of, read
from webhook.broker.shapes import (
    Asked,
    AskPod,
    Change,
    Create,
    Delete,
    Look,
    OwnRows,
    Ready,
    RefusedError,
    RowSent,
    Rule,
    Siblings,
    Tell,
)

ID = row_id("c1", "team", "uid-1", "qwen")
ROW: dict[str, Any] = {
    "model_name": "qwen",
    "litellm_params": {"model": "hosted_vllm/qwen"},
    "model_info": {"id": ID, "mode": "chat", "registrar": {"model": "qwen"}},
}
STATE = StateReport(
    State.DRAINED,
    "drain_timeout",
    "told",
    warning=True,
    wanted=2,
    drain=DrainReport("done", {"deleting": 0.5}, None),
)
READ = RowSent(ID, "qwen", {"model": "hosted_vllm/qwen"}, {"mode": "chat"}, {"model": "qwen"}, None)


def asked(method: str, target: str, body: Any = b"", contract: int = CONTRACT_VERSION) -> Asked:
    """Read a request; what is no bytes is sent as JSON."""
    path, _, query = target.partition("?")
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read(method, path, query, content, contract)


def refused(method: str, target: str, body: Any = b"", contract: int = CONTRACT_VERSION) -> RefusedError:
    """Give the refusal of a request."""
    with pytest.raises(RefusedError) as caught:
        asked(method, target, body, contract)
    assert caught.value.status == 403
    return caught.value


@pytest.mark.parametrize(
    ("method", "target", "body", "expected"),
    [
        ("GET", "/health/readiness", b"", Ready()),
        ("GET", "/registrar/pod", b"", AskPod()),
        ("GET", f"/v2/model/info?modelId={ID}&size=1", b"", Look(ID)),
        ("GET", "/v2/model/info?model=qwen&size=50", b"", Siblings("qwen")),
        ("GET", "/v2/model/info?model=meta%2Fllama+3%3A8b&size=50", b"", Siblings("meta/llama 3:8b")),
        ("GET", "/v2/model/info?page=1&size=200", b"", OwnRows()),
        ("GET", "/v2/model/info?page=12&size=200", b"", OwnRows()),
        ("POST", "/model/new", ROW, Create(READ)),
        ("PATCH", f"/model/{ID}/update", ROW, Change(ID, READ)),
        ("PATCH", "/model/other/update", ROW, Change("other", READ)),
        ("POST", "/model/delete", {"id": ID}, Delete(ID)),
        ("POST", "/registrar/state", STATE.to_json(), Tell(STATE)),
        ("POST", "/registrar/state", {**STATE.to_json(), "of a newer one": [1]}, Tell(STATE)),
        ("POST", "/registrar/state", {"state": "waiting"}, Tell(StateReport(State.WAITING))),
    ],
)
def test_what_a_registrar_asks_is_read(method: str, target: str, body: Any, expected: Asked) -> None:
    """Each of the registrar's calls, as it sends it."""
    assert asked(method, target, body) == expected


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", "/model/info"),
        ("GET", "/v1/model/info"),
        ("GET", "/v2/model/info"),
        ("GET", "/key/info"),
        ("GET", "//v2/model/info?page=1&size=1"),
        ("GET", "/v2/model/info/?page=1&size=1"),
        ("GET", "/v2//model/info?page=1&size=1"),
        ("GET", "/v2/model/../model/info?page=1&size=1"),
        ("GET", "/v2%2Fmodel/info?page=1&size=1"),
        ("GET", "/V2/model/info?page=1&size=1"),
        ("GET", "/health/readiness/"),
        ("GET", "/health/readiness;x"),
        ("GET", "http://broker/health/readiness"),
        ("GET", "*"),
        ("GET", ""),
        ("HEAD", "/health/readiness"),
        ("get", "/health/readiness"),
        ("OPTIONS", "/model/new"),
        ("PUT", "/model/new"),
        ("POST", "/model/update"),
        ("POST", "/model/block"),
        ("POST", "/key/generate"),
        ("POST", "/model/new/"),
        ("POST", "/model/new%00"),
        ("DELETE", f"/model/{ID}"),
        ("POST", f"/model/{ID}/update"),
        ("PATCH", f"/model/{ID}/update/"),
        ("PATCH", f"/model/{ID}/../x/update"),
        ("PATCH", "/model//update"),
        ("PATCH", f"/model/{'x' * 300}/update"),
        ("CONNECT", "litellm:4000"),
    ],
)
def test_other_routes_are_refused(method: str, target: str) -> None:
    """LiteLLM's other calls, and other spellings of the ones that are served."""
    assert refused(method, target, b"" if method == "GET" else ROW).rule is Rule.ROUTE_UNKNOWN


@pytest.mark.parametrize(
    "query",
    [
        f"modelId={ID}",
        f"modelId={ID}&size=1&size=1",
        f"modelId={ID}&modelId=other&size=1",
        f"modelId={ID}&modelId=other",
        f"modelId={ID}&model=qwen",
        f"modelId={ID}&model=qwen&size=1",
        f"modelId={ID}&size=0",
        f"modelId={ID}&size=-1",
        f"modelId={ID}&size=1e3",
        f"modelId={ID}&size=",
        f"modelId={ID}&size=\N{ARABIC-INDIC DIGIT ONE}",
        f"modelId={ID};size=1",
        f"modelId={ID}&size=1&search=x",
        f"modelid={ID}&size=1",
        "model=%FF&size=50",
        "model=a&model=b",
        "search=x&size=1",
        "page=0&size=1",
        "page=1&size=1000000",
        "page=1&size=1&",
        "&",
        "page",
        "model=x&size=" + "1" * 5000,
    ],
)
def test_other_queries_are_refused(query: str) -> None:
    """A parameter twice, two questions at once, or one that a registrar never asks."""
    assert refused("GET", f"/v2/model/info?{query}").rule is Rule.ROUTE_UNKNOWN


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/health/readiness?x=1"), ("GET", "/registrar/pod?pod=other"), ("POST", "/model/new?id=other")],
)
def test_a_query_where_there_is_none_is_refused(method: str, target: str) -> None:
    """What the registrar asks without one has none."""
    assert refused(method, target, b"" if method == "GET" else ROW).rule is Rule.ROUTE_UNKNOWN


def test_a_body_behind_a_question_is_refused() -> None:
    """A GET with a body could be read in two ways."""
    assert refused("GET", "/health/readiness", b"{}").rule is Rule.BODY_BAD


DEEP = b'{"model_name": ' + b"[" * 20 + b"]" * 20 + b"}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not the JSON"),
        (b"null", "found null"),
        (b"[]", "found a list"),
        (b'"x"', "found 'x'"),
        (b"{", "not the JSON"),
        (b'{"a": 1} {"b": 2}', "not the JSON"),
        (b'{"id": "a", "id": "b"}', "twice"),
        (b'{"model_info": {"id": "a", "\\u0069d": "b"}}', "twice"),
        (b'{"model_name": NaN}', "NaN"),
        (b'{"model_name": -Infinity}', "-Infinity"),
        (b'{"model_name": 1e999}', "too large"),
        (b'{"model_name": 9007199254740993}', "a whole number beyond"),
        (b'{"model_name": ' + b"9" * 10000 + b"}", "a whole number beyond"),
        (b'{"model_name": "a\\u0000b"}', "NUL"),
        (b'{"model\\u0000_name": "a"}', "NUL"),
        (b'{"model_name": "\\ud800"}', "half a character"),
        (b'{"\\udfff": 1}', "half a character"),
        (b'\xff{"id": "a"}', "not UTF-8, at byte 0"),
        (b'\xef\xbb\xbf{"id": "a"}', "not the JSON"),
        ('{"id": "a"}'.encode("utf-16"), "not UTF-8"),
        (DEEP, "nested deeper than 13"),
        (b'{"a": ' * 50000 + b"1" + b"}" * 50000, ""),
        (b'{"a":' * 20000 + b"1" + b"}" * 20000, "nested deeper"),
    ],
)
def test_json_that_could_be_read_in_two_ways_is_refused(body: bytes, message: str) -> None:
    """Keys twice, numbers that are none, what PostgreSQL cannot keep, and nesting without end."""
    error = refused("POST", "/model/new", body)
    assert error.rule in (Rule.BODY_BAD, Rule.BODY_TOO_LARGE)
    assert message in error.message


def test_a_body_may_be_as_long_as_an_owner_can_make_it_and_no_longer() -> None:
    """The bound is said with what was found."""
    content = json.dumps(ROW).encode()
    assert asked("POST", "/model/new", content.ljust(limits.MAX_BODY)) == Create(READ)
    error = refused("POST", "/model/new", content.ljust(limits.MAX_BODY + 1))
    assert error.rule is Rule.BODY_TOO_LARGE
    assert error.message == "found 131073 bytes, allowed are up to 131072"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_name": None}, "model_name: found null, allowed is a text"),
        ({"model_name": ["qwen"]}, "model_name: found a list, allowed is a text"),
        ({"litellm_params": []}, "litellm_params: found a list, allowed is an object"),
        ({"model_info": None}, "model_info: found null, allowed is an object with the row's id"),
        ({"model_info": {}}, "model_info: found a JSON object, allowed is an object with the row's id"),
        (
            {"model_info": {"id": 1}},
            "model_info: found a JSON object, allowed is an object with the row's id",
        ),
        (
            {"model_info": {"id": ID, "registrar": None}},
            "model_info.registrar: found null, allowed is an object",
        ),
        ({"blocked": None}, "blocked: found null, allowed is true or false"),
        ({"blocked": 1}, "blocked: found 1, allowed is true or false"),
        (
            {"model_id": "x"},
            "unknown: 'model_id'; allowed are blocked, litellm_params, model_info, model_name",
        ),
    ],
)
def test_a_row_has_its_four_parts_and_nothing_else(change: dict[str, Any], message: str) -> None:
    """Each with its type; the message names the field, what was found and what is allowed."""
    error = refused("POST", "/model/new", ROW | change)
    assert (error.rule, error.message) == (Rule.BODY_BAD, message)


def test_whether_a_row_is_blocked_is_read() -> None:
    """It is no part of the rest."""
    found = asked("PATCH", f"/model/{ID}/update", ROW | {"blocked": True})
    assert isinstance(found, Change)
    assert found.row.blocked is True


@pytest.mark.parametrize("body", [{}, {"id": 1}, {"id": None}, {"id": ID, "model_id": "other"}, [ID]])
def test_a_deletion_names_one_id(body: Any) -> None:
    """And nothing else that LiteLLM might go by."""
    assert refused("POST", "/model/delete", body).rule is Rule.BODY_BAD


def test_what_only_a_newer_registrar_sends_is_left_out_and_named() -> None:
    """It may have learned of something that this broker does not know."""
    found = asked("POST", "/model/new", ROW | {"x_new": {"deep": [1]}}, CONTRACT_VERSION + 1)
    assert isinstance(found, Create)
    assert found.row.left_out == ("x_new",)
    assert asked("POST", "/model/delete", {"id": ID, "why": "drain"}, CONTRACT_VERSION + 2) == Delete(ID)


@pytest.mark.parametrize(
    "keys", [["a b"], ["x\r\nSet-Cookie: a"], ["é"], [""], ["k" * 101], [f"k{n}" for n in range(33)]]
)
def test_what_cannot_be_named_in_a_header_is_not_left_out(keys: list[str]) -> None:
    """A newer registrar's keys are names; nothing of a body gets into a header as it is."""
    error = refused("POST", "/model/new", ROW | dict.fromkeys(keys, 1), CONTRACT_VERSION + 1)
    assert error.rule is Rule.BODY_BAD


@pytest.mark.parametrize("version", range(OLDEST_CONTRACT, NEWEST_CONTRACT + 1))
def test_contracts_to_either_side_are_served(version: int) -> None:
    """Two versions older, as far as they knew of brokers, and two newer."""
    assert contract_of(str(version)) == version


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "2",
        "0",
        str(NEWEST_CONTRACT + 1),
        "-3",
        "3.0",
        " 3",
        "3, 3",
        "\N{ARABIC-INDIC DIGIT THREE}",
        "9" * 99,
    ],
)
def test_other_contracts_are_refused(header: str | None) -> None:
    """And a header that is missing, or no number."""
    with pytest.raises(RefusedError) as caught:
        contract_of(header)
    assert caught.value.rule is Rule.CONTRACT_UNSUPPORTED
    assert f"served are {OLDEST_CONTRACT} to {NEWEST_CONTRACT}" in caught.value.message


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "state: one of waiting, serving"),
        ({"state": "paused"}, "state: one of waiting, serving"),
        ({"state": 3}, "state: a text"),
        ({"state": "waiting", "reason": "Not A Name"}, "reason: a name"),
        ({"state": "waiting", "reason": "r" * 64}, "reason: a name"),
        ({"state": "waiting", "message": {}}, "message: a text"),
        ({"state": "serving", "models": -1}, "models: a whole number"),
        ({"state": "serving", "models": True}, "models: a whole number"),
        ({"state": "serving", "routable": -0.1}, "routable: seconds"),
        ({"state": "serving", "routable": "soon"}, "routable: seconds"),
        ({"state": "drained", "drain": {"end": "odd", "seconds": {}}}, "drain: an end of done"),
        ({"state": "drained", "drain": {"end": "done"}}, "drain: an end of done"),
        ({"state": "drained", "drain": {"end": "done", "seconds": {"deleting": -1}}}, "deleting: seconds"),
        ({"state": "drained", "drain": {"end": "done", "seconds": {}, "cut": 0.5}}, "cut: a whole number"),
    ],
)
def test_a_report_that_is_none_is_refused_by_its_field(body: Any, named: str) -> None:
    """What is told of a state is held to its form: nothing of it becomes a label or a reason as it comes."""
    error = refused("POST", "/registrar/state", body)
    assert error.rule is Rule.BODY_BAD
    assert named in error.message
