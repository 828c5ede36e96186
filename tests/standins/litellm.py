"""A stand-in for LiteLLM in DB mode: replicas over one database, each with a memory that lags behind it.

Answers are those measured on LiteLLM 1.106.2, word for word (`litellm_answers.py`). A new name is read
through to the database at once, a new row of a known name and a deletion are seen by the other replicas only
at their reload (every 30 s in LiteLLM as shipped, `reload` here). Not played: retries, cooldown, teams.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from tests.standins import litellm_answers as answers
from tests.standins.listening import Listener
from tests.standins.litellm_admin import Admin, Faults
from tests.standins.litellm_pace import Pace
from tests.standins.litellm_router import Router
from tests.standins.litellm_store import MASTER_KEY, Database, DatabaseDownError, Key

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OPEN_PATHS: Final = ("/health/readiness", "/health/liveliness")


class Replica:
    """One replica: its address, its faults, its memory, and how often each admin call was made."""

    def __init__(self, cluster: LiteLLM, number: int, host: str, port: int) -> None:
        self.name = name = f"R{number}"
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self._cluster = cluster
        self.router = Router(
            cluster.database, cluster.config_models, has_blocked=lambda: self.faults.has_blocked, seed=number
        )
        admin = Admin(
            cluster.database,
            self.router,
            self.faults,
            key_of=self._key,
            wrote=lambda text: cluster.tell(name, text),
        )
        app = web.Application(middlewares=[self._guard])
        app.add_routes(admin.routes())
        app.add_routes(
            [
                web.get("/health/readiness", self._readiness),
                web.get("/health/liveliness", self._liveliness),
                web.get("/v1/models", self._models),
                web.get("/models", self._models),
                web.post("/v1/chat/completions", self.router.chat),
                web.post("/chat/completions", self.router.chat),
            ]
        )
        self._listener = Listener(app, host, port)
        self._number = number
        self._reloads: asyncio.Task[None] | None = None
        self._pace = Pace() if cluster.paced else None

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._listener.url

    async def start(self) -> None:
        """Read the database and accept connections; also after `refuse`."""
        self.reload()
        await self._listener.listen()
        if self._cluster.reload_interval is not None and self._reloads is None:
            interval = self._cluster.reload_interval
            # replicas are never in step
            first = interval * (self._number + 1) / len(self._cluster.replicas)
            self._reloads = asyncio.create_task(self._reload_for_ever(first, interval))

    async def refuse(self) -> None:
        """Die as a killed process does: connections are cut, new ones refused, the memory is lost."""
        await self._listener.refuse()
        if self._reloads is not None:
            self._reloads.cancel()
            self._reloads = None
        self.router.models.clear()

    async def close(self) -> None:
        """End for good."""
        await self.refuse()
        await self._listener.close()
        await self.router.close()

    def reload(self) -> None:
        """Do now what the reload interval does; one that finds no database is left out."""
        with contextlib.suppress(DatabaseDownError):
            new, gone = self.router.reload()
            for word, ids in (("new", new), ("gone", gone)):
                for model_id in sorted(ids):
                    self._cluster.tell(self.name, f"reload: {model_id} is {word}")

    async def _reload_for_ever(self, first: float, interval: float) -> None:
        await asyncio.sleep(first)
        while True:
            self.reload()
            await asyncio.sleep(interval)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the key, count admin calls, and turn refusals into answers."""
        chat = request.path.endswith("/chat/completions")
        if not chat:
            self.calls[f"{request.method} {request.path}"] += 1
            await asyncio.sleep(self.faults.delay)
            await self._work(request)
        try:
            if request.path not in OPEN_PATHS:
                self._key(request)
            return await handler(request)
        except answers.RefusedError as refused:
            return refused.answer()
        except web.HTTPNotFound:
            return web.json_response({"detail": "Not Found"}, status=404)

    async def _work(self, request: web.Request) -> None:
        """Take the time that LiteLLM takes."""
        if self._pace is not None:
            await self._pace.work(
                request.path,
                request.query,
                finds=request.match_info.get("id") in self._cluster.database.rows,
                rows=len(self.router.models),
            )

    def _key(self, request: web.Request) -> Key:
        text = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not text:
            raise answers.no_key()
        key = self._cluster.keys.get(text)
        if key is None:
            if not self.faults.has_database:
                raise answers.proxy_error(400, "No connected db.", "no_db_connection", None)
            if not self._cluster.database.up:
                raise answers.database_unreachable()
            raise answers.unknown_key(text)
        if not key.allows(request.path):
            raise answers.route_not_allowed(key.allowed_routes, request.path)
        return key

    async def _readiness(self, _request: web.Request) -> web.Response:
        if not self.faults.has_database:
            return web.json_response({"status": "healthy", "db": "Not connected"})
        if self._cluster.database.up:
            return web.json_response({"status": "healthy", "db": "connected"})
        return web.json_response({"status": "healthy", "db": "disconnected"}, status=503)

    async def _liveliness(self, _request: web.Request) -> web.Response:
        return web.json_response("I'm alive!")

    async def _models(self, _request: web.Request) -> web.Response:
        cards = {}
        for model in self.router.models.values():
            card = {"id": model["model_name"], "object": "model", "created": 1677610602, "owned_by": "openai"}
            mode = model["model_info"].get("mode")
            cards[model["model_name"]] = card | ({"mode": mode} if mode else {})
        return web.json_response({"data": list(cards.values()), "object": "list"})


class LiteLLM:
    """Several replicas over one database. Used as an async context manager.

    `reload` is the seconds between two reloads of each replica, None for only when a test says so. `tell`
    gets the name of a replica and what it did. `config_models` are deployments of a config file: in every
    memory, in no database. `ports`: one for each replica, 0 for a free one. `paced`: admin calls take as long
    as on a real one.
    """

    def __init__(
        self,
        replicas: int = 2,
        *,
        reload: float | None = None,
        keys: dict[str, Key] | None = None,
        config_models: Sequence[dict[str, Any]] = (),
        tell: Callable[[str, str], None] = lambda _name, _text: None,
        host: str = "127.0.0.1",
        ports: Sequence[int] = (),
        paced: bool = False,
    ) -> None:
        self.paced = paced
        self.database = Database()
        self.keys = {MASTER_KEY: Key()} if keys is None else keys
        self.config_models = list(config_models)
        self.reload_interval = reload
        self.tell = tell
        ports = ports or [0] * replicas
        self.replicas = [Replica(self, number, host, port) for number, port in enumerate(ports)]

    async def __aenter__(self) -> Self:
        """Start every replica."""
        for replica in self.replicas:
            await replica.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every replica."""
        for replica in self.replicas:
            await replica.close()

    @property
    def url(self) -> str:
        """The address of the first replica."""
        return self.replicas[0].url
