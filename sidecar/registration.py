"""From a model to its row in LiteLLM: ids, names, provider prefixes, every key explicit. Pure.

LiteLLM fills a capability that is absent or null from the last row with the same `litellm_params.model`,
even after that row is deleted (measured on LiteLLM 1.106), so nothing is left out: what is not known is sent
as false and named in `model_info.registrar.unknown`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.contract import PodIdentity, Settings
from sidecar.servers.facts import Ability, Facts, Mode
from sidecar.servers.shapes import Answer, Model

OWNER_KEY: Final = "registrar"
MARK: Final = "blocked_by"
MARKED_BY_US: Final = "registrar"

# Ollama by `openai/`: LiteLLM never cools down a dead `ollama_chat/` deployment.
_PROVIDERS: Final[Mapping[str, str]] = {"ollama": "openai"}
_DEFAULT_PROVIDER: Final = "hosted_vllm"
# These providers add Ollama's own paths to `api_base` themselves.
_WITHOUT_V1: Final = frozenset({"ollama", "ollama_chat"})
# `openai/` without any key takes OPENAI_API_KEY of the proxy and sends it to the server.
NO_KEY: Final = "none"
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Row:
    """What LiteLLM shall hold for one served model; `info` is without the ownership block, `owner`."""

    id: str
    served: str
    name: str
    params: Mapping[str, Any] = field(repr=False)
    info: Mapping[str, Any] = field(repr=False)
    owner: Mapping[str, Any] = field(repr=False)

    @property
    def whole(self) -> bool:
        """Whether the row could be made of this: one found in LiteLLM (`adopted`) could not."""
        return bool(self.params)


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as LiteLLM answered it. `blocked` is None where LiteLLM does not say."""

    id: str
    name: str
    params: Mapping[str, Any] = field(repr=False)
    info: Mapping[str, Any] = field(repr=False)
    blocked: bool | None

    @property
    def owner(self) -> Mapping[str, Any]:
        """The ownership block, empty if there is none."""
        owner = self.info.get(OWNER_KEY)
        return owner if isinstance(owner, dict) else {}


def row_id(cluster: str, namespace: str, pod_uid: str, model: str, generation: int = 0) -> str:
    """Give the id of a row: the same for the same model of the same pod, whoever asks and whenever.

    The parts are put together as a JSON list, so that no two lists of parts give the same text.
    """
    parts = json.dumps([cluster, namespace, pod_uid, model, generation], separators=(",", ":"))
    return f"registrar-{hashlib.sha256(parts.encode()).hexdigest()[:32]}"


def public_names(answer: Answer, settings: Settings, identity: PodIdentity) -> dict[str, str]:
    """Give each served model its name in LiteLLM.

    `model_name` renames the one base model there is; adapters (which have a parent) keep their own names, and
    where there are several base models it renames none. A placeholder nobody knows stays as it is.
    """
    bases = [model.id for model in answer.models if model.parent is None]
    renamed = {bases[0]: settings.model_name} if len(bases) == 1 and settings.model_name else {}
    known = {"namespace": identity.namespace, "pod": identity.pod, "engine": answer.engine}

    def name(model: Model) -> str:
        values = {**known, "model": renamed.get(model.id, model.id)}
        # In one pass: a model called "{pod}" keeps its name.
        return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), settings.name_template)

    return {model.id: name(model) or model.id for model in answer.models}


def desired_rows(
    answer: Answer, base_url: str, settings: Settings, identity: PodIdentity, *, api_key: str | None
) -> tuple[Row, ...]:
    """Give the rows an answering server shall have, in the order of its models."""
    provider = settings.provider or _PROVIDERS.get(answer.engine, _DEFAULT_PROVIDER)
    names = public_names(answer, settings, identity)
    params = {
        "api_base": base_url if provider in _WITHOUT_V1 else f"{base_url}/v1",
        "api_key": api_key or NO_KEY,
        # With closed connections the open ones are exactly what is in flight, where the engine does not tell.
        "extra_headers": {} if answer.gauges else {"Connection": "close"},
    }
    pod = {
        "cluster": settings.cluster,
        "namespace": identity.namespace,
        "pod": identity.pod,
        "pod_uid": identity.pod_uid,
        "node": identity.node,
        "server": answer.engine,
        "version": answer.version or "",
    }

    def row(model: Model) -> Row:
        key = row_id(settings.cluster, identity.namespace, identity.pod_uid, model.id)
        known, unknown = _facts(model.facts)
        owner = {**pod, "model": model.id, "owner": model.owner or "", "unknown": unknown}
        own = {"model": f"{provider}/{model.id}", **params}
        return Row(key, model.id, names[model.id], own, {"id": key, **known}, owner)

    return tuple(row(model) for model in answer.models)


def _facts(facts: Facts) -> tuple[dict[str, Any], list[str]]:
    """Give the keys of model_info that describe a model, and the names of those that are only a guess."""
    known: dict[str, Any] = {"mode": facts.mode.value or Mode.CHAT}
    unknown = [] if facts.mode.known else ["mode"]
    for ability in Ability:
        fact = facts.ability(ability)
        known[f"supports_{ability}"] = fact.value is True
        if not fact.known:
            unknown.append(f"supports_{ability}")
    if facts.context.known:
        known |= {"max_tokens": facts.context.value, "max_input_tokens": facts.context.value}
    else:
        unknown.append("max_input_tokens")
    return known, sorted(unknown)


def owner_block(row: Row, *, marked: bool) -> dict[str, Any]:
    """Give the ownership block to write, with our mark if the row is blocked by us."""
    return {**row.owner, MARK: MARKED_BY_US} if marked else dict(row.owner)


def body(row: Row, *, owner: Mapping[str, Any] | None, blocked: bool | None) -> dict[str, Any]:
    """Give what is sent to LiteLLM; without `owner` or `blocked` these stay as they are stored.

    `model_info.id` is always there: a PATCH of model_info without it stores a random one (measured).
    """
    info = dict(row.info) if owner is None else {**row.info, OWNER_KEY: dict(owner)}
    whole = {"model_name": row.name, "litellm_params": dict(row.params), "model_info": info}
    return whole if blocked is None else {**whole, "blocked": blocked}


def drift(row: Row, stored: Stored) -> tuple[str, ...]:
    """Name the keys of ours that are stored differently.

    LiteLLM never shows `api_key` and may leave out other parameters, so an absent parameter is no drift; it
    adds keys of its own, which are none of our business. The mark of a block is no drift either.
    """
    differing = ["model_name"] if stored.name != row.name else []
    differing += [
        f"litellm_params.{key}"
        for key, value in row.params.items()
        if key != "api_key" and stored.params.get(key, value) != value
    ]
    differing += [f"model_info.{key}" for key, value in row.info.items() if stored.info.get(key) != value]
    if {key: value for key, value in stored.owner.items() if key != MARK} != row.owner:
        differing.append(f"model_info.{OWNER_KEY}")
    return tuple(differing)


def is_ours(stored: Stored, settings: Settings, identity: PodIdentity) -> bool:
    """Tell whether a row is of this very pod: only such rows are ever written."""
    owner = stored.owner
    return owner.get("cluster") == settings.cluster and owner.get("pod_uid") == identity.pod_uid


def adopted(stored: Stored) -> Row:
    """Take over a row this pod wrote in an earlier life; only its block and its end are in our hands."""
    owner = {key: value for key, value in stored.owner.items() if key != MARK}
    served = str(owner.get("model", ""))
    return Row(stored.id, served, stored.name, {}, {"id": stored.id}, owner)
