"""vLLM (routes and gauges of 0.32, vllm/entrypoints), and NVIDIA NIM, which is vLLM behind a front."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from sidecar.servers.ask import Ask, NoAnswerError
from sidecar.servers.engine import Probe, Profile
from sidecar.servers.facts import UNKNOWN, Fact, Facts, Mode, Origin
from sidecar.servers.gauges import Gauges
from sidecar.servers.listing import Card, text

_GAUGES: Final = ("vllm:num_requests_running", "vllm:num_requests_waiting")


async def server_mode(ask: Ask) -> Mode | None:
    """Tell the mode from the routes there are: vLLM registers only those its model can serve.

    They all want POST: a GET is 405 where the route exists and 404 where not, and costs nothing. A server
    that generates may lack a chat template and then only completes text, so its mode is not certain.
    Embedding models have the rerank routes too.
    """
    if await _exists(ask, "/v1/chat/completions") is not False:
        return None
    if await _exists(ask, "/v1/embeddings"):
        return Mode.EMBEDDING
    if await _exists(ask, "/classify") and await _exists(ask, "/rerank"):
        return Mode.RERANK
    if await _exists(ask, "/v1/audio/transcriptions"):
        return Mode.AUDIO_TRANSCRIPTION
    return None


async def _mode(ask: Ask, _card: Card) -> Facts:
    try:
        mode = await server_mode(ask)
    except NoAnswerError:
        return Facts()
    return Facts(mode=UNKNOWN if mode is None else Fact(mode, Origin.ENGINE))


async def _exists(ask: Ask, path: str) -> bool | None:
    known: dict[int, bool] = {HTTPStatus.METHOD_NOT_ALLOWED: True, HTTPStatus.NOT_FOUND: False}
    return known.get((await ask.get(path)).status)


_PROBES: Final = (Probe(frozenset({"mode"}), _mode),)

VLLM: Final = Profile(
    name="vllm",
    health="/health",
    about="/version",
    gauges=Gauges("/metrics", _GAUGES),
    probes=_PROBES,
)
NIM: Final = Profile(
    name="nim",
    health="/v1/health/ready",
    about="/v1/version",
    gauges=Gauges("/v1/metrics", _GAUGES),
    version=lambda about: text(about.get("release")),
    probes=_PROBES,
)
