"""LiteLLM's admin API in memory, for tests that own the time: one replica, its answers as measured.

The words of its refusals are those of `litellm_answers`. `tests/standins/litellm.py` is the whole proxy.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.standins import litellm_answers as answers

URL = "http://litellm:4000"
KEY = "sk-the-key-of-litellm"

_NAMES = {
    "/health/readiness": "ready",
    "/model/new": "create",
    "/model/delete": "delete",
    "/v2/model/info": "read",
}

Fault = Callable[[httpx.Request], httpx.Response | Exception | None]


@dataclass
class Table:
    """Rows by id. `faults` may answer or break a call before it is carried out, `after` when it has been."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    memory_only: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    after: list[Fault] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    has_blocked: bool = True
    database: bool = True

    def client(self) -> httpx.AsyncClient:
        """Give a client whose every request comes here."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self.handle))

    def fail(
        self, times: int, fault: httpx.Response | Exception, path: str = "", *, after: bool = False
    ) -> None:
        """Let the next calls whose path holds this text fail; `after`: once they have been carried out."""
        left = [times]

        def once(request: httpx.Request) -> httpx.Response | Exception | None:
            if path not in request.url.path or not left[0]:
                return None
            left[0] -= 1
            return fault

        (self.after if after else self.faults).append(once)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        body = json.loads(request.content) if request.content else {}
        name = _NAMES.get(request.url.path, "settle")
        if name == "read" and "modelId" not in request.url.params:
            name = "named" if "model" in request.url.params else "table"
        self.calls[name] += 1
        self.bodies.append((name, body))
        if (broken := _trip(self.faults, request)) is not None:
            return broken
        try:
            answer = self._answer(request, body)
        except answers.RefusedError as refused:
            answer = httpx.Response(refused.status, json=refused.body)
        return _trip(self.after, request) or answer

    def _answer(self, request: httpx.Request, body: dict[str, Any]) -> httpx.Response:
        path = request.url.path
        if path == "/health/readiness":
            state = "connected" if self.database else "disconnected"
            return httpx.Response(200 if self.database else 503, json={"status": "healthy", "db": state})
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise answers.unknown_key(request.headers.get("Authorization", ""))
        if path == "/model/new":
            return self._create(body)
        if path == "/model/delete":
            return self._delete(body["id"])
        if path == "/v2/model/info":
            return self._info(dict(request.url.params))
        return self._update(path.split("/")[2], body)

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        key = body["model_info"]["id"]
        if not self.database or key in self.rows:
            raise answers.not_added()
        row = {key: body[key] for key in ("model_name", "litellm_params", "model_info")}
        self.rows[key] = {**row, "blocked": self.has_blocked and body.get("blocked", False)}
        return self._written(key)

    def _update(self, key: str, body: dict[str, Any]) -> httpx.Response:
        if not self.database:
            raise answers.update_failed(RuntimeError("Can't reach database server at `db`:`5432`"))
        row = self.rows.get(key)
        if row is None:
            raise answers.config_model() if key in self.memory_only else answers.not_found_on_proxy(key)
        row["model_name"] = body["model_name"]
        row["litellm_params"] |= body["litellm_params"]
        row["model_info"] |= body["model_info"]
        if self.has_blocked:
            row["blocked"] = body.get("blocked", row["blocked"])
        return self._written(key)

    def _delete(self, key: str) -> httpx.Response:
        if not self.database:
            raise answers.delete_failed(RuntimeError("Can't reach database server at `db`:`5432`"))
        if self.rows.pop(key, None) is None:
            raise answers.not_found_in_db(key)
        return httpx.Response(200, json={"message": f"Model: {key} deleted successfully"})

    def _info(self, query: dict[str, str]) -> httpx.Response:
        if not self.database:
            raise answers.database_unreachable()
        rows = [
            _shown(row)
            for key, row in self.rows.items()
            if query.get("modelId", key) == key and query.get("model", row["model_name"]) == row["model_name"]
        ]
        size, page = int(query["size"]), int(query.get("page", 1))
        shown = rows[(page - 1) * size : page * size]
        return httpx.Response(
            200, json={"data": shown, "current_page": page, "total_pages": -(-len(rows) // size)}
        )

    def _written(self, key: str) -> httpx.Response:
        row = copy.deepcopy(self.rows[key])
        if not self.has_blocked:
            del row["blocked"]
        row["litellm_params"] = dict.fromkeys(row["litellm_params"], "gAAAAA")
        return httpx.Response(200, json={"model_id": key, **row})


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    row = copy.deepcopy(row)
    row["litellm_params"].pop("api_key", None)
    row["model_info"] |= {"key": row["litellm_params"].get("model"), "db_model": True}
    if row.pop("blocked"):
        row["model_info"]["blocked"] = True
    return row


def _trip(faults: list[Fault], request: httpx.Request) -> httpx.Response | None:
    for fault in faults:
        found = fault(request)
        if isinstance(found, Exception):
            raise found
        if found is not None:
            return found
    return None
