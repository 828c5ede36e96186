"""The admin API client: every row of the table of answers, and what never gets into an outcome."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from sidecar.access import ByKey, Failed
from sidecar.litellm import Absent, LiteLLM
from sidecar.reasons import Reason
from sidecar.registration import Stored
from tests.standins import litellm_answers as answers
from tests.standins.litellm_table import KEY, URL, Table

BODY: dict[str, Any] = {
    "model_name": "m",
    "litellm_params": {"model": "openai/m"},
    "model_info": {"id": "registrar-1", "registrar": {"cluster": "c1"}},
}
UNREACHABLE = httpx.ConnectError("All connection attempts failed")
CUT = httpx.RemoteProtocolError("Server disconnected without sending a response.")
DATABASE = RuntimeError("Can't reach database server at `db`:`5432`")
# What the same loss is called some time later.
UNCONNECTED = RuntimeError("All connection attempts failed")


def client(answer: httpx.Response | Exception | answers.RefusedError) -> LiteLLM:
    """Give a client of a LiteLLM that always answers this."""

    def handle(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, answers.RefusedError):
            return httpx.Response(answer.status, json=answer.body)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return LiteLLM(httpx.AsyncClient(transport=httpx.MockTransport(handle)), ByKey(URL, KEY))


def reason(outcome: object) -> Reason:
    """Give the reason of a failure."""
    assert isinstance(outcome, Failed), outcome
    return outcome.reason


EVERYWHERE = [
    (UNREACHABLE, Reason.LITELLM_UNREACHABLE),
    (httpx.ConnectTimeout("connect"), Reason.LITELLM_UNREACHABLE),
    (CUT, Reason.LITELLM_NO_ANSWER),
    (httpx.ReadTimeout("read"), Reason.LITELLM_NO_ANSWER),
    (answers.no_key(), Reason.LITELLM_WRONG_KEY),
    (answers.unknown_key("sk-x"), Reason.LITELLM_WRONG_KEY),
    (answers.route_not_allowed(["/chat"], "/model/new"), Reason.LITELLM_KEY_MAY_NOT_WRITE),
    (answers.role_not_allowed("internal_user"), Reason.LITELLM_KEY_MAY_NOT_WRITE),
    (answers.database_unreachable(), Reason.LITELLM_DATABASE_DOWN),
    (answers.no_database(), Reason.LITELLM_NO_DATABASE),
    (answers.no_database_for_update(), Reason.LITELLM_NO_DATABASE),
    (answers.proxy_error(400, "No connected db.", "no_db_connection"), Reason.LITELLM_NO_DATABASE),
    (httpx.Response(502, text="<html>bad gateway</html>"), Reason.LITELLM_ERROR),
    (httpx.Response(520, text="no such status"), Reason.LITELLM_ERROR),
    (httpx.Response(404, json={"detail": "Not Found"}), Reason.LITELLM_ERROR),
    (httpx.Response(308, headers={"location": "https://litellm/"}), Reason.LITELLM_ERROR),
    (httpx.Response(429, json={"error": {"message": "slow down"}}), Reason.LITELLM_ERROR),
]


@pytest.mark.parametrize("call", ["create", "settle", "delete", "read", "named", "table"])
@pytest.mark.parametrize(("answer", "expected"), EVERYWHERE)
async def test_what_can_go_wrong_anywhere(call: str, answer: Any, expected: Reason) -> None:
    """Transport, keys, roles and databases fail every call by the same names."""
    api = client(answer)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: api.create(BODY),
        "settle": lambda: api.settle("registrar-1", BODY),
        "delete": lambda: api.delete("registrar-1"),
        "read": lambda: api.read("registrar-1"),
        "named": lambda: api.named("m"),
        "table": lambda: api.table(lambda _: True),
    }
    assert reason(await calls[call]()) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answers.not_added(), Reason.LITELLM_NOT_ADDED),
        (answers.store_model_off(), Reason.LITELLM_STORE_MODEL_OFF),
        (answers.not_live("create", "registrar-1"), Reason.LITELLM_NOT_LIVE),
        (answers.missing_field("model_name"), Reason.LITELLM_REFUSED_ROW),
        (answers.proxy_error(400, "PTU is disabled", "auth_error"), Reason.LITELLM_REFUSED_ROW),
        (httpx.Response(200, text="<html>a login page</html>"), Reason.LITELLM_ERROR),
        (httpx.Response(200, json={"model_info": "text"}), Reason.LITELLM_ERROR),
        (httpx.Response(200, json=["a list"]), Reason.LITELLM_ERROR),
        (httpx.Response(200, content=b"[" * 100_000), Reason.LITELLM_ERROR),
        (answers.team_without_licence(), Reason.LITELLM_NOT_LICENSED),
    ],
)
async def test_a_creation_that_is_not_answered_with_the_row(answer: Any, expected: Reason) -> None:
    """POST /model/new: whatever is not the row is a failure with its own reason."""
    assert reason(await client(answer).create(BODY)) is expected


@pytest.mark.parametrize(
    "answer", [answers.not_found_on_proxy("registrar-1"), answers.config_model()], ids=["404", "config"]
)
async def test_patch_says_that_a_row_is_absent(answer: answers.RefusedError) -> None:
    """A 404, and a row that only this replica's memory still has, are absent."""
    assert await client(answer).settle("registrar-1", BODY) == Absent()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answers.update_failed(DATABASE), Reason.LITELLM_DATABASE_DOWN),
        (answers.update_failed(UNCONNECTED), Reason.LITELLM_DATABASE_DOWN),
        (answers.store_model_off_for_update(), Reason.LITELLM_STORE_MODEL_OFF),
        (answers.not_live("update", "registrar-1"), Reason.LITELLM_NOT_LIVE),
        (httpx.Response(404, json={"detail": "Not Found"}), Reason.LITELLM_ERROR),
    ],
)
async def test_patch_fails(answer: Any, expected: Reason) -> None:
    """PATCH: a 404 of another kind proves nothing."""
    assert reason(await client(answer).settle("registrar-1", BODY)) is expected


async def test_a_deletion_of_nothing_is_a_success() -> None:
    """400 "not found in db" says that the row is gone."""
    assert await client(answers.not_found_in_db("registrar-1")).delete("registrar-1") == Absent()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answers.delete_failed(DATABASE), Reason.LITELLM_DATABASE_DOWN),
        (answers.delete_failed(UNCONNECTED), Reason.LITELLM_DATABASE_DOWN),
        (answers.proxy_error(400, "Authentication Error, something", "auth_error"), Reason.LITELLM_ERROR),
        (httpx.Response(500, json={"error": {"message": "oops"}}), Reason.LITELLM_ERROR),
        (httpx.Response(200, text="<html>It works!</html>"), Reason.LITELLM_ERROR),
        (httpx.Response(200, json={}), Reason.LITELLM_ERROR),
    ],
)
async def test_any_other_answer_to_a_deletion_is_unknown(answer: Any, expected: Reason) -> None:
    """A database that is away answers with 400 too, another program at LiteLLM's address with 200."""
    assert reason(await client(answer).delete("registrar-1")) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": "healthy", "db": "connected"}, None),
        ({"status": "healthy", "db": "Not connected"}, Reason.LITELLM_NO_DATABASE),
        ({"status": "healthy"}, None),
    ],
)
async def test_readiness(answer: dict[str, str], expected: Reason | None) -> None:
    """/health/readiness tells whether there is a database."""
    failed = await client(httpx.Response(200, json=answer)).ready()
    assert (failed and failed.reason) is expected


async def test_readiness_while_the_database_is_away() -> None:
    """503 with "disconnected" is a database that is down, not one that is missing."""
    failed = await client(httpx.Response(503, json={"status": "healthy", "db": "disconnected"})).ready()
    assert reason(failed) is Reason.LITELLM_DATABASE_DOWN


async def test_a_row_is_made_changed_read_and_removed() -> None:
    """The good way through all calls, against the table of answers."""
    table = Table()
    api = LiteLLM(table.client(), ByKey(URL + "/", KEY))
    made = await api.create(BODY)
    assert isinstance(made, Stored)
    assert (made.id, made.name, made.owner, made.blocked) == ("registrar-1", "m", {"cluster": "c1"}, False)
    blocked = await api.settle("registrar-1", {**BODY, "blocked": True})
    assert isinstance(blocked, Stored)
    assert blocked.blocked is True
    read = await api.read("registrar-1")
    assert isinstance(read, Stored)
    assert read.blocked is True
    assert await api.table(lambda _: True) == (read,)
    assert await api.delete("registrar-1") == Absent()
    assert await api.read("registrar-1") == Absent()
    assert table.calls == {"create": 1, "settle": 1, "read": 2, "table": 1, "delete": 1}


async def test_the_rows_of_a_name_are_read_in_one_small_call() -> None:
    """Every row of the name, blocked or not, and of no other; nobody asks for a thousand of them."""
    table = Table()
    for key, name in (("a", "m"), ("b", "m"), ("c", "other")):
        info, params = {"id": key}, {"model": "openai/m", "weight": 2}
        table.rows[key] = {
            "model_name": name,
            "litellm_params": params,
            "model_info": info,
            "blocked": key == "b",
        }
    rows = await LiteLLM(table.client(), ByKey(URL, KEY)).named("m")
    assert not isinstance(rows, Failed)
    assert [(row.id, row.params["weight"], row.blocked) for row in rows] == [("a", 2, None), ("b", 2, True)]
    assert table.calls == {"named": 1}


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ({"team_id": "t", "team_public_model_name": "qwen"}, "qwen"),
        ({"team_id": "t"}, "model_name_t_1"),
        ({"team_public_model_name": "qwen"}, "model_name_t_1"),
    ],
)
async def test_the_row_of_a_team_has_the_name_that_clients_use(info: dict[str, str], name: str) -> None:
    """LiteLLM gives such a row a made-up name; that must not look as if somebody had changed it."""
    item = {"model_name": "model_name_t_1", "litellm_params": {}, "model_info": {"id": "registrar-1", **info}}
    found = await client(httpx.Response(200, json={"data": [item]})).read("registrar-1")
    assert isinstance(found, Stored)
    assert found.name == name


async def test_an_older_litellm_does_not_say_blocked() -> None:
    """Where the answer has no `blocked`, it is unknown and not false."""
    table = Table(has_blocked=False)
    made = await LiteLLM(table.client(), ByKey(URL, KEY)).create(BODY)
    assert isinstance(made, Stored)
    assert made.blocked is None


async def test_the_table_is_read_page_by_page() -> None:
    """All pages are read; odd rows, and rows nobody wants to keep, are passed over."""
    pages = {
        "1": {
            "data": [{"model_info": {"id": "a"}}, {"model_info": {}}, "x", {"model_info": {"id": "c"}}],
            "total_pages": 2,
        },
        "2": {"data": [{"model_info": {"id": "b"}, "litellm_params": None}], "total_pages": 2},
    }

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=pages[request.url.params["page"]])

    api = LiteLLM(httpx.AsyncClient(transport=httpx.MockTransport(handle)), ByKey(URL, KEY))
    rows = await api.table(lambda row: row.id != "c")
    assert not isinstance(rows, Failed)
    assert [row.id for row in rows] == ["a", "b"]


@pytest.mark.parametrize(
    ("url", "key", "expected"),
    [
        (None, KEY, Reason.LITELLM_NO_SECRET),
        (URL, None, Reason.LITELLM_NO_SECRET),
        ("", "", Reason.LITELLM_NO_SECRET),
        ("litellm:4000", KEY, Reason.LITELLM_BAD_URL),
        ("ftp://litellm", KEY, Reason.LITELLM_BAD_URL),
        ("http://", KEY, Reason.LITELLM_BAD_URL),
        ("http://litellm:port", KEY, Reason.LITELLM_BAD_URL),
    ],
)
async def test_a_litellm_that_cannot_be_asked(url: str | None, key: str | None, expected: Reason) -> None:
    """A missing Secret and a bad address are named, and nothing is sent anywhere."""
    table = Table()
    api = LiteLLM(table.client(), ByKey(url, key))
    assert reason(await api.create(BODY)) is expected
    assert reason(await api.ready()) is expected
    assert not table.calls


async def test_a_key_outside_ascii_is_a_named_failure() -> None:
    """A Secret that holds no possible HTTP header is told by name, not by a traceback."""
    table = Table()
    assert (
        reason(await LiteLLM(table.client(), ByKey(URL, "sk-schlüssel\n")).ready())
        is Reason.LITELLM_WRONG_KEY
    )


async def test_the_text_of_a_401_is_not_repeated() -> None:
    """LiteLLM's 401 shows part of the key; no outcome holds it."""
    failed = await client(answers.unknown_key("sk-secret-1234")).create(BODY)
    assert isinstance(failed, Failed)
    assert failed.detail == "HTTP 401"


async def test_every_call_carries_the_key_and_the_path_prefix() -> None:
    """LiteLLM may live under a path; its key goes in the Authorization header only."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"data": []})

    api = LiteLLM(httpx.AsyncClient(transport=httpx.MockTransport(handle)), ByKey("https://gw/llm/", KEY))
    await api.read("registrar-1")
    await api.delete("registrar-1")
    assert [str(request.url) for request in seen] == [
        "https://gw/llm/v2/model/info?modelId=registrar-1&size=1",
        "https://gw/llm/model/delete",
    ]
    assert all(request.headers["Authorization"] == f"Bearer {KEY}" for request in seen)
    assert json.loads(seen[1].content) == {"id": "registrar-1"}
