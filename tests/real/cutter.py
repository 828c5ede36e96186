"""A proxy in front of LiteLLM that forwards a request and then cuts the connection: the answer is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


@dataclass(frozen=True)
class Call:
    """One request that came through."""

    method: str
    path: str
    body: bytes


@dataclass
class Cutter:
    """`cut` is asked, with each call LiteLLM has answered, whether its answer shall be lost."""

    upstream: str
    calls: list[Call] = field(default_factory=list)
    lost: list[Call] = field(default_factory=list)
    url: str = ""
    cuts: dict[str, int] = field(default_factory=dict)

    def lose(self, method: str, path: str, times: int = 1) -> None:
        """Lose the answers to the next calls whose path begins so."""
        self.cuts[f"{method} {path}"] = times

    def forward(self, call: Call, headers: dict[str, str]) -> httpx.Response | None:
        """Have LiteLLM answer; None when the answer is to be lost."""
        answer = httpx.request(
            call.method,
            self.upstream + call.path,
            content=call.body,
            headers=headers,
            timeout=60,
            trust_env=False,
        )
        self.calls.append(call)
        for start, times in self.cuts.items():
            if times and f"{call.method} {call.path}".startswith(start):
                self.cuts[start] = times - 1
                self.lost.append(call)
                return None
        return answer


class _Handler(BaseHTTPRequestHandler):
    cutter: Cutter

    def handle_call(self) -> None:
        """Forward one request and relay its answer, unless that is to be lost."""
        length = int(self.headers.get("Content-Length") or 0)
        call = Call(self.command, self.path, self.rfile.read(length))
        kept = {"authorization", "content-type", "accept"}
        headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
        self.close_connection = True
        answer = self.cutter.forward(call, headers)
        if answer is not None:
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("content-type", "application/json"))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    do_GET = do_POST = do_PATCH = handle_call  # noqa: N815 - names of the base class

    def log_message(self, *_: Any) -> None:
        """Write no access log."""


@contextmanager
def cutter(upstream: str) -> Iterator[Cutter]:
    """Listen on a free port of loopback."""
    made = Cutter(upstream)
    handler = type("Handler", (_Handler,), {"cutter": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
