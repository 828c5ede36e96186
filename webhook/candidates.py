"""Which container of a pod is the model server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

from sidecar.contract import CONTAINER_NAME, Engine
from webhook import ports
from webhook.layer import PREFIX
from webhook.pods import objects
from webhook.reasons import Problem, Reason, shown
from webhook.sources import programs
from webhook.sources.container import Reading, read
from webhook.wishes import Wishes

# Containers that other injectors add.
_SIDECARS: Final = frozenset(
    {"istio-proxy", "linkerd-proxy", "queue-proxy", "vault-agent", "cloud-sql-proxy", "otc-container"}
)
# Names that speak for an engine, in an image or of a container.
_WORDS: Final[Mapping[Engine, tuple[str, ...]]] = {
    Engine.VLLM: ("vllm",),
    Engine.OLLAMA: ("ollama",),
    Engine.OPENAI: ("vllm", "ollama", "llama", "sglang", "text-generation", "huggingfaceserver"),
}
# Some word of every engine; "llama" is in "ollama".
_TELLING: Final = ("vllm", "llama", "sglang", "text-generation", "huggingfaceserver")
# KServe's name for the container that serves.
_SERVING_NAME: Final = "kserve-container"
_VARIABLES: Final[Mapping[Engine, tuple[str, ...]]] = {
    Engine.VLLM: ("VLLM_", "SERVED_MODEL_NAME", "MODEL_NAME"),
    Engine.OLLAMA: ("OLLAMA_",),
    Engine.OPENAI: ("VLLM_", "SERVED_MODEL_NAME", "MODEL_NAME", "OLLAMA_", "LLAMA_ARG_"),
}
_MAX_CONTAINERS: Final = 500
_MAX_LISTED: Final = 5
_FLAGS: Final = ("--model", "--served-model-name", "--served_model_name", "--tensor-parallel-size")


class Likeness(IntEnum):
    """How much a container looks like the server the label speaks of."""

    OTHER = -1
    NOTHING = 0
    HINT = 1
    IMAGE = 2
    RUNS = 3


def choose(spec: Mapping[str, Any], engine: Engine, wishes: Wishes, path: str) -> Reading | Problem:
    """Choose the server among the containers of a pod spec that stands at `path`.

    A Problem names the annotation that settles it.
    """
    where = f"{path}.containers"
    found = [(i, c) for i, c in objects(spec.get("containers")) if c.get("name") != CONTAINER_NAME]
    if wishes.container is not None:
        named = next(((i, c) for i, c in found if c.get("name") == wishes.container), None)
        if named is not None:
            return read(named[0], f"{where}[{named[0]}]", named[1])
        names = ", ".join(shown(c.get("name")) for _, c in found[:_MAX_LISTED]) or "none"
        message = f"{PREFIX}container says {wishes.container}; the pod has {names}"
        return Problem(Reason.NO_SERVER, message, where)
    if len(found) > _MAX_CONTAINERS:
        message = f"among {len(found)} containers none is looked for; name it in {PREFIX}container"
        return Problem(Reason.SEVERAL_SERVERS, message, where)
    # Most containers of a big pod are not worth a second look.
    telling = [read(i, f"{where}[{i}]", c) for i, c in found if _is_telling(c)]
    best, top = _best(telling, engine)
    if best < Likeness.IMAGE:
        known = {c.index: c for c in telling}
        telling = [known.get(i) or read(i, f"{where}[{i}]", c) for i, c in found]
        best, top = _best(telling, engine)
    if best is Likeness.OTHER:
        return Problem(Reason.NO_SERVER, _nothing(telling, engine), where)
    if len(top) > 1:
        names = ", ".join(c.name for c in top[:_MAX_LISTED])
        message = f"{names} could each be the server; name it in {PREFIX}container"
        return Problem(Reason.SEVERAL_SERVERS, message, where)
    return top[0]


def likeness(candidate: Reading, engine: Engine) -> Likeness:
    """Tell how much a container looks like a server of this engine; for auto, of any."""
    if any(run.program.suits(engine) for run in candidate.runs):
        return Likeness.RUNS
    if candidate.runs or candidate.client or candidate.name in _SIDECARS:
        return Likeness.OTHER
    kind = Engine.OPENAI if engine is Engine.AUTO else engine
    image, _ = programs.image_name(candidate.container.get("image"))
    if any(word in image for word in _WORDS[kind]):
        return Likeness.IMAGE
    return Likeness.HINT if _has_hint(candidate, kind) else Likeness.NOTHING


def _is_telling(container: Mapping[str, Any]) -> bool:
    """Tell whether image or command hold a word that speaks for any engine."""
    image, command, args = container.get("image"), container.get("command"), container.get("args")
    try:
        text = "\n".join((image or "", *(command or ()), *(args or ())))
    except TypeError:  # not all of it is text, as the API server has it: worth the second look
        return True
    for word in _TELLING:  # noqa: SIM110 - `any` takes twice as long, for each of 100 containers
        if word in text:
            return True
    return False


def _best(found: Sequence[Reading], engine: Engine) -> tuple[Likeness, list[Reading]]:
    ranked = [(likeness(c, engine), c) for c in found]
    best = max((rank for rank, _ in ranked), default=Likeness.OTHER)
    return best, [c for rank, c in ranked if rank is best]


def _has_hint(candidate: Reading, engine: Engine) -> bool:
    container, port = candidate.container, programs.UNKNOWN[engine].port
    return (
        candidate.name == _SERVING_NAME
        or any(word in candidate.name for word in _WORDS[engine])
        or any(name.startswith(_VARIABLES[engine]) for name in candidate.env)
        or (engine is not Engine.OLLAMA and any(word.startswith(_FLAGS) for word in candidate.words))
        or (ports.has_api_port(container) if port is None else ports.declares(container, port))
    )


def _nothing(found: Sequence[Reading], engine: Engine) -> str:
    if not found:
        return "the pod has no containers"
    seen = ", ".join(f"{c.name} {_seen(c)}" for c in found[:_MAX_LISTED])
    return f"none runs {engine}: {seen}; another label, or {PREFIX}container, settles it"


def _seen(candidate: Reading) -> str:
    if candidate.runs:
        return f"runs {candidate.runs[0].program.name}"
    if candidate.client:
        return "runs a client of it, or another of its commands"
    return "is a sidecar of another injector"
