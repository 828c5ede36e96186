"""What LiteLLM does with litellm_params: those that owners may set stay with it, others reach the server."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest

from tests.peers.proxy import python_of
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET, not_installed
from webhook.kinds import BUDGET_DURATION, FLAG, TEXTS, Kind
from webhook.litellm_keys import PARAMS

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

# Run by LiteLLM's own interpreter, with its own router.
CALLS: Final = """
import asyncio, json, sys
from litellm import Router
async def main():
    router = Router(model_list=[{"model_name": "m", "litellm_params": json.load(sys.stdin)}], num_retries=0)
    await router.acompletion(model="m", messages=[{"role": "user", "content": "a"}])
    await router.aembedding(model="m", input=["a"])
asyncio.run(main())
"""
USAGE: Final = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
MESSAGE: Final = {"role": "assistant", "content": "b"}
CHAT: Final = {"choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}]}
EMBEDDING: Final = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}


@contextmanager
def noting() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve chats and embeddings; give the address, and the bodies of the requests."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = EMBEDDING if self.path.endswith("/embeddings") else {"id": "c", "created": 1, **CHAT}
            content = json.dumps({"model": "m", "usage": USAGE, **answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sample(kind: Kind) -> Any:
    """Give a value of a kind."""
    values = {id(FLAG): True, id(TEXTS): ["default"], id(BUDGET_DURATION): "1d"}
    return kind.check(values.get(id(kind), 100))


def sent(provider: str, **params: Any) -> tuple[set[str], ...]:
    """Give the keys of the bodies that the server gets: of a chat, of an embedding."""
    require(HOW_TO_GET, not_installed("litellm"))
    with noting() as (url, bodies):
        row = {"model": f"{provider}/m", "api_base": url, "api_key": "none", **params}
        local = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        done = subprocess.run(
            [str(python_of()), "-c", CALLS],
            input=json.dumps(row),
            env=local,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return tuple(set(body) for body in bodies)


@pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
def test_what_owners_may_set_is_not_forwarded(provider: str) -> None:
    """The server gets the same requests with every allowed parameter set as with none."""
    everything = {name: sample(kind) for name, kind in PARAMS.items()}
    assert sent(provider, **everything) == sent(provider)


def test_what_litellm_does_not_know_is_forwarded() -> None:
    """That is why there is a list of what is allowed."""
    assert all({"guided_json", "owner"} <= keys for keys in sent("hosted_vllm", guided_json="{}", owner="a"))
