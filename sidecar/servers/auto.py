"""Which kind of server it is, told by routes that make it compute nothing.

NIM is asked for first (its `owned_by` is vLLM's), then the list itself is looked at, then the routes only one
engine has. SGLang answers Ollama's routes too, so its `owned_by` is looked at before them. Of a server that
answers any route with 200 (LM Studio does, some fronts do) only routes count that it answers in another way.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from sidecar.contract import CloudModels
from sidecar.servers.ask import Ask, NoAnswerError, fault
from sidecar.servers.engine import Engine, OpenAi, Profile
from sidecar.servers.listing import Listing
from sidecar.servers.llama_cpp import LLAMA_CPP
from sidecar.servers.ollama import Ollama
from sidecar.servers.openai import GENERIC, INFINITY, LLAMA_CPP_PYTHON, LM_STUDIO, LOCALAI, TGI
from sidecar.servers.sglang import SGLANG
from sidecar.servers.vllm import NIM, VLLM

_BY_OWNER: Final = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "llamacpp": LLAMA_CPP,
    "infinity": INFINITY,
    "me": LLAMA_CPP_PYTHON,
}
# A route of an engine's own, and keys its answer has.
_BY_ROUTE: Final = (
    (SGLANG, "/model_info", frozenset({"model_path", "is_generation"})),
    (LLAMA_CPP, "/props", frozenset({"default_generation_settings"})),
    (TGI, "/info", frozenset({"model_id", "max_total_tokens"})),
    (LOCALAI, "/.well-known/localai.json", frozenset({"version"})),
    (LM_STUDIO, "/api/v0/models", frozenset({"data"})),
)
# No server has this route; what is answered here is answered everywhere and tells nothing.
_NO_ROUTE: Final = "/no/such/route"
# Answers of a server that is busy, or of the front of one that has not started.
_BUSY: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


def told_by(listing: Listing) -> Profile | None:
    """Tell the engine from the list of models and the `Server` header alone."""
    known = [_BY_OWNER[owner] for owner in sorted(listing.owners()) if owner in _BY_OWNER]
    if len(known) == 1:
        return known[0]
    return LLAMA_CPP if listing.server == "llama.cpp" else None


async def identify(
    ask: Ask, listing: Listing, cloud_models: CloudModels = CloudModels.SKIP, *, patient: bool = False
) -> Engine:
    """Find out which engine answers. Raises NoAnswerError.

    If `patient`, also when a route is busy or not started yet: what it will be cannot be told by that, and a
    NIM that is not ready is no vLLM that is.
    """
    anywhere = await ask.get(_NO_ROUTE)
    if anywhere.status == HTTPStatus.OK:
        return OpenAi(ask, await _by_route(ask, frozenset(anywhere.json_object() or ()), patient=patient))
    if await _object(ask, "/v1/health/ready", patient=patient) is not None:
        return OpenAi(ask, NIM)
    profile = told_by(listing)
    if profile is not None:
        return OpenAi(ask, profile)
    if await _is_ollama(ask, patient=patient):
        return Ollama(ask, cloud_models)
    return OpenAi(ask, await _by_route(ask, frozenset(), patient=patient))


async def _by_route(ask: Ask, anywhere: frozenset[str], *, patient: bool) -> Profile:
    """Tell the engine by a route of its own; `anywhere` are the keys that an answer of any route has."""
    for candidate, path, keys in _BY_ROUTE:
        if keys <= (await _object(ask, path, patient=patient) or {}).keys() and not keys & anywhere:
            return candidate
    return GENERIC


async def _is_ollama(ask: Ask, *, patient: bool) -> bool:
    if "version" not in (await _object(ask, "/api/version", patient=patient) or {}):
        return False
    root = await ask.get("/")
    return root.status == HTTPStatus.OK and root.body.strip() == b"Ollama is running"


async def _object(ask: Ask, path: str, *, patient: bool) -> dict[str, Any] | None:
    reply = await ask.get(path)
    if patient and reply.status in _BUSY:
        raise NoAnswerError(fault(path, reply))
    return reply.json_object() if reply.status == HTTPStatus.OK else None
