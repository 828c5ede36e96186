"""A broker that says what a test wants, before a LiteLLM in memory, for tests that own the time.

What it refuses and what it leaves out of answers follows `webhook/broker`; its own rules are tested there.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from aiohttp import web

from sidecar.broker_contract import (
    CONTRACT_HEADER,
    LEFT_OUT_HEADER,
    POD_PATH,
    RULE_HEADER,
    STATE_PATH,
    PodState,
    StateReport,
)
from sidecar.contract import CONTRACT_VERSION
from sidecar.row_contract import OWNER_KEY
from tests.standins.listening import Listener
from tests.standins.litellm_table import KEY, Table

URL = "https://broker.registrar.svc:8443"
TOKEN = "header.payload.signature-1"
SHARES = ("rpm", "tpm", "weight")


def refusal(rule: str, message: str, status: int = 403, **headers: str) -> httpx.Response:
    """Give the answer of a broker that refuses by this rule."""
    body = {"error": {"message": message, "type": "registrar_broker", "code": rule}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers={RULE_HEADER: rule, **named})


@dataclass
class Broker:
    """Passes on to `table` what comes with one of these `tokens` and our version of the contract.

    `pod` is what the API server says of the pod (None: it cannot be asked), `prefix` how its rows' ids begin,
    `left_out` names what it leaves out of each write, `forgets` keys of the ownership block.
    `requests` is all that came, `reports` what was told of states, of which one that is `old` knows
    nothing. Faults are the table's.
    """

    table: Table = field(default_factory=Table)
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    pod: PodState | None = None
    prefix: str = "registrar-"
    left_out: str = ""
    forgets: frozenset[str] = frozenset()
    old: bool = False
    requests: list[httpx.Request] = field(default_factory=list)
    reports: list[StateReport] = field(default_factory=list)

    def client(self) -> httpx.AsyncClient:
        """Give a client whose every request comes here."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self.handle))

    def asked(self, path: str) -> int:
        """Count the requests for a path."""
        return sum(request.url.path == path for request in self.requests)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.requests.append(request)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return refusal("token_refused", "the token is not of a pod of this cluster", 401)
        if request.headers.get(CONTRACT_HEADER) != str(CONTRACT_VERSION):
            return refusal("contract_unsupported", "this version of the contract is not served")
        if request.url.path == POD_PATH:
            if self.pod is None:
                return refusal("cannot_ask_kubernetes", "the API server does not answer", 503)
            return httpx.Response(200, json=self.pod.to_json())
        if request.url.path == STATE_PATH:
            if self.old:
                return refusal("route_unknown", "nothing that a registrar asks of a broker")
            self.reports.append(StateReport.from_object(json.loads(request.content)))
            return httpx.Response(200, json={})
        answer = self.table.handle(self._passed_on(request))
        if self.left_out and request.method != "GET":
            answer.headers[LEFT_OUT_HEADER] = self.left_out
        if request.url.path != "/v2/model/info" or not answer.is_success:
            return answer
        page = json.loads(answer.content)
        return httpx.Response(200, json=page | {"data": [self._shown(row) for row in page["data"]]})

    def _passed_on(self, request: httpx.Request) -> httpx.Request:
        """Ask LiteLLM with its key; where an ownership block was sent it gets the broker's."""
        headers = _headers(request.headers) | {"authorization": f"Bearer {KEY}"}
        if not request.content:
            return httpx.Request(request.method, request.url, headers=headers)
        body = json.loads(request.content)
        info = body.get("model_info", {})
        if owner := info.get(OWNER_KEY):
            info[OWNER_KEY] = {key: owner[key] for key in owner if key not in self.forgets}
        return httpx.Request(request.method, request.url, headers=headers, json=body)

    def _shown(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give a row of the pod's own whole, of another one what LiteLLM shares requests out by."""
        if row["model_info"]["id"].startswith(self.prefix):
            return row
        params = {key: row["litellm_params"][key] for key in SHARES if key in row["litellm_params"]}
        info = {"id": "another-1", "blocked": row["model_info"].get("blocked", False)}
        return {"model_name": row["model_name"], "litellm_params": params, "model_info": info}


def _headers(found: Mapping[str, str]) -> dict[str, str]:
    """Give the headers that go with another body, too."""
    return {key: value for key, value in found.items() if key.lower() not in {"content-length", "host"}}


class BrokerServer:
    """The same over TLS, on loopback."""

    def __init__(self, broker: Broker, tls: ssl.SSLContext, host: str = "127.0.0.1") -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._broker = broker
        self._listener = Listener(app, host, tls=tls)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._listener.url

    async def refuse(self) -> None:
        """Cut every connection and refuse new ones."""
        await self._listener.refuse()

    async def listen(self) -> None:
        """Accept connections."""
        await self._listener.listen()

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End for good."""
        await self._listener.close()

    async def _answer(self, request: web.Request) -> web.Response:
        answer = self._broker.handle(
            httpx.Request(
                request.method,
                f"{self.url}{request.path_qs}",
                headers=_headers(request.headers),
                content=await request.read(),
            )
        )
        headers = _headers(answer.headers)
        return web.Response(status=answer.status_code, body=answer.content, headers=headers)
