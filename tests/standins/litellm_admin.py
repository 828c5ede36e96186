"""The admin API of one replica of the stand-in for LiteLLM: make, change, block, delete, list models."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from tests.standins import litellm_answers as answers
from tests.standins.litellm_router import INFO_DEFAULTS, KNOWN_PROVIDERS, Router, model_of
from tests.standins.litellm_store import (
    MASTER_KEY,
    Database,
    DatabaseDownError,
    Key,
    Row,
    UniqueViolationError,
)

# GenericLiteLLMParams' defaults, seen in every answer
PARAM_DEFAULTS: Final = {
    "allow_client_keepalive_override": False,
    "use_in_pass_through": False,
    "use_litellm_proxy": False,
    "use_xai_oauth": False,
    "merge_reasoning_content_in_choices": False,
}


@dataclass(slots=True)
class Faults:
    """What is wrong with one replica; tests change it at any time. `delay` is in seconds, before each answer.

    `cut_after_commit`: so many writes are done and then answered by a closed connection. `not_live`: writes
    are stored, but this replica cannot serve them. `has_blocked` false is a LiteLLM older than `blocked`.
    `config_cached`: for the first minute without its database LiteLLM goes on answering /v2/model/info from
    memory, where a row it does not hold is `[]`; false is the time after that, when it is 503 (measured).
    """

    delay: float = 0.0
    cut_after_commit: int = 0
    not_live: bool = False
    has_database: bool = True
    store_model_in_db: bool = True
    has_blocked: bool = True
    config_cached: bool = True


class Admin:
    """The model routes of one replica. Handlers raise RefusedError for every refusal.

    `key_of` gives the key a request came with, `wrote` is told in words of each write that was done.
    """

    def __init__(
        self,
        database: Database,
        router: Router,
        faults: Faults,
        *,
        key_of: Callable[[web.Request], Key],
        wrote: Callable[[str], None],
    ) -> None:
        self._database = database
        self._router = router
        self._faults = faults
        self._key_of = key_of
        self._wrote = wrote

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return [
            web.post("/model/new", self.create),
            web.patch("/model/{id}/update", self.update),
            web.post("/model/delete", self.delete),
            web.post("/model/block", self.block),
            web.post("/model/unblock", self.unblock),
            web.get("/model/info", self.info),
            web.get("/v1/model/info", self.info),
            web.get("/v2/model/info", self.info_v2),
            web.get("/key/info", self.key_info),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """POST /model/new."""
        body = await _body(request)
        if not body.keys() >= {"model_name", "litellm_params"}:
            raise answers.no_deployment()
        if "model" not in body["litellm_params"]:
            raise answers.missing_field("litellm_params", "model")
        _check_info(request, body)
        if not self._faults.has_database:
            raise answers.no_database()
        self._only_admins(request)
        if not self._faults.store_model_in_db:
            raise answers.store_model_off()
        info = {k: v for k, v in body.get("model_info", {}).items() if v is not None}
        model_id = str(info.get("id") or uuid.uuid4())
        info["id"] = model_id
        params = {k: v for k, v in body["litellm_params"].items() if v is not None}
        row = Row(model_id, body["model_name"], params, info, blocked=self._blocked(body, default=False))
        try:
            row = self._database.insert(row)
        except (UniqueViolationError, DatabaseDownError):
            raise answers.not_added() from None
        self._wrote(f"POST /model/new {model_id}")
        return self._done(request, "create", row)

    async def update(self, request: web.Request) -> web.Response:
        """PATCH /model/{id}/update: a merge of the top-level keys; null clears nothing."""
        body, model_id = await _body(request), request.match_info["id"]
        _check_info(request, body)
        row = self._stored(model_id)
        self._only_admins(request)
        row.model_name = body.get("model_name") or row.model_name
        row.litellm_params |= {k: v for k, v in (body.get("litellm_params") or {}).items() if v is not None}
        if (info := body.get("model_info")) is not None:
            # a ModelInfo without an id makes itself a random one, and that is stored (measured)
            row.model_info |= {"id": str(uuid.uuid4())} | {k: v for k, v in info.items() if v is not None}
        row.blocked = self._blocked(body, default=row.blocked)
        return self._replaced(request, row, "PATCH")

    async def block(self, request: web.Request) -> web.Response:
        """POST /model/block."""
        return await self._set_blocked(request, blocked=True)

    async def unblock(self, request: web.Request) -> web.Response:
        """POST /model/unblock."""
        return await self._set_blocked(request, blocked=False)

    async def delete(self, request: web.Request) -> web.Response:
        """POST /model/delete."""
        body = await _body(request)
        if "id" not in body:
            raise answers.missing_field("id")
        if not self._faults.has_database:
            raise answers.no_database()
        model_id = str(body["id"])
        try:
            row = self._database.find(model_id)
            if row is None:
                raise answers.not_found_in_db(model_id)
            self._only_admins(request)
            if not self._faults.store_model_in_db:
                raise answers.store_model_off()
            self._database.delete(model_id)
        except DatabaseDownError as error:
            raise answers.delete_failed(error) from error
        self._router.evict(model_id)
        self._wrote(f"POST /model/delete {model_id}")
        self._maybe_cut(request)
        return web.json_response({"message": f"Model: {model_id} deleted successfully"})

    async def info(self, request: web.Request) -> web.Response:
        """GET /model/info: this replica's memory, but the database must be there."""
        self._need_database()
        models = list(self._router.models.values())
        if (model_id := request.query.get("litellm_model_id")) is not None:
            models = [m for key, m in self._router.models.items() if key == model_id]
            if not models:
                raise answers.not_in_memory(model_id)
        return web.json_response({"data": [shown(m) for m in models]})

    async def info_v2(self, request: web.Request) -> web.Response:
        """GET /v2/model/info: by id from memory, then the database; else pages of this replica's memory.

        With `search` also of what only the database knows.
        """
        page, size = int(request.query.get("page", "1")), int(request.query.get("size", "50"))
        if page < 1:
            raise answers.page_below_one()
        if not self._router.models:
            return web.json_response(_page([], page, size))
        if not self._faults.has_database:
            raise answers.no_database_for_update()
        if not self._faults.config_cached:
            self._need_database()
        model_id = request.query.get("modelId")
        if model_id is not None:
            found = self._by_id(model_id)
            return web.json_response(_page([] if found is None else [found], page, size))
        wanted, search = request.query.get("model"), request.query.get("search", "").lower()
        models = [
            m
            for m in [*self._router.models.values(), *(self._unknown(wanted) if search else ())]
            if wanted in (None, m["model_name"])
            and search in str(m["model_name"]).lower()
            and (request.query.get("wildcard_only") != "true" or "*" in m["model_name"])
        ]
        return web.json_response(_page(models, page, size))

    async def key_info(self, request: web.Request) -> web.Response:
        """GET /key/info: of the key that asks; the master key is in no database."""
        key = request.headers["Authorization"].removeprefix("Bearer ")
        if key == MASTER_KEY:
            raise answers.key_not_in_db()
        routes = list(self._key_of(request).allowed_routes)
        hashed = hashlib.sha256(key.encode()).hexdigest()
        return web.json_response({"key": hashed, "info": {"models": [], "allowed_routes": routes}})

    def _unknown(self, name: str | None) -> list[dict[str, Any]]:
        """Give the rows (of this name, if one is given) of which only the database knows."""
        try:
            rows = self._database.all()
        except DatabaseDownError:
            return []  # LiteLLM logs it and answers with what it remembers
        return [
            model_of(row, has_blocked=self._faults.has_blocked)
            for row in rows
            if row.model_id not in self._router.models and name in (None, row.model_name)
        ]

    def _by_id(self, model_id: str) -> dict[str, Any] | None:
        if model_id in self._router.models:
            return self._router.models[model_id]
        try:
            row = self._database.find(model_id)
        except DatabaseDownError:
            return None  # LiteLLM logs it and answers that there is none
        return None if row is None else model_of(row, has_blocked=self._faults.has_blocked)

    async def _set_blocked(self, request: web.Request, *, blocked: bool) -> web.Response:
        if not self._faults.has_blocked:
            raise answers.detail(404, "Not Found")
        body = await _body(request)
        if "model_id" not in body:
            raise answers.missing_field("model_id")
        row = self._stored(str(body["model_id"]))
        self._only_admins(request)
        row.blocked = blocked
        return self._replaced(request, row, "POST /model/block" if blocked else "POST /model/unblock")

    def _stored(self, model_id: str) -> Row:
        """Find the row to change. Raises RefusedError as LiteLLM's update and block do."""
        if not self._faults.has_database:
            raise answers.no_database_for_update()
        if not self._faults.store_model_in_db:
            raise answers.store_model_off_for_update()
        try:
            row = self._database.find(model_id)
        except DatabaseDownError as error:
            raise answers.update_failed(error) from error
        if row is not None:
            return row
        if model_id in self._router.models:
            raise answers.config_model()
        raise answers.not_found_on_proxy(model_id)

    def _replaced(self, request: web.Request, row: Row, how: str) -> web.Response:
        try:
            row = self._database.replace(row)
        except DatabaseDownError as error:
            raise answers.update_failed(error) from error
        self._wrote(f"{how} {row.model_id}")
        return self._done(request, "update", row)

    def _done(self, request: web.Request, action: str, row: Row) -> web.Response:
        """Reconcile this replica with the database and answer with the row, as every write does."""
        self._router.reload()
        known = str(row.litellm_params["model"]).split("/")[0] in KNOWN_PROVIDERS
        if self._faults.not_live:
            self._router.evict(row.model_id)
        self._maybe_cut(request)
        if self._faults.not_live or not known:
            raise answers.not_live(action, row.model_id)
        return web.json_response(written(row, has_blocked=self._faults.has_blocked))

    def _blocked(self, body: dict[str, Any], *, default: bool) -> bool:
        value = body.get("blocked") if self._faults.has_blocked else None
        return default if value is None else bool(value)

    def _only_admins(self, request: web.Request) -> None:
        role = self._key_of(request).role
        if role != "proxy_admin":
            raise answers.role_not_allowed(role)

    def _need_database(self) -> None:
        if self._faults.has_database and not self._database.up:
            raise answers.database_unreachable()

    def _maybe_cut(self, request: web.Request) -> None:
        if self._faults.cut_after_commit > 0:
            self._faults.cut_after_commit -= 1
            assert request.transport is not None
            request.transport.abort()


def shown(model: dict[str, Any]) -> dict[str, Any]:
    """Give a deployment as the info routes show it: without api_key, with what LiteLLM fills in."""
    model = copy.deepcopy(model)
    params, info = model["litellm_params"], model["model_info"]
    params.pop("api_key", None)
    provider = str(params["model"]).split("/")[0]
    filled = {
        "pricing_overrides": [],
        "key": params["model"],
        "litellm_provider": provider,
        "max_tokens": None,
        "max_input_tokens": None,
        "max_output_tokens": None,
        "input_cost_per_token": None,
        "output_cost_per_token": None,
        "supports_computer_use": None,
    }
    return {**model, "litellm_params": PARAM_DEFAULTS | params, "model_info": filled | info}


def written(row: Row, *, has_blocked: bool) -> dict[str, Any]:
    """Give a row as the writing routes answer with it: the strings of litellm_params are encrypted."""
    params = {k: _encrypted(v) if isinstance(v, str) else v for k, v in row.litellm_params.items()}
    answer = {
        "model_id": row.model_id,
        "model_name": row.model_name,
        "litellm_params": PARAM_DEFAULTS | params,
        "model_info": INFO_DEFAULTS | row.model_info,
        "created_at": row.created_at,
        "created_by": "default_user_id",
        "updated_at": row.updated_at,
        "updated_by": "default_user_id",
    }
    return answer | {"blocked": row.blocked} if has_blocked else answer


def _encrypted(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _page(models: list[dict[str, Any]], page: int, size: int) -> dict[str, Any]:
    return {
        "data": [shown(model) for model in models[(page - 1) * size : page * size]],
        "total_count": len(models),
        "current_page": page,
        "total_pages": -(-len(models) // size),
        "size": size,
    }


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.text())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise answers.body_is_no_object()
    return body


def _check_info(request: web.Request, body: dict[str, Any]) -> None:
    if not isinstance(body.get("model_info", {}), dict | None):
        raise answers.model_info_is_no_object(request.path)
