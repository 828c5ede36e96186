"""One replica's memory of the models, which lags behind the database, and the requests it routes with it."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
from aiohttp import web

from tests.standins import litellm_answers as answers
from tests.standins.litellm_store import Database, DatabaseDownError, Row

# litellm/proxy/common_utils/registry_read_through.py
MISS_TTL: Final = 2.0
RESYNC_WINDOW: Final = 5.0
MAX_RESYNCS: Final = 20
ROUTABLE: Final = ("hosted_vllm", "openai")
KNOWN_PROVIDERS: Final = (*ROUTABLE, "ollama", "ollama_chat", "openai_like", "text-completion-openai")

# ModelInfo's defaults, seen in every answer
INFO_DEFAULTS: Final = {"db_model": False, "member_auto_router": False}

Model = dict[str, Any]


class Router:
    """The deployments one replica knows, and where its requests went.

    Unlike LiteLLM it neither retries nor cools down a dead deployment, so that a lost request shows.
    """

    def __init__(
        self, database: Database, config_models: list[Model], *, has_blocked: Callable[[], bool], seed: int
    ) -> None:
        self.models: dict[str, Model] = {}
        self.served: Counter[str] = Counter()
        self._database = database
        self._config = config_models
        self._has_blocked = has_blocked
        self._random = random.Random(seed)  # noqa: S311 - which of several deployments is asked
        self._missed: dict[str, float] = {}
        self._resyncs: list[float] = []
        self._session: aiohttp.ClientSession | None = None

    def reload(self) -> tuple[set[str], set[str]]:
        """Become what the database holds, and give the ids that are new and those that went.

        Raises DatabaseDownError, and then nothing has changed.
        """
        rows = self._database.all()
        before = set(self.models)
        self.models = {str(m["model_info"]["id"]): copy.deepcopy(m) for m in self._config}
        for row in rows:
            self.add(row)
        return set(self.models) - before, before - set(self.models)

    def add(self, row: Row) -> None:
        """Take one row in; one of an unknown provider is not taken (LiteLLM's ignore_invalid_deployments)."""
        if str(row.litellm_params.get("model", "")).split("/")[0] in KNOWN_PROVIDERS:
            self.models[row.model_id] = model_of(row, has_blocked=self._has_blocked())

    def evict(self, model_id: str) -> None:
        """Forget one row at once."""
        self.models.pop(model_id, None)

    def deployments(self, name: str) -> list[Model]:
        """Give the deployments of a name; an id is a name too."""
        named = [m for m in self.models.values() if m["model_name"] == name]
        return named or [m for key, m in self.models.items() if key == name]

    def pick(self, name: str) -> Model:
        """Choose a deployment for one request. Raises RefusedError."""
        found = self.deployments(name) or self._read_through(name)
        if not found:
            raise answers.unknown_model_name(name)
        free = [m for m in found if not m["model_info"].get("blocked")]
        if not free:
            raise answers.all_blocked()
        return self._random.choices(free, weights=shares(free))[0]

    def _read_through(self, name: str) -> list[Model]:
        now = time.monotonic()
        self._resyncs = [t for t in self._resyncs if now - t < RESYNC_WINDOW]
        if now - self._missed.get(name, -MISS_TTL) < MISS_TTL or len(self._resyncs) >= MAX_RESYNCS:
            return []
        self._resyncs.append(now)
        try:
            rows = self._database.named(name)
        except DatabaseDownError:
            return []
        if not rows:
            self._missed[name] = now
        for row in rows:
            self.add(row)
        return self.deployments(name)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Send one chat request to a deployment and its answer back. Raises RefusedError."""
        body = json.loads(await request.text())
        name = str(body.get("model", ""))
        model = self.pick(name)
        model_id, params = model["model_info"]["id"], model["litellm_params"]
        self.served[model_id] += 1
        headers = {"x-litellm-model-id": model_id, "x-litellm-attempted-retries": "0"}
        url = f"{str(params.get('api_base', '')).rstrip('/')}/chat/completions"
        sent = {**body, "model": str(params["model"]).partition("/")[2]}
        try:
            upstream = await self._client().post(url, json=sent, headers=_headers(params))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise answers.server_unreachable(name, error) from error
        async with upstream:
            if upstream.status == web.HTTPOk.status_code and body.get("stream"):
                return await _relay(request, upstream, headers)
            try:
                text = await upstream.text()
            except (aiohttp.ClientError, OSError) as error:
                raise answers.server_unreachable(name, error) from error
            if upstream.status != web.HTTPOk.status_code:
                raise answers.proxy_error(
                    upstream.status, f"litellm.APIError: OpenAIException - {text}", "None"
                )
            return web.json_response(text=text, headers=headers)

    async def close(self) -> None:
        """Close the pool of connections to the model servers."""
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            # LiteLLM keeps idle connections for 120 s and more
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=120)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def model_of(row: Row, *, has_blocked: bool = True) -> Model:
    """Give a row as a router holds it and /model/info shows it (but for api_key and what is filled in)."""
    info = {**INFO_DEFAULTS, **row.model_info, "db_model": True}
    if has_blocked:
        info["blocked"] = row.blocked
    info["id"] = row.model_id
    return {"model_name": row.model_name, "litellm_params": dict(row.litellm_params), "model_info": info}


def shares(models: Sequence[Model]) -> list[float]:
    """Give each deployment its share: the first of these keys that any has decides (simple_shuffle)."""
    for key in ("weight", "rpm", "tpm"):
        found = [float(model["litellm_params"].get(key) or 0) for model in models]
        if any(share > 0 for share in found):
            return found
    return [1.0] * len(models)


def _headers(params: Mapping[str, Any]) -> dict[str, str]:
    # hosted_vllm sends this key when it has none (measured)
    key = params.get("api_key") or "fake-api-key"
    return {"Authorization": f"Bearer {key}", **params.get("extra_headers", {})}


async def _relay(
    request: web.Request, upstream: aiohttp.ClientResponse, headers: dict[str, str]
) -> web.StreamResponse:
    """Pass a stream on; one that is cut ends, as in LiteLLM, with an SSE error under HTTP 200."""
    answer = web.StreamResponse(headers={**headers, "Content-Type": "text/event-stream; charset=utf-8"})
    await answer.prepare(request)
    with contextlib.suppress(ConnectionResetError):  # the client has gone
        try:
            async for chunk in upstream.content.iter_any():
                await answer.write(chunk)
        except aiohttp.ClientPayloadError:
            await answer.write(f"data: {json.dumps(answers.stream_cut().body)}\n\n".encode())
        await answer.write_eof()
    return answer
