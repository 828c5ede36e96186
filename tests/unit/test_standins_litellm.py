"""The stand-in for LiteLLM says and does what was measured on LiteLLM 1.106.2."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.standins import litellm_router
from tests.standins.litellm import LiteLLM
from tests.standins.litellm_store import MASTER_KEY, Key
from tests.standins.model_server import ModelServer
from tests.standins.vllm import VLLM


def row(model_id: str, name: str, api_base: str = "http://127.0.0.1:9/v1", **more: Any) -> dict[str, Any]:
    """Give a body of POST /model/new."""
    params = {"model": f"hosted_vllm/{name}", "api_base": api_base}
    return {"model_name": name, "litellm_params": params, "model_info": {"id": model_id}, **more}


@pytest.fixture
async def lite() -> AsyncIterator[LiteLLM]:
    """Two replicas that reload only when told to."""
    async with LiteLLM(2) as litellm:
        yield litellm


@pytest.fixture
async def r0(lite: LiteLLM) -> AsyncIterator[httpx.AsyncClient]:
    """Give an admin's client of the first replica."""
    async with client(lite, 0) as found:
        yield found


@pytest.fixture
async def r1(lite: LiteLLM) -> AsyncIterator[httpx.AsyncClient]:
    """Give an admin's client of the second replica."""
    async with client(lite, 1) as found:
        yield found


def client(lite: LiteLLM, number: int, key: str = MASTER_KEY) -> httpx.AsyncClient:
    """Give a client of one replica."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(base_url=lite.replicas[number].url, headers=headers, trust_env=False, timeout=60)


async def chat(at: httpx.AsyncClient, model: str, *, stream: bool = False) -> httpx.Response:
    """Ask for a chat by name."""
    return await at.post("/v1/chat/completions", json={"model": model, "messages": [], "stream": stream})


def message(answer: httpx.Response) -> str:
    """Give error.message."""
    return str(answer.json()["error"]["message"])


async def test_create_keeps_the_own_id_and_a_duplicate_looks_like_a_lost_database(
    lite: LiteLLM, r0: httpx.AsyncClient
) -> None:
    """A second create of an id and a create without database get the same 500."""
    created = await r0.post("/model/new", json=row("a", "m"))
    assert (created.status_code, created.json()["model_id"]) == (200, "a")
    duplicate = await r0.post("/model/new", json=row("a", "m"))
    lite.database.up = False
    lost = await r0.post("/model/new", json=row("b", "m"))
    assert duplicate.status_code == lost.status_code == 500
    assert duplicate.json() == lost.json()
    text = "{'error': 'Failed to add model to db. Check your server logs for more details.'}"
    assert message(lost) == text


async def test_of_parallel_creates_of_one_id_one_wins(lite: LiteLLM, r0: httpx.AsyncClient) -> None:
    """Fifty replays of one registration leave one row."""
    answers = await asyncio.gather(*(r0.post("/model/new", json=row("a", "m")) for _ in range(50)))
    assert sorted(a.status_code for a in answers) == [200] + [500] * 49
    assert list(lite.database.rows) == ["a"]


async def test_patch_settles_what_a_row_is(
    lite: LiteLLM, r0: httpx.AsyncClient, r1: httpx.AsyncClient
) -> None:
    """PATCH is 404 for nothing, 200 for a row, 400 for one only in memory, 500 without database."""
    wanted = {"model_name": "m", "model_info": {"id": "a", "x": 1}}
    assert (await r0.patch("/model/a/update", json=wanted)).status_code == 404
    await r0.post("/model/new", json=row("a", "m"))
    merged = await r0.patch("/model/a/update", json=wanted | {"blocked": True})
    assert merged.status_code == 200
    assert merged.json()["blocked"] is True
    assert lite.database.rows["a"].litellm_params["api_base"] == "http://127.0.0.1:9/v1"
    lite.replicas[1].reload()
    await r0.post("/model/delete", json={"id": "a"})
    stale = await r1.patch("/model/a/update", json=wanted)
    assert stale.status_code == 400
    assert message(stale).startswith("Cannot edit config-based model.")
    lite.database.up = False
    lost = await r0.patch("/model/a/update", json=wanted)
    assert lost.status_code == 500
    assert "Can't reach database server" in message(lost)


async def test_patch_of_model_info_without_id_stores_a_random_one(
    lite: LiteLLM, r0: httpx.AsyncClient
) -> None:
    """The primary key stays, model_info.id does not."""
    await r0.post("/model/new", json=row("a", "m"))
    await r0.patch("/model/a/update", json={"model_info": {"x": 1}})
    assert lite.database.rows["a"].model_info["id"] != "a"


async def test_delete_is_400_for_unknown_and_for_a_lost_database(
    lite: LiteLLM, r0: httpx.AsyncClient
) -> None:
    """Only the text tells that a row is gone from that nobody knows."""
    unknown = await r0.post("/model/delete", json={"id": "x"})
    assert unknown.status_code == 400
    assert message(unknown) == "{'error': 'Model with id=x not found in db'}"
    lite.database.up = False
    lost = await r0.post("/model/delete", json={"id": "x"})
    assert lost.status_code == 400
    assert "Can't reach database server" in message(lost)


async def test_replicas_lag_but_a_new_name_is_read_through(
    lite: LiteLLM, r0: httpx.AsyncClient, r1: httpx.AsyncClient
) -> None:
    """The other replica serves a new name at once, a second row and a deletion only after its reload."""
    async with VLLM("m") as one, VLLM("m") as two:
        await one.load()
        await two.load()
        await r0.post("/model/new", json=row("a", "m", f"{one.url}/v1"))
        assert (await r1.get("/model/info", params={"litellm_model_id": "a"})).status_code == 400
        assert (await chat(r1, "m")).headers["x-litellm-model-id"] == "a"
        await r0.post("/model/new", json=row("b", "m", f"{two.url}/v1"))
        assert {(await chat(r1, "m")).headers["x-litellm-model-id"] for _ in range(20)} == {"a"}
        assert {(await chat(r0, "m")).headers["x-litellm-model-id"] for _ in range(20)} == {"a", "b"}
        await r0.post("/model/delete", json={"id": "a"})
        assert {(await chat(r0, "m")).headers["x-litellm-model-id"] for _ in range(20)} == {"b"}
        assert {(await chat(r1, "m")).headers["x-litellm-model-id"] for _ in range(20)} == {"a"}
        lite.replicas[1].reload()
        assert {(await chat(r1, "m")).headers["x-litellm-model-id"] for _ in range(20)} == {"b"}


async def test_an_unknown_name_is_remembered_as_missing_for_two_seconds(
    lite: LiteLLM, r0: httpx.AsyncClient, r1: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name asked for too early is refused on a lagging replica though its row is there by then."""
    assert litellm_router.MISS_TTL == 2
    monkeypatch.setattr(litellm_router, "MISS_TTL", 60.0)  # two seconds may be over on a busy machine
    refused = await chat(r1, "m")
    assert refused.status_code == 400
    assert "Invalid model name passed in model=m." in message(refused)
    await r0.post("/model/new", json=row("a", "m"))
    assert (await chat(r1, "m")).status_code == 400
    lite.replicas[1].reload()
    assert (await chat(r1, "m")).status_code == 500


async def test_v2_info_reads_memory_then_the_database(
    lite: LiteLLM, r0: httpx.AsyncClient, r1: httpx.AsyncClient
) -> None:
    """A lagging replica finds a new row by id, an empty router finds nothing, and pages are of memory."""
    await r0.post("/model/new", json=row("a", "m"))
    asked = {"modelId": "b"}
    assert (await r1.get("/v2/model/info", params=asked)).json()["data"] == []
    lite.replicas[1].reload()
    body = row("b", "n")
    body["litellm_params"]["api_key"] = "secret"
    await r0.post("/model/new", json=body)
    found = (await r1.get("/v2/model/info", params=asked)).json()["data"]
    assert [f["model_info"]["id"] for f in found] == ["b"]
    assert "api_key" not in found[0]["litellm_params"]
    page = (await r0.get("/v2/model/info", params={"page": 2, "size": 1})).json()
    assert page | {"data": len(page["data"])} == {
        "data": 1,
        "total_count": 2,
        "current_page": 2,
        "total_pages": 2,
        "size": 1,
    }


async def test_v2_info_without_database_answers_from_memory_for_a_minute(
    lite: LiteLLM, r0: httpx.AsyncClient
) -> None:
    """At first a row in memory is shown and any other is `[]`; later both are 503."""
    await r0.post("/model/new", json=row("a", "m"))
    lite.database.up = False
    pages = [await r0.get("/v2/model/info", params={"modelId": model_id}) for model_id in ("a", "b")]
    assert [len(page.json()["data"]) for page in pages] == [1, 0]
    lite.replicas[0].faults.config_cached = False
    assert (await r0.get("/v2/model/info", params={"modelId": "a"})).status_code == 503


async def test_blocked_rows_get_nothing_and_stay_listed(r0: httpx.AsyncClient) -> None:
    """The only row of a name blocked: 403; unblocked: served again."""
    async with VLLM("m") as server:
        await server.load()
        await r0.post("/model/new", json=row("a", "m", f"{server.url}/v1"))
        assert (await r0.post("/model/block", json={"model_id": "a"})).status_code == 200
        refused = await chat(r0, "m")
        assert (refused.status_code, "Model is blocked" in refused.text) == (403, True)
        listed = (await r0.get("/model/info")).json()["data"]
        assert [m["model_info"]["blocked"] for m in listed] == [True]
        await r0.post("/model/unblock", json={"model_id": "a"})
        assert (await chat(r0, "m")).status_code == 200


async def test_readiness_tells_three_kinds_of_database(lite: LiteLLM) -> None:
    """Connected, disconnected (503) and none at all; no key is needed."""
    async with client(lite, 0, key="") as nobody:
        assert (await nobody.get("/health/readiness")).json()["db"] == "connected"
        lite.database.up = False
        lost = await nobody.get("/health/readiness")
        assert (lost.status_code, lost.json()["db"]) == (503, "disconnected")
        lite.replicas[0].faults.has_database = False
        none = await nobody.get("/health/readiness")
        assert (none.status_code, none.json()["db"]) == (200, "Not connected")


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        ("sk-wrong", 401, "Invalid proxy server token passed"),
        ("plain", 401, "LiteLLM Virtual Key expected"),
        ("sk-weak", 403, "Virtual key is not allowed to call this route"),
        ("sk-user", 403, "You can only make model calls if you are a PROXY_ADMIN"),
    ],
)
async def test_keys_are_refused_as_litellm_does(key: str, status: int, words: str) -> None:
    """A wrong key is 401, one that may not 403."""
    keys = {"sk-weak": Key(allowed_routes=("/model/info",)), "sk-user": Key(role="internal_user")}
    async with LiteLLM(1, keys=keys) as lite, client(lite, 0, key) as at:
        refused = await at.post("/model/new", json=row("a", "m"))
        assert (refused.status_code, words in message(refused)) == (status, True)
        lite.database.up = False
        assert (await at.get("/model/info")).status_code == 503


async def test_a_cut_answer_was_committed(lite: LiteLLM, r0: httpx.AsyncClient) -> None:
    """The connection is cut after the row is stored, so often as asked."""
    lite.replicas[0].faults.cut_after_commit = 1
    with pytest.raises(httpx.RemoteProtocolError):
        await r0.post("/model/new", json=row("a", "m"))
    assert list(lite.database.rows) == ["a"]
    assert (await r0.patch("/model/a/update", json=row("a", "m"))).status_code == 200


async def test_a_row_may_be_stored_and_not_live(lite: LiteLLM, r0: httpx.AsyncClient) -> None:
    """An unknown provider, or a replica that cannot serve: 500, and the row is there."""
    body = row("a", "m")
    body["litellm_params"]["model"] = "nonsense/m"
    unknown = await r0.post("/model/new", json=body)
    lite.replicas[0].faults.not_live = True
    failed = await r0.post("/model/new", json=row("b", "m"))
    assert unknown.status_code == failed.status_code == 500
    assert "Model create was saved to the database, but the model id(s) ['b'] are not live" in message(failed)
    assert list(lite.database.rows) == ["a", "b"]


async def test_store_model_off_and_no_database_have_their_words(lite: LiteLLM, r0: httpx.AsyncClient) -> None:
    """Create says what is missing; update says it in its own way."""
    faults = lite.replicas[0].faults
    faults.store_model_in_db = False
    assert "STORE_MODEL_IN_DB" in message(await r0.post("/model/new", json=row("a", "m")))
    assert (await r0.patch("/model/a/update", json={})).status_code == 400
    faults.has_database = False
    assert "No DB Connected" in message(await r0.post("/model/new", json=row("a", "m")))


async def test_an_older_litellm_ignores_blocked(lite: LiteLLM, r0: httpx.AsyncClient) -> None:
    """Without the column the field is not in any answer and block is 404."""
    lite.replicas[0].faults.has_blocked = False
    await r0.post("/model/new", json=row("a", "m"))
    answer = await r0.patch("/model/a/update", json={"blocked": True})
    assert (answer.status_code, "blocked" in answer.json()) == (200, False)
    assert (await r0.post("/model/block", json={"model_id": "a"})).status_code == 404
    assert lite.database.rows["a"].blocked is False


async def test_rows_without_the_key_that_others_have_get_nothing(
    lite: LiteLLM, r0: httpx.AsyncClient
) -> None:
    """One row with rpm and one without: 40 to 0; with a weight on both the rpm decides nothing."""
    async with ModelServer("m") as server:
        await server.load()
        for key, params in (("a", {"rpm": 5}), ("b", {})):
            body = row(key, "m", f"{server.url}/v1")
            body["litellm_params"] |= params
            assert (await r0.post("/model/new", json=body)).is_success
        for _ in range(40):
            assert (await chat(r0, "m")).is_success
        assert lite.replicas[0].router.served == {"a": 40}
        for key in ("a", "b"):
            body = {"litellm_params": {"weight": 1}, "model_info": {"id": key}}
            assert (await r0.patch(f"/model/{key}/update", json=body)).is_success
        for _ in range(40):
            assert (await chat(r0, "m")).is_success
        assert lite.replicas[0].router.served["b"] > 0


async def test_the_rows_of_a_name_are_listed(r0: httpx.AsyncClient) -> None:
    """By name: every row of it and of no other, also one of an id that is asked for as a name."""
    for key, name in (("a", "m"), ("b", "m"), ("c", "other")):
        assert (await r0.post("/model/new", json=row(key, name))).is_success

    async def listed(name: str) -> list[str]:
        answer = await r0.get("/v2/model/info", params={"model": name, "size": 50})
        return [found["model_info"]["id"] for found in answer.json()["data"]]

    assert await listed("m") == ["a", "b"]
    assert await listed("a") == await listed("nobody") == []


async def test_a_search_finds_what_only_the_database_knows(
    lite: LiteLLM, r0: httpx.AsyncClient, r1: httpx.AsyncClient
) -> None:
    """The other replica's new row is found by its exact name, but not without search or database."""
    await r1.post("/model/new", json=row("first", "other"))
    lite.replicas[0].reload()
    await r1.post("/model/new", json=row("a", "m"))

    async def found(query: str) -> list[str]:
        rows = (await r0.get(f"/v2/model/info?{query}")).json()["data"]
        return [each["model_info"]["id"] for each in rows]

    assert (await found("model=m"), await found("model=m&search=m")) == ([], ["a"])
    assert await found("model=n&search=n") == []
    lite.database.up = False
    assert await found("model=m&search=m") == []


async def test_only_names_with_a_star_are_patterns(r0: httpx.AsyncClient) -> None:
    """`wildcard_only` leaves out all other rows."""
    for key, name in (("a", "m"), ("b", "team/*")):
        await r0.post("/model/new", json=row(key, name))
    shown = (await r0.get("/v2/model/info?wildcard_only=true")).json()["data"]
    assert [each["model_name"] for each in shown] == ["team/*"]


async def test_a_key_is_told_what_it_may_call() -> None:
    """A key of the database may be asked about, the master key is in none."""
    keys = {MASTER_KEY: Key(), "sk-any": Key()}
    async with LiteLLM(1, keys=keys) as lite, client(lite, 0, "sk-any") as some, client(lite, 0) as master:
        assert (await some.get("/key/info")).json()["info"]["allowed_routes"] == []
        assert (await master.get("/key/info")).status_code == 404


async def test_config_models_are_served_and_cannot_be_written() -> None:
    """A deployment of the config file is in memory only."""
    async with (
        LiteLLM(1, config_models=[row("c", "from-config")]) as lite,
        client(lite, 0) as at,
    ):
        assert [m["id"] for m in (await at.get("/v1/models")).json()["data"]] == ["from-config"]
        assert (await at.patch("/model/c/update", json={})).status_code == 400
        assert (await at.post("/model/delete", json={"id": "c"})).status_code == 400


async def test_a_replica_that_died_comes_back_with_what_the_database_holds(
    lite: LiteLLM, r0: httpx.AsyncClient
) -> None:
    """Refused while it is away; its memory is the database afterwards."""
    await r0.post("/model/new", json=row("a", "m"))
    await lite.replicas[0].refuse()
    with pytest.raises(httpx.ConnectError):
        await r0.get("/health/readiness")
    await lite.replicas[0].start()
    assert (await r0.get("/model/info", params={"litellm_model_id": "a"})).status_code == 200


async def test_a_stream_that_is_cut_ends_with_an_error_under_http_200(r0: httpx.AsyncClient) -> None:
    """A server killed in the middle of a stream: HTTP 200, an SSE error, no [DONE]."""
    async with ModelServer("m", gap=0.05, chunks=1000) as server:
        await server.load()
        await r0.post("/model/new", json=row("a", "m", f"{server.url}/v1"))
        body = {"model": "m", "messages": [], "stream": True}
        async with r0.stream("POST", "/chat/completions", json=body) as answer:
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith("data: {")
            await server.kill()
            rest = [line async for line in lines if line]
        assert answer.status_code == 200
        error = json.loads(rest[-1].removeprefix("data: "))["error"]
        assert "Response payload is not completed" in error["message"]


async def test_a_dead_server_is_an_error(r0: httpx.AsyncClient) -> None:
    """Nothing listens at api_base: 500."""
    async with VLLM("m") as server:
        await r0.post("/model/new", json=row("a", "m", f"{server.url}/v1"))
        assert (await chat(r0, "m")).status_code == 500


async def test_replicas_reload_by_themselves() -> None:
    """With an interval every replica becomes what the database holds."""
    told: list[str] = []
    seen = asyncio.Event()

    def tell(name: str, text: str) -> None:
        told.append(f"{name} {text}")
        if text == "reload: a is new":
            seen.set()

    async with LiteLLM(2, reload=0.01, tell=tell) as lite, client(lite, 0) as at:
        await at.post("/model/new", json=row("a", "m"))
        await asyncio.wait_for(seen.wait(), 60)
        assert lite.replicas[1].router.models.keys() == {"a"}
    assert told == ["R0 POST /model/new a", "R1 reload: a is new"]
