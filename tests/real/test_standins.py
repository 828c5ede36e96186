"""The stand-in for LiteLLM answers as the real one does: the same calls to both, and the same answers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import pytest

from tests.peers.cluster import wait_until
from tests.peers.proxy import LiteLLM as RealLiteLLM
from tests.standins.litellm import LiteLLM
from tests.standins.litellm_store import MASTER_KEY

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

ID: Final = "standin-row"
NAME: Final = "standin-name"
ROW: Final = {
    "model_name": NAME,
    "litellm_params": {"model": "hosted_vllm/m", "api_base": "http://127.0.0.1:9/v1", "rpm": 5},
    "model_info": {"id": ID, "mode": "chat", "registrar": {"pod": "a", "unknown": ["x"]}},
}
CHAT: Final = {"model": NAME, "messages": [{"role": "user", "content": "x"}], "num_retries": 0}
PATCH: Final = f"/model/{ID}/update"

Body = dict[str, Any] | None
# Method, path, body; the key when it is not the master key.
Call = tuple[str, str, Body] | tuple[str, str, Body, str]
# What was called, the status, what matters of the body.
Told = tuple[str, int, Any]
Ask = Callable[[str, str, Body, str], Awaitable[httpx.Response]]

CALLS: Final[tuple[Call, ...]] = (
    ("GET", "/health/readiness", None),
    ("GET", "/health/readiness", None, ""),
    ("GET", "/model/info", None, ""),
    ("GET", "/model/info", None, "sk-wrong-key"),
    ("GET", "/model/info", None, "no-litellm-key"),
    ("PATCH", PATCH, ROW),
    ("POST", "/model/delete", {"id": ID}),
    ("GET", f"/model/info?litellm_model_id={ID}", None),
    ("GET", f"/v2/model/info?modelId={ID}", None),
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/model/new", {}),
    ("POST", "/model/new", {"litellm_params": {"model": "hosted_vllm/m"}}),
    ("POST", "/model/new", {"model_name": NAME, "litellm_params": {}}),
    ("POST", "/model/new", {**ROW, "model_info": "text"}),
    ("PATCH", PATCH, {"model_info": "text"}),
    ("POST", "/model/delete", {}),
    ("POST", "/model/block", {}),
    ("GET", "/v2/model/info?page=0", None),
    ("GET", "/v2/model/info?page=7&size=1", None),
    ("GET", "/model/nothing", None),
    ("POST", "/model/new", ROW),
    ("POST", "/model/new", ROW),
    ("GET", f"/model/info?litellm_model_id={ID}", None),
    ("GET", f"/v2/model/info?modelId={ID}", None),
    ("GET", "/v1/models", None),
    ("GET", f"/v2/model/info?model={NAME}&size=50", None),
    ("GET", "/v2/model/info?model=nobody&size=50", None),
    # what the broker asks beside what registrars ask
    ("GET", f"/v2/model/info?model={NAME}&search={NAME}&page=1&size=200", None),
    ("GET", "/v2/model/info?model=nobody&search=nobody&page=1&size=200", None),
    ("GET", "/v2/model/info?wildcard_only=true&page=1&size=200", None),
    ("GET", "/v1/models?scope=expand", None),
    ("GET", "/key/info", None),
    ("POST", "/model/new", {"model_name": "registrar-nobody", "litellm_params": {}}),
    ("PATCH", "/model/registrar-nobody/update", {}),
    ("POST", "/model/delete", {"id": "registrar-nobody"}),
    ("PATCH", PATCH, {"litellm_params": {"rpm": 6}, "model_info": {"id": ID, "registrar": {"pod": "b"}}}),
    ("GET", f"/v2/model/info?modelId={ID}", None),
    ("PATCH", PATCH, {"blocked": True, "model_info": {"id": ID, "mark": "x"}}),
    ("GET", f"/v2/model/info?modelId={ID}", None),
    ("POST", "/v1/chat/completions", CHAT),
    ("PATCH", PATCH, {"model_info": {"id": ID, "mark": None}, "model_name": None}),
    ("POST", "/model/unblock", {"model_id": ID}),
    ("POST", "/model/block", {"model_id": "nowhere"}),
    ("PATCH", "/model/config-row/update", ROW),
    ("POST", "/model/delete", {"id": "config-row"}),
    ("POST", "/model/delete", {"id": ID}),
    ("POST", "/model/delete", {"id": ID}),
    ("POST", "/v1/chat/completions", CHAT),
    (
        "POST",
        "/model/new",
        {**ROW, "litellm_params": {"model": "nonsense/m"}, "model_info": {"id": f"{ID}-2"}},
    ),
    ("POST", "/model/delete", {"id": f"{ID}-2"}),
)
# /health/readiness is not among them: LiteLLM may go on saying for a while what it was before.
WITHOUT_DATABASE: Final[tuple[Call, ...]] = (
    ("POST", "/model/new", ROW),
    ("PATCH", PATCH, ROW),
    ("POST", "/model/delete", {"id": ID}),
    ("GET", "/model/info", None),
    ("GET", "/model/info", None, "sk-wrong-key"),
)


async def test_the_stand_in_answers_like_the_real_one(quick: RealLiteLLM) -> None:
    """Every call gets the same status and the same words, with a database and without."""
    config = [
        {
            "model_name": "from-config",
            "litellm_params": {"model": "hosted_vllm/elsewhere"},
            "model_info": {"id": "config-row"},
        }
    ]
    quick.remove_own_rows()
    async with LiteLLM(1, config_models=config) as stand_in, httpx.AsyncClient(trust_env=False) as client:
        expected = await transcript(asker(client, quick.urls[0]), CALLS)
        assert differences(await transcript(asker(client, stand_in.url), CALLS), expected) == []
        quick.stop_database()
        try:
            # the first ones may still meet connections that are being cut
            for _ in range(2):
                expected = await transcript(asker(client, quick.urls[0]), WITHOUT_DATABASE)
        finally:
            quick.start_database()
            wait_until("LiteLLM with its database", 180, lambda: quick.call("GET", "/model/info").is_success)
        stand_in.database.up = False
        assert differences(await transcript(asker(client, stand_in.url), WITHOUT_DATABASE), expected) == []


def asker(client: httpx.AsyncClient, url: str) -> Ask:
    """Give a function that calls this LiteLLM."""

    async def ask(method: str, path: str, body: Body, key: str) -> httpx.Response:
        headers = {"Connection": "close"} | ({"Authorization": f"Bearer {key}"} if key else {})
        return await client.request(method, url + path, json=body, headers=headers, timeout=60)

    return ask


async def transcript(ask: Ask, calls: tuple[Call, ...]) -> list[Told]:
    """Make the calls one after the other, and give each answer's status and what matters of its body."""
    told = []
    for method, path, body, *key in calls:
        answer = await ask(method, path, body, key[0] if key else MASTER_KEY)
        told.append((f"{method} {path}", answer.status_code, essence(answer.json())))
    return told


def differences(found: list[Told], expected: list[Told]) -> list[tuple[Told, Told]]:
    """Give each answer that is not as expected, with what was."""
    return [(one, other) for one, other in zip(found, expected, strict=True) if one != other]


def essence(body: Any) -> Any:
    """Give what a client of LiteLLM may rely on in an answer."""
    if isinstance(body, list):
        return [essence(item) for item in body]
    if not isinstance(body, dict):
        return body
    if "error" in body:
        return {**body["error"], "message": words(str(body["error"]["message"]))}
    if "litellm_params" in body:
        return row(body)
    if "data" in body:
        own = [item for item in body["data"] if NAME in (item.get("model_name"), item.get("id"))]
        return {**body, "data": essence(own), "total_count": None, "total_pages": None}
    return body


def row(body: dict[str, Any]) -> dict[str, Any]:
    """Give what is told of a row, without times and what LiteLLM fills in on its own."""
    known = ("id", "mode", "registrar", "mark", "blocked", "db_model", "member_auto_router")
    info = {k: v for k, v in body["model_info"].items() if k in known}
    params = {k: v for k, v in body["litellm_params"].items() if k in ("rpm", "api_key")}
    told: dict[str, Any] = {k: body[k] for k in ("model_id", "model_name", "blocked") if k in body}
    return {**told, "model_info": info, "litellm_params": params, "keys": sorted(body)}


def words(message: str) -> str:
    """Give the words of a message's first line; LiteLLM has two ways to say that there is no database."""
    lost = r"Can't reach database server at `[\w.]+:\d+`|All connection attempts failed"
    return re.sub(lost, "NO DATABASE", message.partition("\n")[0])
