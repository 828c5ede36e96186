"""The stand-ins for vLLM and Ollama tell nothing that the real servers do not tell in the same words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import httpx
import pytest

from sidecar.servers.vllm_probes import SENSES
from tests.peers.servers import ModelServer as RealServer
from tests.standins.model_server import ModelServer
from tests.standins.ollama import Ollama, Pulled
from tests.standins.vllm import VLLM
from tests.standins.vllm_answers import Loaded

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

CHAT: Final = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
EVERYWHERE: Final[tuple[tuple[str, str, Any], ...]] = (
    ("GET", "/", None),
    ("GET", "/health", None),
    ("GET", "/version", None),
    ("GET", "/api/version", None),
    ("GET", "/api/tags", None),
    ("GET", "/v1/models", None),
    ("HEAD", "/v1/models", None),
    ("POST", "/v1/models", {}),
    ("GET", "/nothing", None),
    ("POST", "/v1/chat/completions", {"model": "nothing", **CHAT}),
)
USER: Final = {"role": "user", "content": "a"}
TOOL: Final = {"type": "function", "function": {"name": "probe", "parameters": {"type": "object"}}}
OF_THE_MODEL: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("/tokenize", {"messages": [USER]}),
    ("/tokenize", {"messages": [USER], "tools": [TOOL]}),
    ("/tokenize", {"messages": [USER], "tools": [TOOL, TOOL]}),
    ("/tokenize", {"messages": [USER], "tools": 0}),
    ("/tokenize", {"messages": [{"role": "system", "content": "b"}, USER]}),
    *(("/tokenize", {"messages": [{**USER, "content": [part]}]}) for part in SENSES.values()),
    ("/v1/chat/completions", {"messages": [USER], "tools": [TOOL], "tool_choice": "auto", "temperature": -1}),
)
OF_VLLM: Final = (
    *EVERYWHERE,
    *(("POST", path, {"model": "tiny-vllm", **body}) for path, body in OF_THE_MODEL),
    ("GET", "/v1/chat/completions", None),
    ("GET", "/v1/embeddings", None),
    ("GET", "/ping", None),
    ("GET", "/load", None),
    ("GET", "/v1/models/tiny-vllm", None),
    ("GET", "/is_sleeping", None),
    ("POST", "/v1/chat/completions", {"model": "tiny-vllm", **CHAT}),
    ("POST", "/v1/load_lora_adapter", {"lora_name": "tiny-vllm", "lora_path": "/x"}),
    ("POST", "/v1/unload_lora_adapter", {"lora_name": "nothing"}),
)
OF_OLLAMA: Final = (
    *EVERYWHERE,
    ("POST", "/api/show", {"model": "tiny"}),
    ("POST", "/api/show", {"model": "nothing"}),
    ("GET", "/v1/models/tiny", None),
    ("GET", "/v1/models/nothing", None),
    ("POST", "/v1/chat/completions", {"model": "tiny-embed", **CHAT}),
    ("POST", "/v1/chat/completions", {"model": "tiny", **CHAT}),
    ("GET", "/api/ps", None),
)
Get = Callable[[str], RealServer]


async def test_vllm(shared_server: Get) -> None:
    """Routes, cards, errors and gauges of vLLM."""
    loaded = Loaded(tool_parser=True)
    async with VLLM("tiny-vllm", lora_updates=True, dev_mode=True, loaded=loaded) as stand_in:
        real = shared_server("vllm")
        assert await untrue(stand_in, real, OF_VLLM) == []
        assert await gauges(stand_in.url) <= await gauges(real.url)


async def test_ollama(shared_server: Get) -> None:
    """Routes, cards, tags and errors of Ollama."""
    async with Ollama("tiny-plain", "tiny-slow") as stand_in:
        stand_in.pull("tiny", Pulled(("completion", "tools"), 1024))
        stand_in.pull("tiny-embed", Pulled(("embedding",)))
        assert await untrue(stand_in, shared_server("ollama"), OF_OLLAMA) == []


async def untrue(
    stand_in: ModelServer, real: RealServer, calls: tuple[tuple[str, str, Any], ...]
) -> list[str]:
    """Make each call to both, and give what only the stand-in says, or says otherwise."""
    await stand_in.load()
    found = []
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for method, path, body in calls:
            answer = await client.request(method, stand_in.url + path, json=body)
            truth = await client.request(method, real.url + path, json=body)
            said, true = told(answer), told(truth)
            if not within(said, true):
                found.append(f"{method} {path} {body}: {said}, the real one: {true}")
    return found


def told(answer: httpx.Response) -> dict[str, Any]:
    """Give what an answer tells: status, server, kind of content, content."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    content = answer.json() if kind == "application/json" and answer.content else answer.text
    return {
        "status": answer.status_code,
        "server": answer.headers.get("server"),
        "kind": kind,
        "content": content,
    }


def within(said: Any, true: Any, key: str = "") -> bool:
    """Tell whether everything said is true: errors and statuses word for word, other values by their type."""
    if isinstance(said, dict) and isinstance(true, dict):
        return said.keys() <= true.keys() and all(within(v, true[k], k) for k, v in said.items())
    if isinstance(said, list) and isinstance(true, list):
        return not said or (bool(true) and within(said[0], true[0]))
    exact = key in {"status", "server", "kind", "body", "message", "type", "param", "code", "error", "detail"}
    return said == true if exact else type(said) is type(true)


async def gauges(url: str) -> set[str]:
    """Give the names of the samples of requests and sleep, with their labels' names."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{url}/metrics")).text
    lines = (line.partition("}")[0] for line in text.splitlines() if line.startswith("vllm:"))
    names = (line.partition("{") for line in lines if "num_requests" in line or "sleep_state" in line)
    return {
        f"{name}({','.join(pair.split('=')[0] for pair in labels.split(','))})" for name, _, labels in names
    }
