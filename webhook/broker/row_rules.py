"""What may be in a row: one function a rule, each raises RefusedError. Pure.

The kinds of keys that owners may set are those of the annotations' table (`webhook.litellm_keys`); what the
registrar itself writes is in `sidecar/registration.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sidecar.contract import CONTRACT_VERSION, LITELLM_REFERENCE
from sidecar.row_contract import (
    CLOSED_CONNECTIONS,
    MARK,
    MARKED_BY_US,
    OWNER_KEY,
    api_base,
    pod_prefix,
    row_id,
)
from webhook.broker import limits
from webhook.broker.asking import nameable
from webhook.broker.names import Grant
from webhook.broker.shapes import Caller, PodFacts, RefusedError, RowSent, Rule
from webhook.keys_pod import PROVIDERS
from webhook.kinds import FLAG, Kind
from webhook.litellm_keys import INFO, PARAMS, REFUSED_INFO, REFUSED_PARAMS, SUPPORTS
from webhook.reasons import shown
from webhook.row_objects import not_own

# Of the row's parameters those that the registrar writes, always.
_OWN_PARAMS: Final = frozenset({"model", "api_base", "api_key", "extra_headers"})
# Numbers of a model that the registrar writes, which are 0 where a model of its mode has none.
_OR_NONE: Final = frozenset({"max_tokens", "max_input_tokens", "max_output_tokens", "output_vector_size"})
# What the ownership block says of the model; the rest of it is the broker's own.
_DESCRIBING: Final = ("server", "version", "model", "alias", "owner", "digest", "quantization")
_NEEDED: Final = ("server", "version", "model", "owner", "unknown")
_OURS: Final = ("cluster", "namespace", "pod", "pod_uid", "node")
_ROW_DIGITS: Final = re.compile(r"[0-9a-f]{24}")
_MAX_KEY: Final = 253


def own_id(key: str, cluster: str, caller: Caller) -> None:
    """Refuse an id that is not one of a row of the caller's pod: every such id begins with the pod's own."""
    prefix = pod_prefix(cluster, caller.namespace, caller.pod_uid)
    if not key.startswith(prefix) or not _ROW_DIGITS.fullmatch(key.removeprefix(prefix)):
        message = (
            f"id: found {shown(key)}, allowed are ids of this pod's own rows, in cluster {shown(cluster)}"
        )
        raise RefusedError(Rule.ROW_ID, message)


def same_id(path: str, row: RowSent) -> None:
    """Refuse a change whose two ids differ: LiteLLM would store the one of the body."""
    if row.id != path:
        message = f"model_info.id: found {shown(row.id)}, allowed is the id of the path, {shown(path)}"
        raise RefusedError(Rule.ROW_ID, message)


def derived_id(row: RowSent, cluster: str, caller: Caller) -> None:
    """Refuse an id that is not the one of the model that the row stands for, under its own name or an alias.

    A change may say nothing of its model; then there is nothing to hold the id against.
    """
    parts = (cluster, caller.namespace, caller.pod_uid)
    named, described = row.params.get("model"), (row.owner or {}).get("model")
    allowed = []
    if isinstance(named, str):
        served = named.partition("/")[2]
        allowed.append({row_id(*parts, served), row_id(*parts, served, alias=row.name)})
    if isinstance(described, str):
        alias = (row.owner or {}).get("alias")
        allowed.append({row_id(*parts, described, alias=alias if isinstance(alias, str) else None)})
    if not all(row.id in ids for ids in allowed):
        of = " or ".join(shown(model) for model in (named, described) if isinstance(model, str))
        raise RefusedError(Rule.ROW_ID, f"model_info.id: found {shown(row.id)}, not that of model {of}")


def provider(row: RowSent) -> str:
    """Give the row's provider, if it is one that the registrar registers under.

    Any other would have LiteLLM reach for cloud credentials of its own; `*` stands for many models.
    """
    found = row.params.get("model")
    name, _, served = found.partition("/") if isinstance(found, str) else ("", "", "")
    if name not in PROVIDERS or not served or "*" in served:
        allowed = ", ".join(f"{each}/" for each in PROVIDERS)
        message = f"litellm_params.model: found {shown(found)}, allowed is a model behind one of {allowed}"
        raise RefusedError(Rule.PROVIDER, message)
    if row.owner is not None and row.owner.get("model") != served:
        message = (
            f"litellm_params.model: found {shown(found)}, not the model {shown(row.owner.get('model'))} "
        )
        raise RefusedError(Rule.PROVIDER, f"{message}of the ownership block")
    return name


def at_the_pod(row: RowSent, provider: str, pod: PodFacts, grant: Grant) -> None:
    """Refuse an `api_base` that is not the pod's own address, as it was recorded at injection."""
    found = row.params.get("api_base")
    allowed = {api_base(provider, base) for base in pod.base_urls}
    granted = pod.host is not None and pod.host.lower() in grant.hosts
    if pod.host_url is not None and granted:
        allowed.add(api_base(provider, pod.host_url))
    if isinstance(found, str) and found in allowed:
        return
    message = f"litellm_params.api_base: found {shown(found)}, allowed is {_listed(sorted(allowed))}"
    if pod.host is not None and not granted:
        message += (
            f"; the host {shown(pod.host)} is not one of those that the names file gives this namespace"
        )
    raise RefusedError(Rule.API_BASE, message)


def key_of_the_server(row: RowSent) -> None:
    """Refuse a row without a key, for which LiteLLM would send one of its own, and one that is a reference.

    The key itself is in no message.
    """
    found = row.params.get("api_key")
    if (
        not isinstance(found, str)
        or not 0 < len(found) <= limits.MAX_API_KEY
        or not found.isprintable()
        or _is_reference(found)
    ):
        message = (
            f"litellm_params.api_key: allowed is the server's own key, or none, of up to "
            f"{limits.MAX_API_KEY} printable characters, not beginning with {LITELLM_REFERENCE}"
        )
        raise RefusedError(Rule.API_KEY, message)


def headers(row: RowSent) -> None:
    """Refuse other headers than those that a drain counts open connections by."""
    found = row.params.get("extra_headers")
    if found not in ({}, CLOSED_CONNECTIONS):
        message = (
            f"litellm_params.extra_headers: found {shown(found)}, allowed are {{}} and {CLOSED_CONNECTIONS}"
        )
        raise RefusedError(Rule.LITELLM_PARAMS, message)


def params(row: RowSent, contract: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give the parameters that LiteLLM gets, and the names of those that a newer registrar sent in vain.

    Those that the registrar itself writes are looked at by rules of their own.
    """
    kept: dict[str, Any] = {}
    unknown = []
    for key, value in row.params.items():
        place = f"litellm_params.{key}"
        if key in _OWN_PARAMS:
            kept[key] = value
        elif key in PARAMS:
            kept[key] = _of(PARAMS[key], value, place, Rule.LITELLM_PARAMS)
        elif key in REFUSED_PARAMS or contract <= CONTRACT_VERSION:
            why = REFUSED_PARAMS.get(key, "LiteLLM would send it to the model server with every request")
            raise RefusedError(Rule.LITELLM_PARAMS, f"litellm_params: {shown(key)} is not allowed: {why}")
        else:
            unknown.append(key)
    _no_references(kept, "litellm_params", Rule.LITELLM_PARAMS)
    return kept, tuple(f"litellm_params.{key}" for key in nameable(tuple(sorted(unknown))))


def info(row: RowSent, contract: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give what LiteLLM is told of the model: its own keys of their kinds, and the owner's own.

    With it the names of those that a newer registrar sent in vain: they may mean something to LiteLLM.
    """
    kept: dict[str, Any] = {}
    unknown = []
    for key, value in row.info.items():
        place = f"model_info.{key}"
        if key in _OR_NONE and value == 0 and isinstance(value, int) and value is not False:
            kept[key] = value
        elif key in INFO:
            kept[key] = _of(INFO[key], value, place, Rule.MODEL_INFO)
        elif why := _why_not(key):
            raise RefusedError(Rule.MODEL_INFO, f"model_info: {shown(key)} is not allowed: {why}")
        elif key.startswith(SUPPORTS):
            kept[key] = _of(FLAG, value, place, Rule.MODEL_INFO)
        elif not (why := not_own(key, value)):
            kept[key] = value
        elif contract > CONTRACT_VERSION:
            unknown.append(key)
        else:
            raise RefusedError(Rule.MODEL_INFO, f"model_info: {shown(key)} is not allowed: {why}")
    _no_references(kept, "model_info", Rule.MODEL_INFO)
    return kept, tuple(f"model_info.{key}" for key in nameable(tuple(sorted(unknown))))


def checked_like_the_row(row: RowSent, provider: str) -> None:
    """Refuse a health check by another provider than the row's.

    LiteLLM would put that model in the place of the row's and, with keys of its own, ask this pod.
    """
    found = row.info.get("health_check_model")
    if found is not None and not (isinstance(found, str) and found.startswith(f"{provider}/")):
        message = (
            f"model_info.health_check_model: found {shown(found)}, allowed is a model behind {provider}/"
        )
        raise RefusedError(Rule.MODEL_INFO, message)


def team(row: RowSent, grant: Grant) -> None:
    """Refuse a team that the names file does not give the namespace: its members would get the model."""
    found = row.info.get("team_id")
    if found is not None and not (isinstance(found, str) and found in grant.teams):
        message = f"model_info.team_id: found {shown(found)}, allowed is {_listed(sorted(grant.teams))}"
        raise RefusedError(Rule.TEAM, message)


def owner_block(
    row: RowSent, cluster: str, caller: Caller, node: str, contract: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Write the ownership block: who is not asked of the request, what the model is is taken from it.

    Gives with it the names of what a newer registrar sent in vain.
    """
    sent = row.owner or {}
    known = {*_OURS, *_DESCRIBING, "unknown", MARK}
    unknown = tuple(sorted(sent.keys() - known))
    if unknown and contract <= CONTRACT_VERSION:
        raise _block(f"{shown(unknown[0])} is unknown")
    for key in _NEEDED:
        if key not in sent:
            raise _block(f"{key} is missing")
    block: dict[str, Any] = {
        "cluster": cluster,
        "namespace": caller.namespace,
        "pod": caller.pod,
        "pod_uid": caller.pod_uid,
        "node": node,
    }
    for key in _DESCRIBING:
        if key in sent:
            block[key] = _text(sent[key], key)
    block["unknown"] = _unknown_facts(sent["unknown"])
    if MARK in sent:
        if sent[MARK] != MARKED_BY_US:
            raise _block(f"{MARK}: found {shown(sent[MARK])}, allowed is {MARKED_BY_US!r}")
        block[MARK] = MARKED_BY_US
    _no_references(block, f"model_info.{OWNER_KEY}", Rule.MODEL_INFO)
    return block, tuple(f"model_info.{OWNER_KEY}.{key}" for key in nameable(unknown))


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or len(value) > limits.MAX_TEXT:
        raise _block(f"{key}: found {shown(value)}, allowed is a text of up to {limits.MAX_TEXT} characters")
    return value


def _unknown_facts(value: object) -> list[str]:
    if (
        not isinstance(value, list)
        or len(value) > limits.MAX_UNKNOWN
        or not all(isinstance(item, str) and len(item) <= _MAX_KEY for item in value)
    ):
        message = f"unknown: found {shown(value)}, allowed are up to {limits.MAX_UNKNOWN} names of keys"
        raise _block(message)
    return list(value)


def _block(message: str) -> RefusedError:
    return RefusedError(Rule.MODEL_INFO, f"model_info.{OWNER_KEY}: {message}")


def _why_not(key: str) -> str:
    """Tell why a key that does not describe a model may not stand there; empty if it may."""
    if key in REFUSED_INFO:
        return REFUSED_INFO[key]
    if key in PARAMS or key in REFUSED_PARAMS or "_cost" in key or "cost_per_" in key:
        return "it belongs in litellm_params"
    if not 0 < len(key) <= _MAX_KEY or not key.isprintable():
        return f"a key is 1 to {_MAX_KEY} printable characters"
    return ""


def _of(kind: Kind, value: Any, place: str, rule: Rule) -> Any:
    if not kind.takes(value):
        raise RefusedError(rule, f"{place}: found {shown(value)}, allowed is {kind.allowed.replace('`', '')}")
    return value


def _no_references(value: Any, place: str, rule: Rule) -> None:
    """Refuse texts, however deep, that LiteLLM would take for names of its own secrets."""
    if isinstance(value, str) and _is_reference(value):
        message = f"found a text that begins with {LITELLM_REFERENCE}, the name of a secret of LiteLLM's"
        raise RefusedError(rule, f"{place}: {message}")
    below: Iterable[Any] = value if isinstance(value, list) else ()
    if isinstance(value, Mapping):
        below = [*value, *value.values()]
    for item in below:
        _no_references(item, place, rule)


def _is_reference(text: str) -> bool:
    return text.lstrip()[: len(LITELLM_REFERENCE)].lower() == LITELLM_REFERENCE


def _listed(allowed: list[str]) -> str:
    return " or ".join(allowed) if allowed else "none"
