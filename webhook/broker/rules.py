"""All rules in their order: from what is asked to the one call that LiteLLM gets. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from sidecar.contract import LABEL_SERVER
from sidecar.row_contract import OWNER_KEY
from webhook.broker import limits, name_rules, row_rules
from webhook.broker.names import Grant
from webhook.broker.shapes import (
    Asked,
    AskPod,
    Call,
    Caller,
    Change,
    Create,
    Delete,
    Holder,
    Look,
    OwnRows,
    PodFacts,
    Ready,
    RefusedError,
    RowSent,
    Rule,
    Siblings,
    Tell,
)

_INFO: Final = "/v2/model/info"
# Rows of one name that are looked at, as by the registrar (sidecar/litellm.py).
_GROUP: Final = 50

Reading = Ready | AskPod | Tell | OwnRows | Look | Siblings


@dataclass(frozen=True, slots=True)
class Context:
    """What rules ask beside the request and its pod.

    `contract` is the registrar's, `grant` what the names file says of the caller's namespace. `holders` are
    the rows that have the name which is asked for (`name_of`), or would catch it: wildcards, aliases of the
    router; `serving` those that are reached by the row's `litellm_params.model` (`model_of`). `reached` are
    the names that are known to lead to a row that is to be changed; `own` the pod's rows as far as known, id
    to name; `in_namespace` is how many rows its namespace has.
    """

    cluster: str
    contract: int
    grant: Grant = field(default_factory=Grant)
    holders: Collection[Holder] = ()
    serving: Collection[Holder] = ()
    reached: Collection[str] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    in_namespace: int = 0
    rows_per_pod: int = limits.ROWS_PER_POD
    rows_per_namespace: int = limits.ROWS_PER_NAMESPACE


def name_of(asked: Asked) -> str | None:
    """Give the name whose holders the rules ask for; None where they ask for none."""
    match asked:
        case Create(row) | Change(_, row):
            return row.name
        case Siblings(name):
            return name
        case _:
            return None


def model_of(asked: Asked) -> str | None:
    """Give the `litellm_params.model` by which LiteLLM takes requests too; None where none is written."""
    model = asked.row.params.get("model") if isinstance(asked, Create | Change) else None
    return model if isinstance(model, str) else None


def needs_pod(asked: Asked) -> bool:
    """Tell whether the pod must be looked at: it has to be there and as it should be.

    What clears up asks nothing of it: ids tell whose they are, also when the pod is gone already.
    """
    return isinstance(asked, Create | Change | Siblings)


def call(asked: Asked, caller: Caller, pod: PodFacts | None, context: Context) -> Call | None:
    """Give the call that LiteLLM gets; None for what the broker answers by itself (AskPod, Tell, OwnRows).

    `pod` may be None unless it is needed (`needs_pod`); then it is gone. Raises RefusedError with the first
    rule that is broken.
    """
    match asked:
        case Create(row):
            return _create(row, caller, _fit(pod, context), context)
        case Change(key, row):
            return _change(key, row, caller, _fit(pod, context), context)
        case Delete(key):
            row_rules.own_id(key, context.cluster, caller)
            return Call("POST", "/model/delete", body={"id": key})
        case _:
            return _reading(asked, caller, pod, context)


def _reading(asked: Reading, caller: Caller, pod: PodFacts | None, context: Context) -> Call | None:
    match asked:
        case Ready():
            return Call("GET", "/health/readiness")
        case AskPod() | Tell() | OwnRows():
            return None
        case Look(key):
            row_rules.own_id(key, context.cluster, caller)
            return Call("GET", _INFO, {"modelId": key, "size": "1"})
        case Siblings(name):
            _there(pod)
            if name not in context.own.values():
                _may_use(name, caller, context)
            return Call("GET", _INFO, {"model": name, "size": str(_GROUP)})
        case _:
            assert_never(asked)


def _create(row: RowSent, caller: Caller, pod: PodFacts, context: Context) -> Call:
    row_rules.own_id(row.id, context.cluster, caller)
    if pod.deleting:
        raise RefusedError(Rule.POD_GONE, "the pod is being deleted: it gets no more rows")
    if row.owner is None:
        raise RefusedError(Rule.MODEL_INFO, f"model_info.{OWNER_KEY}: missing, a new row needs it")
    body, left_out = _body(row, caller, pod, context)
    _may_use(row.name, caller, context)
    name_rules.free_model(row.params["model"], context.serving, context.grant)
    _room(row, context)
    return Call("POST", "/model/new", body=body, left_out=left_out)


def _change(key: str, row: RowSent, caller: Caller, pod: PodFacts, context: Context) -> Call:
    row_rules.own_id(key, context.cluster, caller)
    row_rules.same_id(key, row)
    write = _body if row.params else _poor_body
    body, left_out = write(row, caller, pod, context)
    # a row that keeps its names takes nothing from anyone
    if context.own.get(key) != row.name:
        _may_use(row.name, caller, context)
    if row.params and row.params["model"] not in context.reached:
        name_rules.free_model(row.params["model"], context.serving, context.grant)
    return Call("PATCH", f"/model/{key}/update", body=body, left_out=left_out)


def _body(
    row: RowSent, caller: Caller, pod: PodFacts, context: Context
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Write what is sent on: only what a rule has looked at; and name what is left out."""
    row_rules.derived_id(row, context.cluster, caller)
    provider = row_rules.provider(row)
    row_rules.at_the_pod(row, provider, pod, context.grant)
    row_rules.key_of_the_server(row)
    row_rules.headers(row)
    row_rules.checked_like_the_row(row, provider)
    row_rules.team(row, context.grant)
    params, left_out = row_rules.params(row, context.contract)
    info, of_info = row_rules.info(row, context.contract)
    block, of_block = _block(row, caller, pod, context)
    body = _written(row, params, {**info, "id": row.id, **block})
    return body, (*row.left_out, *left_out, *of_info, *of_block)


def _poor_body(
    row: RowSent, caller: Caller, pod: PodFacts, context: Context
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Write a change without parameters: of a row that an earlier life of the registrar made.

    This one knows no more of it than its id, its name and its block.
    """
    if row.info:
        raise RefusedError(Rule.MODEL_INFO, "model_info: a change of it needs litellm_params too")
    row_rules.derived_id(row, context.cluster, caller)
    block, left_out = _block(row, caller, pod, context)
    return _written(row, {}, {"id": row.id, **block}), (*row.left_out, *left_out)


def _block(
    row: RowSent, caller: Caller, pod: PodFacts, context: Context
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Write the ownership block if one was sent: without it the stored one stays."""
    if row.owner is None:
        return {}, ()
    block, left_out = row_rules.owner_block(row, context.cluster, caller, pod.node, context.contract)
    return {OWNER_KEY: block}, left_out


def _written(row: RowSent, params: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    body = {"model_name": row.name, "litellm_params": params, "model_info": info}
    return body if row.blocked is None else {**body, "blocked": row.blocked}


def _there(pod: PodFacts | None) -> PodFacts:
    """Give the pod if it is there and one of ours."""
    if pod is None or pod.gone:
        raise RefusedError(Rule.POD_GONE, "there is no such pod any more, or its containers have ended")
    if not pod.labelled:
        raise RefusedError(Rule.POD_NOT_INJECTED, f"the pod has no label {LABEL_SERVER} any more")
    return pod


def _fit(found: PodFacts | None, context: Context) -> PodFacts:
    """Give the pod if a row may be written for it."""
    pod = _there(found)
    if pod.host_network and not context.grant.host_network:
        message = (
            "the pod is on its node's network, whose address is not its own; the names file may allow it"
        )
        raise RefusedError(Rule.HOST_NETWORK, message)
    if not pod.addresses:
        raise RefusedError(Rule.POD_WITHOUT_IP, "the API server knows no IP of the pod yet")
    return pod


def _may_use(name: str, caller: Caller, context: Context) -> None:
    name_rules.plain(name)
    name_rules.granted(name, caller.namespace, context.grant)
    name_rules.free(name, caller.namespace, context.cluster, context.holders, context.grant)


def _room(row: RowSent, context: Context) -> None:
    if row.id in context.own:
        return
    for count, most, where in (
        (len(context.own), context.rows_per_pod, "pod"),
        (context.in_namespace, context.rows_per_namespace, "namespace"),
    ):
        if count >= most:
            raise RefusedError(Rule.TOO_MANY_ROWS, f"the {where} has {count} rows, allowed are up to {most}")
