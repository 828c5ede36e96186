"""vLLM (routes and gauges of 0.32, vllm/entrypoints), and NVIDIA NIM, which is vLLM behind a front."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from sidecar.servers.active import embedding_size
from sidecar.servers.ask import Ask, NoAnswerError, fault
from sidecar.servers.engine import Profile
from sidecar.servers.facts import HOSTED_ONLY, Facts, Mode, Origin, abilities
from sidecar.servers.gauges import Gauges
from sidecar.servers.listing import label
from sidecar.servers.probe import Probe
from sidecar.servers.vllm_probes import (
    SENSES,
    embeds_images,
    mode,
    prompt_caching,
    reasoning,
    sense,
    system_messages,
    tools,
)

_GAUGES: Final = ("vllm:num_requests_running", "vllm:num_requests_waiting")
_CHAT: Final = frozenset({Mode.CHAT})
_EMBEDDING: Final = frozenset({Mode.EMBEDDING})


async def _asleep(ask: Ask) -> bool | None:
    """Ask whether the server sleeps; the route is only there with VLLM_SERVER_DEV_MODE=1, as /sleep is.

    It reads a flag of the engine and does not wake it (vllm/entrypoints/serve/dev/sleep/api_router.py).
    """
    path = "/is_sleeping"
    reply = await ask.get(path)
    if reply.status == HTTPStatus.NOT_FOUND:
        return None
    sleeps = (reply.json_object() or {}).get("is_sleeping")
    if reply.status != HTTPStatus.OK or not isinstance(sleeps, bool):
        raise NoAnswerError(fault(path, reply))
    return sleeps


def _probes(metrics: str) -> tuple[Probe, ...]:
    """Give the free questions.

    /tokenize and a chat of temperature -1 end before the engine: vllm:prompt_tokens_total and
    vllm:generation_tokens_total stay as they are (measured on 0.32.0).
    """
    generating = frozenset({Mode.CHAT, Mode.COMPLETION})
    return (
        Probe(frozenset({"mode"}), mode),
        Probe(frozenset({"function_calling", "tool_choice"}), tools, _CHAT),
        *(Probe(frozenset({ability}), sense(ability), _CHAT) for ability in SENSES),
        Probe(frozenset({"system_messages"}), system_messages, _CHAT),
        Probe(frozenset({"prompt_caching"}), prompt_caching(metrics), generating),
        Probe(frozenset({"embedding_image_input"}), embeds_images, _EMBEDDING),
    )


_ACTIVE: Final = (
    Probe(frozenset({"reasoning"}), reasoning, _CHAT),
    Probe(frozenset({"embedding_size"}), embedding_size, _EMBEDDING),
)
_DEFAULTS: Final = Facts(
    abilities={
        **HOSTED_ONLY,
        **abilities(
            Origin.DEFAULT,
            # A message of the assistant at the end is closed and a new one begun, unless the request says
            # otherwise in vLLM's own words (chat_completion/protocol.py, add_generation_prompt; measured).
            assistant_prefill=False,
            # No content part holds a document (renderers/chat_utils.py, MM_PARSER_MAP), and no answer sound.
            pdf_input=False,
            audio_output=False,
        ),
    }
)


VLLM: Final = Profile(
    name="vllm",
    health="/health",
    about="/version",
    gauges=Gauges("/metrics", _GAUGES),
    probes=_probes("/metrics"),
    active=_ACTIVE,
    defaults=_DEFAULTS,
    asleep=_asleep,
    shared_root=True,
)
NIM: Final = Profile(
    name="nim",
    health="/v1/health/ready",
    about="/v1/version",
    gauges=Gauges("/v1/metrics", _GAUGES),
    version=lambda about: label(about.get("release")),
    probes=_probes("/v1/metrics"),
    active=_ACTIVE,
    defaults=_DEFAULTS,
    asleep=_asleep,
    shared_root=True,
)
