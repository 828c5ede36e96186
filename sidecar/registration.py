"""From a model to its row in LiteLLM: provider prefix, every key explicit, who owns it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sidecar.contract import PodIdentity, Settings
from sidecar.description import described, overridden, owners_word
from sidecar.naming import Named, naming
from sidecar.row_contract import CLOSED_CONNECTIONS, MARK, MARKED_BY_US, NO_KEY, OWNER_KEY, api_base, row_id
from sidecar.servers.shapes import Answer
from sidecar.siblings import DEFAULT_WEIGHT, WEIGHT

# For every engine and every mode (docs/adr/0006).
_DEFAULT_PROVIDER: Final = "hosted_vllm"


@dataclass(frozen=True, slots=True)
class Row:
    """What LiteLLM shall hold for one name of a served model; `info` is without the ownership block, `owner`.

    `our_weight` says that the weight in `params` is the registrar's default, not the owner's.
    """

    id: str
    served: str
    name: str
    params: Mapping[str, Any] = field(repr=False)
    info: Mapping[str, Any] = field(repr=False)
    owner: Mapping[str, Any] = field(repr=False)
    our_weight: bool = False

    @property
    def whole(self) -> bool:
        """Whether the row could be made of this: one found in LiteLLM (`adopted`) could not."""
        return bool(self.params)

    def without_our_weight(self) -> Row:
        """Give the row without the registrar's default weight; the owner's stays."""
        if not self.our_weight:
            return self
        params = {key: value for key, value in self.params.items() if key != WEIGHT}
        return replace(self, params=params, our_weight=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as LiteLLM answered it. `blocked` is None where LiteLLM does not say.

    `left_out` names the parameters that an older broker did not pass on with the write answered.
    """

    id: str
    name: str
    params: Mapping[str, Any] = field(repr=False)
    info: Mapping[str, Any] = field(repr=False)
    blocked: bool | None
    left_out: str = ""

    @property
    def owner(self) -> Mapping[str, Any]:
        """The ownership block, empty if there is none."""
        owner = self.info.get(OWNER_KEY)
        return owner if isinstance(owner, dict) else {}


def desired_rows(
    answer: Answer, base_url: str, settings: Settings, identity: PodIdentity, *, api_key: str | None
) -> tuple[Row, ...]:
    """Give the rows an answering server shall have: its models' own names in their order, then aliases."""
    provider = settings.provider or _DEFAULT_PROVIDER
    own_params = {
        "api_base": api_base(provider, base_url),
        "api_key": api_key or NO_KEY,
        "extra_headers": {} if answer.gauges else dict(CLOSED_CONNECTIONS),
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

    def row(named: Named) -> Row:
        model = named.model
        word = owners_word(model.id, settings)
        facts = overridden(model.facts, word)
        info, unknown = described(facts)
        found = {"quantization": facts.quantization.value, "digest": model.digest, "alias": named.alias}
        key = row_id(settings.cluster, identity.namespace, identity.pod_uid, model.id, alias=named.alias)
        return Row(
            id=key,
            served=model.id,
            name=named.name,
            params={
                WEIGHT: DEFAULT_WEIGHT,
                **word.params,
                "model": f"{provider}/{model.id}",
                **own_params,
            },
            info={**info, **word.info, "id": key},
            owner={
                **pod,
                "model": model.id,
                "owner": model.owner or "",
                **{name: value for name, value in found.items() if value is not None},
                "unknown": sorted(set(unknown) - word.info.keys()),
            },
            our_weight=WEIGHT not in word.params,
        )

    return tuple(row(named) for named in naming(answer.models, answer.engine, settings, identity).named)


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

    LiteLLM never shows `api_key` and may leave out other parameters, so an absent parameter is no drift; keys
    that it or others add are none of our business. Inside an object of ours they are no drift either, but the
    next write replaces it: PATCH takes an object as one value. The mark of a block is no drift.
    """
    differing = ["model_name"] if stored.name != row.name else []
    differing += [
        f"litellm_params.{key}"
        for key, value in row.params.items()
        if key != "api_key" and not _holds(stored.params.get(key, value), value)
    ]
    differing += [
        f"model_info.{key}" for key, value in row.info.items() if not _holds(stored.info.get(key), value)
    ]
    if {key: value for key, value in stored.owner.items() if key != MARK} != row.owner:
        differing.append(f"model_info.{OWNER_KEY}")
    return tuple(differing)


def _holds(found: object, wanted: object) -> bool:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(key in found and _holds(found[key], value) for key, value in wanted.items())
    return found == wanted


def is_ours(stored: Stored, settings: Settings, identity: PodIdentity) -> bool:
    """Tell whether a row is of this very pod: only such rows are ever written."""
    owner = stored.owner
    return owner.get("cluster") == settings.cluster and owner.get("pod_uid") == identity.pod_uid


def adopted(stored: Stored) -> Row:
    """Take over a row this pod wrote in an earlier life; only its block and its end are in our hands."""
    owner = {key: value for key, value in stored.owner.items() if key != MARK}
    return Row(stored.id, str(owner.get("model", "")), stored.name, {}, {"id": stored.id}, owner)


def left_over(row: Row, settings: Settings, identity: PodIdentity) -> bool:
    """Tell whether an adopted row has another id than it would get today."""
    alias = row.owner.get("alias")
    key = row_id(
        settings.cluster,
        identity.namespace,
        identity.pod_uid,
        row.served,
        alias=alias if isinstance(alias, str) else None,
    )
    return key != row.id
