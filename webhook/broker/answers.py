"""What the registrar is answered: LiteLLM's answers, less what is none of the pod's business. Pure.

Of a success it gets its own rows, of a fault the text, bounded and without secrets; LiteLLM's faults keep
their status, and carry no rule: they are not the broker's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from sidecar.broker_contract import LEFT_OUT_HEADER, RULE_HEADER, PodState
from sidecar.row_contract import says_deleted
from webhook.broker import limits
from webhook.broker.shapes import (
    Answer,
    Asked,
    Change,
    Create,
    Delete,
    Look,
    PodFacts,
    Ready,
    RefusedError,
    Reply,
    Rule,
    Siblings,
)
from webhook.pods import listed, mapping

_ERROR_TYPE: Final = "registrar_broker"
_LITELLM_ERROR: Final = "litellm"
_SHARES: Final = ("rpm", "tpm", "weight")
# In model_info LiteLLM says who made and changed a row, and which teams may use it.
_OTHERS_INFO: Final = frozenset(
    {"created_by", "updated_by", "access_via_team_ids", "direct_access", "team_alias", "key"}
)
_SECRET_PARAMS: Final = frozenset({"api_key"})
_HIDDEN: Final = "[hidden]"
# Characters of a text that are looked through for secrets: LiteLLM may quote a body, and that takes its time.
_MOST_READ: Final = 4 * limits.MAX_SAID
# In texts of LiteLLM's: keys as it makes them and quotes them in part, a token behind its word, JSON web
# tokens, addresses (of rows, with passwords in them), hashes of keys, ids that LiteLLM makes.
_SECRETS: Final = re.compile(
    r"\bsk-[A-Za-z0-9._*-]+|(?<=bearer )[^\s\"']+|\beyJ[A-Za-z0-9_-]{8,}[A-Za-z0-9._-]*"
    r"|[a-z0-9+.-]{0,30}://[^\s\"']+|\b[0-9a-f]{64}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
    re.IGNORECASE,
)
_KIND: Final = re.compile(r"[a-z_]{1,64}", re.IGNORECASE)
_ROW_IDS: Final = re.compile(r"registrar-[0-9a-f]{24}-(?:[0-9a-f]{24})?")


def refusal(error: RefusedError, retry_after: int = 1) -> Answer:
    """Write down a refusal of the broker's own; `retry_after` (seconds) counts where patience helps."""
    headers = {RULE_HEADER: error.rule.value}
    if error.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = str(retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _written(error.status, _error(error.message, _ERROR_TYPE, error.rule.value), headers)


def pod_state(pod: PodFacts) -> Answer:
    """Say what the API server says of the pod."""
    return _written(HTTPStatus.OK, PodState(pod.deleting, pod.grace).to_json())


def taken() -> Answer:
    """Say that a report was taken."""
    return _written(HTTPStatus.OK, {})


def own_rows(rows: Iterable[Mapping[str, Any]], prefix: str) -> Answer:
    """Show the pod's own of these rows, as one page; `prefix` is how its ids begin."""
    return _page([_own(row) for row in rows if _id(row).startswith(prefix)])


def answer(
    asked: Asked, reply: Reply, *, prefix: str, secrets: Collection[str] = (), left_out: Iterable[str] = ()
) -> Answer:
    """Give what the registrar is answered of LiteLLM's reply; `prefix` is how the ids of its pod begin.

    None of the `secrets` is ever in it. `left_out` is that of the call. Raises RefusedError for a reply that
    is none of LiteLLM's admin API: then it is not known what came of the call.
    """
    found = _object(reply)
    if isinstance(asked, Ready) and isinstance(found.get("db"), str):
        return _ready(reply, found)
    if reply.status >= HTTPStatus.BAD_REQUEST:
        return _fault(reply, found, prefix, secrets)
    if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        raise _not_understood(f"it answered HTTP {reply.status}")
    told = tuple(left_out)
    if isinstance(asked, Delete) and not says_deleted(reply.body.decode(errors="replace"), asked.id):
        raise _not_understood("it did not say that the row is deleted")
    done = _done(asked, found, prefix)
    headers = {**done.headers, LEFT_OUT_HEADER: ", ".join(told)} if told else done.headers
    return Answer(done.status, done.body, headers)


def fault_text(answer: Answer) -> str:
    """Give the sentence of an answer that is a fault; what is a secret has been taken out."""
    return _message(_object(answer))


def _done(asked: Asked, found: Mapping[str, Any], prefix: str) -> Answer:
    """Project a success: each row by its id, which tells whose it is, never by what is written in it."""
    match asked:
        case Create(row) | Change(_, row):
            if _id(found) != row.id:
                raise _not_understood("it answered with another row than the one that was written")
            # its parameters are left out: LiteLLM encrypts them with its own key in this answer
            shown = {key: value for key, value in _own(found).items() if key != "litellm_params"}
            return _written(HTTPStatus.OK, {**shown, "model_id": row.id})
        case Delete(key):
            return _written(HTTPStatus.OK, {"message": f"Model: {key} deleted successfully"})
        case Look(key):
            return _page([_own(row) for row in _rows(found) if _id(row) == key])
        case Siblings(name):
            rows = enumerate(_rows(found), start=1)
            return _page(
                [_own(row) if _id(row).startswith(prefix) else _share(row, name, n) for n, row in rows]
            )
        case _:
            raise _not_understood("nothing was asked of it")


def _ready(reply: Reply, found: Mapping[str, Any]) -> Answer:
    """Pass on whether LiteLLM and its database are there; it says more than that."""
    status = found.get("status")
    return _written(
        reply.status,
        {
            "status": status[: limits.MAX_TEXT] if isinstance(status, str) else "",
            "db": found["db"][: limits.MAX_TEXT],
        },
    )


def _own(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give a row of the pod's own, as LiteLLM shows it."""
    info = {key: value for key, value in mapping(row.get("model_info")).items() if key not in _OTHERS_INFO}
    shown = {"model_name": row.get("model_name"), "model_info": info}
    if isinstance(params := row.get("litellm_params"), dict):
        shown["litellm_params"] = {key: value for key, value in params.items() if key not in _SECRET_PARAMS}
    if isinstance(blocked := row.get("blocked"), bool):
        shown["blocked"] = blocked
    return shown


def _share(row: Mapping[str, Any], name: str, number: int) -> dict[str, Any]:
    """Give of somebody else's row what decides on its share of the requests, and nothing else."""
    params, info = mapping(row.get("litellm_params")), mapping(row.get("model_info"))
    blocked = row.get("blocked", info.get("blocked"))
    return {
        "model_name": name,
        "litellm_params": {key: params[key] for key in _SHARES if _is_number(params.get(key))},
        "model_info": {"id": f"another-{number}", "blocked": blocked is True},
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _page(rows: list[dict[str, Any]]) -> Answer:
    count = len(rows)
    return _written(
        HTTPStatus.OK,
        {"data": rows, "total_count": count, "current_page": 1, "total_pages": 1, "size": max(count, 1)},
    )


def _rows(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if not isinstance(found.get("data"), list):
        raise _not_understood("a list of rows was expected")
    return [row for row in listed(found["data"]) if isinstance(row, dict)]


def _id(row: Mapping[str, Any]) -> str:
    found = mapping(row.get("model_info")).get("id")
    return found if isinstance(found, str) else ""


def _fault(reply: Reply, found: Mapping[str, Any], prefix: str, secrets: Collection[str]) -> Answer:
    if reply.status == HTTPStatus.UNAUTHORIZED:
        # Its text quotes part of the key. Without a rule nobody takes this for the pod's token.
        return _written(reply.status, _error("LiteLLM does not take the broker's key", _LITELLM_ERROR, "401"))
    message = " ".join((_message(found) or reply.body.decode(errors="replace")).split())
    text = scrubbed(message[:_MOST_READ], prefix, secrets)[: limits.MAX_SAID]
    # registrars know a database that is not there by it
    kind = mapping(found.get("error")).get("type")
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        kind = _LITELLM_ERROR
    return _written(reply.status, _error(text, kind, str(reply.status)))


def _message(found: Mapping[str, Any]) -> str:
    """Give the sentence of an error of LiteLLM's: `error.message`, or FastAPI's `detail`."""
    error = found.get("error", found.get("detail"))
    if isinstance(error, dict):
        error = error.get("message", error.get("error"))
    if isinstance(error, list):  # what FastAPI says of a body; it quotes the body too
        error = "; ".join(f"{mapping(each).get('loc')}: {mapping(each).get('msg')}" for each in error)
    return error if isinstance(error, str) else ""


def scrubbed(text: str, prefix: str, secrets: Collection[str]) -> str:
    """Take out these secrets, what looks like one, and ids of other rows than those with this prefix."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    text = _SECRETS.sub(_HIDDEN, text)
    return _ROW_IDS.sub(lambda found: found[0] if found[0].startswith(prefix) else _HIDDEN, text)


def _not_understood(why: str) -> RefusedError:
    # a registrar takes 502 for "nothing was sent", 504 for "it may have happened"
    return RefusedError(Rule.CANNOT_ASK_LITELLM, f"LiteLLM: {why}", HTTPStatus.GATEWAY_TIMEOUT)


def _error(message: str, kind: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code}}


def _object(reply: Reply | Answer) -> Mapping[str, Any]:
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return mapping(found)


def _written(status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(int(status), json.dumps(value).encode(), headers or {})
