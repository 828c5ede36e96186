"""The stand-ins for model servers say and do what was measured on the real ones."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.standins.listening import free_port
from tests.standins.model_server import ModelServer
from tests.standins.ollama import Ollama, Pulled
from tests.standins.vllm import VLLM
from tests.standins.vllm_answers import Loaded

CHAT = {"model": "m", "messages": []}


async def _all(lines: AsyncIterator[str]) -> list[str]:
    return [line async for line in lines]


@pytest.fixture
async def web() -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of anything."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield client


async def test_vllm_refuses_connections_until_it_is_loaded(web: httpx.AsyncClient) -> None:
    """Refused while loading and after a kill, on the same port; ready in between and afterwards."""
    async with VLLM("m") as server:
        url = f"{server.url}/v1/models"
        with pytest.raises(httpx.ConnectError):
            await web.get(url)
        await server.load()
        assert (await web.get(url)).status_code == 200
        await server.kill()
        with pytest.raises(httpx.ConnectError):
            await web.get(url)
        await server.load()
        assert (await web.get(url)).status_code == 200


async def test_a_connection_that_comes_as_a_server_ends_is_cut() -> None:
    """However far it has been taken: none is forgotten unclosed, which would be a warning."""
    for steps in range(5):
        server = await VLLM("m").load()
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
            for _ in range(steps):
                await asyncio.sleep(0)
            await server.kill()
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
        await server.__aexit__(None, None, None)
    gc.collect()


def test_a_taken_port_is_passed_over() -> None:
    """Another one is given, and what was tried is closed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) != port
    gc.collect()


async def test_vllm_cards_hold_aliases_and_loras(web: httpx.AsyncClient) -> None:
    """One card per name, all with one root; a LoRA's parent is the first name and its length is null."""
    async with VLLM("a", "b", root="/models/x", lora_updates=True) as server:
        await server.load()
        adapter = {"lora_name": "l", "lora_path": "/loras/l"}
        loaded = await web.post(f"{server.url}/v1/load_lora_adapter", json=adapter)
        assert loaded.text == "Success: LoRA adapter 'l' added successfully."
        again = await web.post(f"{server.url}/v1/load_lora_adapter", json=adapter)
        assert (again.status_code, again.json()["error"]["type"]) == (400, "InvalidUserInput")
        keys = ("id", "owned_by", "root", "parent", "max_model_len")
        cards = (await web.get(f"{server.url}/v1/models")).json()["data"]
        assert [tuple(c[k] for k in keys) for c in cards] == [
            ("a", "vllm", "/models/x", None, 1024),
            ("b", "vllm", "/models/x", None, 1024),
            ("l", "vllm", "/loras/l", "a", None),
        ]
        await web.post(f"{server.url}/v1/unload_lora_adapter", json={"lora_name": "l"})
        assert len((await web.get(f"{server.url}/v1/models")).json()["data"]) == 2


async def test_vllm_guards_only_the_openai_routes(web: httpx.AsyncClient) -> None:
    """With a key /v1 is 401 with an error that is a string; health, version and metrics are open."""
    async with VLLM("m", api_key="k") as server:
        await server.load()
        refused = await web.get(f"{server.url}/v1/models")
        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
        for path in ("/health", "/version", "/metrics", "/openapi.json"):
            assert (await web.get(server.url + path)).status_code == 200
        key = {"Authorization": "Bearer k"}
        assert (await web.get(f"{server.url}/v1/models", headers=key)).status_code == 200


async def test_vllm_gauges_follow_requests_in_flight(web: httpx.AsyncClient) -> None:
    """The gauge of running requests is 0, 1 during a stream, and 0 again."""
    running = 'vllm:num_requests_running{engine="0",model_name="m"} '
    async with VLLM("m", gap=0.5, chunks=3) as server:
        await server.load()
        assert running + "0.0\n" in (await web.get(f"{server.url}/metrics")).text
        async with web.stream(
            "POST", f"{server.url}/v1/chat/completions", json=CHAT | {"stream": True}
        ) as answer:
            assert running + "1.0\n" in (await web.get(f"{server.url}/metrics")).text
            assert "data: [DONE]" in [line async for line in answer.aiter_lines()]
        await asyncio.wait_for(server.idle.wait(), 60)
        assert running + "0.0\n" in (await web.get(f"{server.url}/metrics")).text


async def test_vllm_sigterm_aborts(web: httpx.AsyncClient) -> None:
    """Without --shutdown-timeout a stream gets nothing more, stays open, and new clients are refused."""
    async with VLLM("m", chunks=1000, gap=0.01) as server:
        await server.load()
        body = CHAT | {"stream": True}
        async with web.stream("POST", f"{server.url}/v1/chat/completions", json=body) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            ending = asyncio.create_task(server.terminate())
            more = asyncio.create_task(_all(lines))
            await asyncio.wait({more}, timeout=0.2)
            assert not more.done()
            more.cancel()
            with pytest.raises(httpx.ConnectError):
                await httpx.AsyncClient(trust_env=False).get(f"{server.url}/health")
            assert not ending.done()
        await asyncio.wait_for(ending, 60)


async def test_vllm_sigterm_with_a_shutdown_timeout_finishes_what_runs(web: httpx.AsyncClient) -> None:
    """The stream in flight ends with [DONE], /v1/models is still 200 and a new chat gets 500."""
    async with VLLM("m", chunks=20, gap=0.1, shutdown_timeout=120) as server:
        await server.load()
        url = f"{server.url}/v1/chat/completions"
        async with web.stream("POST", url, json=CHAT | {"stream": True}) as answer:
            ending = asyncio.create_task(server.terminate())
            await asyncio.sleep(0)
            assert (await web.get(f"{server.url}/v1/models")).status_code == 200
            new = await web.post(url, json=CHAT)
            assert new.status_code == 500
            assert new.json()["error"]["message"] == "cannot schedule new futures after shutdown"
            assert "data: [DONE]" in [line async for line in answer.aiter_lines()]
        await asyncio.wait_for(ending, 60)


async def test_vllm_tells_who_it_is_and_what_is_not_there(web: httpx.AsyncClient) -> None:
    """Version, unknown model, unknown route, death of the engine and sleep in dev mode."""
    async with VLLM("m", dev_mode=True) as server:
        await server.load()
        assert (await web.get(f"{server.url}/version")).json() == {"version": "0.32.0"}
        unknown = await web.post(f"{server.url}/v1/chat/completions", json=CHAT | {"model": "nope"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, 404)
        assert (await web.get(f"{server.url}/v1/models/m")).json() == {"detail": "Not Found"}
        server.healthy = False
        assert (await web.get(f"{server.url}/health")).status_code == 503
        asleep = await web.post(f"{server.url}/sleep")
        assert asleep.json() == {"status": "sleeping", "level": 1}
        assert (await web.get(f"{server.url}/is_sleeping")).json() == {"is_sleeping": True}


async def test_vllm_refuses_before_its_engine(web: httpx.AsyncClient) -> None:
    """Tokens are counted and chats refused for their temperature without anything computed."""
    async with VLLM("m", loaded=Loaded(tool_parser=True, senses=frozenset({"image"}))) as server:
        await server.load()
        user = {"role": "user", "content": "a"}
        counted = await web.post(f"{server.url}/tokenize", json={"model": "m", "messages": [user]})
        assert counted.json()["count"] == 9
        cold = {"model": "m", "messages": [user], "tools": [{}], "temperature": -1}
        refused = await web.post(f"{server.url}/v1/chat/completions", json=cold)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "temperature")
        assert server.computed == 0
        page = (await web.get(f"{server.url}/metrics")).text
        assert 'vllm:prompt_tokens_total{engine="0",model_name="m"} 0.0\n' in page


@pytest.mark.parametrize(
    ("task", "there", "absent"),
    [
        ("generate", "/v1/chat/completions", "/v1/embeddings"),
        ("embed", "/v1/embeddings", "/v1/chat/completions"),
        ("classify", "/classify", "/v1/embeddings"),
    ],
)
async def test_vllm_has_the_routes_of_its_model(
    web: httpx.AsyncClient, task: str, there: str, absent: str
) -> None:
    """A route that wants POST is 405 to a GET where it exists, and 404 where not."""
    async with VLLM("m", loaded=Loaded(task=task)) as server:
        await server.load()
        statuses = [(await web.get(server.url + path)).status_code for path in (there, absent)]
        assert statuses == [405, 404]


async def test_ollama_without_models_says_null(web: httpx.AsyncClient) -> None:
    """No model: data is null, tags are empty, the root says that it runs."""
    async with Ollama() as server:
        await server.load()
        models = await web.get(f"{server.url}/v1/models")
        assert models.json() == {"object": "list", "data": None}
        assert (await web.get(f"{server.url}/api/tags")).json() == {"models": []}
        assert (await web.get(server.url)).text == "Ollama is running"
        missing = await web.get(f"{server.url}/health")
        assert (missing.status_code, missing.text) == (404, "404 page not found")


async def test_ollama_lists_what_is_pulled_in_any_order(web: httpx.AsyncClient) -> None:
    """Ids carry their tag, the order changes from call to call, and removal shows in the next call."""
    async with Ollama("a", "b", "ns/c:v1") as server:
        await server.load()
        orders = set()
        for _ in range(20):
            data = (await web.get(f"{server.url}/v1/models")).json()["data"]
            orders.add(tuple(card["id"] for card in data))
        assert {frozenset(order) for order in orders} == {frozenset({"a:latest", "b:latest", "ns/c:v1"})}
        assert len(orders) > 1
        owners = {card["id"]: card["owned_by"] for card in data}
        assert owners == {"a:latest": "library", "b:latest": "library", "ns/c:v1": "ns"}
        server.remove("a")
        assert len((await web.get(f"{server.url}/v1/models")).json()["data"]) == 2


async def test_ollama_show_does_not_load_and_chat_does(web: httpx.AsyncClient) -> None:
    """The list of loaded models is empty until a chat; an embedding model cannot chat."""
    async with Ollama("m") as server:
        server.pull("e", Pulled(("embedding",)))
        server.pull("n", Pulled(("completion", "tools"), num_ctx=1024))
        await server.load()
        shown = (await web.post(f"{server.url}/api/show", json={"model": "n"})).json()
        assert shown["capabilities"] == ["completion", "tools"]
        assert shown["parameters"].split() == ["num_ctx", "1024"]
        assert (await web.get(f"{server.url}/api/ps")).json() == {"models": []}
        refused = await web.post(f"{server.url}/v1/chat/completions", json=CHAT | {"model": "e"})
        assert refused.json()["error"]["message"] == '"e" does not support chat'
        assert (await web.post(f"{server.url}/v1/chat/completions", json=CHAT | {"model": "N"})).is_success
        loaded = (await web.get(f"{server.url}/api/ps")).json()["models"]
        assert [(m["name"], m["context_length"]) for m in loaded] == [("n:latest", 1024)]


async def test_ollama_pulled_anew_has_another_digest(web: httpx.AsyncClient) -> None:
    """The same name with something else in it is newer and has another digest; a copy has the same one."""
    async with Ollama("m", "copy") as server:
        await server.load()

        async def look() -> tuple[dict[str, str], dict[str, int]]:
            tags = (await web.get(f"{server.url}/api/tags")).json()["models"]
            cards = (await web.get(f"{server.url}/v1/models")).json()["data"]
            return {t["name"]: t["digest"] for t in tags}, {c["id"]: c["created"] for c in cards}

        digests, created = await look()
        assert digests["m:latest"] == digests["copy:latest"]
        server.pull("m", Pulled(("embedding",)))
        again, newer = await look()
        assert again["m:latest"] != digests["m:latest"]
        assert again["copy:latest"] == digests["copy:latest"]
        assert newer["m:latest"] > created["m:latest"]


async def test_a_plain_server_answers_with_its_name_and_guards_everything(web: httpx.AsyncClient) -> None:
    """Chat tells which port answered; without the key nothing is told."""
    async with ModelServer("m", api_key="k") as server:
        await server.load()
        assert (await web.get(f"{server.url}/v1/models")).status_code == 401
        key = {"Authorization": "Bearer k"}
        answer = await web.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=key)
        assert answer.json()["choices"][0]["message"]["content"] == f"openai on port {server.port}"
