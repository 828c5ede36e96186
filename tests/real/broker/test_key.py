"""The narrowest key of LiteLLM that works, and what is found out of any key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.peers.proxy import LiteLLM
from tests.real.broker.conftest import Way
from webhook.broker.key_abilities import ROUTES, Abilities, Ability, find_out
from webhook.broker.shapes import Call
from webhook.broker.upstream import Upstream

pytestmark = pytest.mark.real

KEY = "registrar-" + "0" * 24 + "-1"
ROW: dict[str, Any] = {
    "model_name": "of-a-pod",
    "litellm_params": {"model": "hosted_vllm/m", "api_base": "http://127.0.0.1:9/v1", "api_key": "none"},
    "model_info": {"id": KEY, "mode": "chat"},
}


async def shown(upstream: Upstream) -> list[dict[str, Any]]:
    """Look the row up."""
    reply = await upstream.send(Call("GET", "/v2/model/info", {"modelId": KEY, "size": "1"}), 30)
    assert reply.status == 200
    rows: list[dict[str, Any]] = json.loads(reply.body)["data"]
    return rows


async def test_the_narrowest_key_does_all_that_registrars_ask_for(proxy: LiteLLM, way: Way) -> None:
    """A row is made, looked at, blocked, unblocked and deleted, and names are listed."""
    async with way(proxy) as upstream:

        async def done(call: Call) -> None:
            reply = await upstream.send(call, 30)
            assert reply.status == 200, reply.body

        await done(Call("POST", "/model/new", body={**ROW, "blocked": False}))
        for blocked in (True, False):
            await done(Call("PATCH", f"/model/{KEY}/update", body={**ROW, "blocked": blocked}))
            (row,) = await shown(upstream)
            assert row["model_info"].get("blocked", False) is blocked
        await done(Call("GET", "/v2/model/info", {"model": "of-a-pod", "search": "of-a-pod", "size": "50"}))
        await done(Call("GET", "/v1/models", {"scope": "expand"}))
        await done(Call("POST", "/model/delete", body={"id": KEY}))
        assert await shown(upstream) == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/model/blocked/update", {"blocked": False}),
        ("POST", "/model/update", {"model_name": "x", "model_info": {"id": "blocked"}}),
        ("POST", "/model/block", {"model_id": "no-api-base"}),
        ("POST", "/model/unblock", {"model_id": "blocked"}),
        ("GET", "/model/info", None),
        ("GET", "/model_group/info", None),
        ("POST", "/key/generate", {}),
        ("GET", "/key/list", None),
        ("GET", "/key/info", None),
        ("POST", "/user/new", {}),
        ("GET", "/user/info", None),
        ("POST", "/team/new", {}),
        ("GET", "/credentials", None),
        ("GET", "/router/settings", None),
        ("POST", "/config/update", {}),
        ("POST", "/v1/chat/completions", {"model": "made-in-ui", "messages": []}),
    ],
)
async def test_it_does_nothing_else(
    proxy: LiteLLM, way: Way, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """It changes no row but registrars', sees no keys, users and settings, and no model answers it."""
    async with way(proxy) as upstream:
        reply = await upstream.send(Call(method, path, body=body), 30)
    assert (reply.status, b"not allowed to call this route" in reply.body) == (403, True)


async def test_what_a_key_can_do_is_found_out_without_writing(proxy: LiteLLM, way: Way) -> None:
    """Of the narrowest, of narrower and wider ones, of the master key and of none at all; no row changes."""
    before = proxy.stored()
    keys = {
        proxy.make_key(allowed_routes=[*ROUTES]): Abilities(),
        proxy.make_key(allowed_routes=["/v2/model/info"]): Abilities(
            missing=(Ability.CREATE, Ability.CHANGE, Ability.DELETE, Ability.LIST)
        ),
        proxy.make_key(allowed_routes=["/model/*", "/v2/model/info", "/v1/models"]): Abilities(wide=True),
        proxy.make_key(): Abilities(wide=True, unbound=True),
        proxy.key: Abilities(wide=True, master=True),
        "sk-of-nobody": Abilities(unknown="LiteLLM does not know it (401)"),
    }
    for key, abilities in keys.items():
        async with way(proxy, key) as upstream:
            assert await find_out(upstream) == abilities
    assert proxy.stored() == before
