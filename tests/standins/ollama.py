"""A stand-in for Ollama 0.17.4; its answers are those measured on the real one, word for word."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from tests.standins.model_server import CREATED, ModelServer, RefusedError

VERSION: Final = "0.17.4"
MODIFIED: Final = "2026-11-21T03:15:48.123456789Z"


@dataclass(frozen=True, slots=True)
class Pulled:
    """One pulled model: what /api/show tells of it. `num_ctx` is the Modelfile's parameter."""

    capabilities: tuple[str, ...] = ("completion",)
    num_ctx: int | None = None
    trained_context: int = 2048
    embedding_length: int = 64


class Ollama(ModelServer):
    """Ollama with the models that are pulled: `pull` and `remove` change them at run time.

    Without any model `data` of /v1/models is null. The order of the list changes from call to call. A SIGTERM
    cuts everything at once (`kill`); idle connections are never closed by the server.
    """

    name = "ollama"

    def __init__(self, *models: str, keepalive: float = 3600.0, **common: Any) -> None:
        self.pulled: dict[str, Pulled] = {}
        self.created: dict[str, int] = {}
        self._pulls = 0
        self.loaded: set[str] = set()
        self._random = random.Random(0)  # noqa: S311 - the order of a list
        super().__init__(keepalive=keepalive, **common)
        for model in models:
            self.pull(model)

    def pull(self, model: str, about: Pulled | None = None) -> None:
        """Have a model, made a second after the last one; a name without a tag gets `:latest`."""
        self.pulled[_tagged(model)] = about or Pulled()
        self.created[_tagged(model)] = CREATED + self._pulls
        self._pulls += 1

    def remove(self, model: str) -> None:
        """Have it no longer."""
        del self.pulled[_tagged(model)], self.created[_tagged(model)]

    def routes(self) -> list[web.RouteDef]:
        """Give the routes; all but chat read only what is on the disk."""
        return [
            *super().routes(),
            web.get("/", self._root),
            web.get("/api/version", self._version),
            web.get("/api/tags", self._tags),
            web.get("/api/ps", self._ps),
            web.post("/api/show", self._show),
            web.get("/v1/models/{model:.+}", self._card),
        ]

    def cards(self) -> list[dict[str, Any]] | None:
        """Give the cards in a new order each time, or None (JSON null) when there are no models."""
        return [_card(name, name, self.created[name]) for name in self._shuffled()] or None

    def check_key(self, request: web.Request) -> None:
        """Ollama knows no keys."""

    def check_model(self, model: str) -> None:
        """Refuse what is not pulled and what cannot chat; what can is loaded from now on."""
        name = self._known(model)
        if name is None:
            raise _error(404, f"model '{model}' not found")
        if "completion" not in self.pulled[name].capabilities:
            raise _error(400, f'"{model}" does not support chat')
        self.loaded = {name}

    def no_route(self, error: web.HTTPException) -> web.Response:
        """Answer as gin does."""
        if error.status == web.HTTPMethodNotAllowed.status_code:
            return web.Response(status=405, text="405 method not allowed", headers={"Allow": "GET"})
        return web.Response(status=404, text="404 page not found")

    def _known(self, model: str) -> str | None:
        plain = _tagged(model.removeprefix("library/")).lower()
        return next((name for name in self.pulled if name.lower() == plain), None)

    def _shuffled(self) -> list[str]:
        names = list(self.pulled)
        self._random.shuffle(names)
        return names

    async def _root(self, _request: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": VERSION})

    async def _tags(self, _request: web.Request) -> web.Response:
        return web.json_response({"models": [_entry(name, self.pulled[name]) for name in self._shuffled()]})

    async def _ps(self, _request: web.Request) -> web.Response:
        running = []
        for name in sorted(self.loaded):
            about = self.pulled[name]
            context = min(about.num_ctx or 4096, about.trained_context)
            entry = _entry(name, about) | {"expires_at": MODIFIED, "size_vram": 0, "context_length": context}
            del entry["modified_at"]
            running.append(entry)
        return web.json_response({"models": running})

    async def _show(self, request: web.Request) -> web.Response:
        model = str((await request.json()).get("model", ""))
        name = self._known(model)
        if name is None:
            return web.json_response({"error": f"model '{model}' not found"}, status=404)
        about = self.pulled[name]
        shown: dict[str, Any] = {
            "modelfile": "",
            "template": "{{ .Prompt }}",
            "details": _entry(name, about)["details"],
            "model_info": {
                "general.architecture": "llama",
                "llama.context_length": about.trained_context,
                "llama.embedding_length": about.embedding_length,
            },
            "capabilities": list(about.capabilities),
            "modified_at": MODIFIED,
        }
        if about.num_ctx is not None:
            shown["parameters"] = f"num_ctx                        {about.num_ctx}"
        return web.json_response(shown)

    async def _card(self, request: web.Request) -> web.Response:
        asked = request.match_info["model"]
        name = self._known(asked)
        if name is None:
            raise _error(404, f"model '{asked}' not found")
        return web.json_response(_card(asked, name, self.created[name]))


def _tagged(model: str) -> str:
    return model if ":" in model else f"{model}:latest"


def _card(shown: str, name: str, created: int) -> dict[str, Any]:
    owner = name.rpartition("/")[0] or "library"
    return {"id": shown, "object": "model", "created": created, "owned_by": owner}


def _entry(name: str, about: Pulled) -> dict[str, Any]:
    details = {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "116K",
        "quantization_level": "unknown",
    }
    # Of what is in the model, not of its name: a copy has the same one.
    digest = hashlib.sha256(repr(about).encode()).hexdigest()
    return {
        "name": name,
        "model": name,
        "modified_at": MODIFIED,
        "size": 920832,
        "digest": digest,
        "details": details,
    }


def _error(status: int, message: str) -> RefusedError:
    return RefusedError(
        status, {"error": {"message": message, "type": "api_error", "param": None, "code": None}}
    )
