"""What is asked: from the bytes of a request to one of the few things a registrar asks. Pure.

The routes are those of `sidecar/litellm.py`, each in exactly the form in which the registrar sends it:
nothing is completed or put right, so that broker and LiteLLM never read one request in two ways.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from sidecar.broker_contract import CONTRACT_HEADER, POD_PATH, STATE_PATH, StateReport
from sidecar.contract import CONTRACT_VERSION
from sidecar.row_contract import OWNER_KEY
from webhook.broker import limits
from webhook.broker.shapes import (
    Asked,
    AskPod,
    Change,
    Create,
    Delete,
    Look,
    OwnRows,
    Ready,
    RefusedError,
    RowSent,
    Rule,
    Siblings,
    Tell,
)
from webhook.documents import MAX_WHOLE
from webhook.reasons import shown

# Before this one registrars knew of no broker.
_FIRST_CONTRACT: Final = 3
_EITHER_SIDE: Final = 2
OLDEST_CONTRACT: Final = max(_FIRST_CONTRACT, CONTRACT_VERSION - _EITHER_SIDE)
NEWEST_CONTRACT: Final = CONTRACT_VERSION + _EITHER_SIDE

_READY_PATH: Final = "/health/readiness"
_INFO_PATH: Final = "/v2/model/info"
_NEW_PATH: Final = "/model/new"
_DELETE_PATH: Final = "/model/delete"
_CHANGE_PATH: Final = re.compile(r"/model/([^/]+)/update")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,5}")
_CONTRACT: Final = re.compile(r"[0-9]{1,6}")
# Names of keys that may stand in a header.
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_ROW_KEYS: Final = frozenset({"model_name", "litellm_params", "model_info", "blocked"})


def contract_of(header: str | None) -> int:
    """Read the contract version of a registrar. Raises RefusedError for one that is not served."""
    version = int(header) if header is not None and _CONTRACT.fullmatch(header) else -1
    if OLDEST_CONTRACT <= version <= NEWEST_CONTRACT:
        return version
    found = "nothing" if header is None else shown(header)
    message = f"{CONTRACT_HEADER}: found {found}, served are {OLDEST_CONTRACT} to {NEWEST_CONTRACT}"
    raise RefusedError(Rule.CONTRACT_UNSUPPORTED, message)


def read(method: str, path: str, query: str, body: bytes, contract: int) -> Asked:
    """Read a request; `path` and `query` are the two parts of its target, as they were sent.

    `contract` is the registrar's. Raises RefusedError.
    """
    if len(path) > limits.MAX_PATH or len(query) > limits.MAX_QUERY:
        raise _no_route(method, path[: limits.MAX_PATH])
    if method == "GET":
        if body:
            raise RefusedError(Rule.BODY_BAD, f"GET {shown(path)}: a body, which it does not take")
        return _got(path, query)
    if query:
        raise RefusedError(
            Rule.ROUTE_UNKNOWN, f"{shown(method)} {shown(path)}: a query, which it does not take"
        )
    if method == "POST" and path == _NEW_PATH:
        return Create(_row(_object(body), contract))
    if method == "POST" and path == _DELETE_PATH:
        return Delete(_deleted(_object(body), contract))
    if method == "POST" and path == STATE_PATH:
        return Tell(_report(_object(body)))
    if method == "PATCH" and (found := _CHANGE_PATH.fullmatch(path)):
        return Change(found[1], _row(_object(body), contract))
    raise _no_route(method, path)


def _no_route(method: str, path: str) -> RefusedError:
    return RefusedError(
        Rule.ROUTE_UNKNOWN, f"{shown(method)} {shown(path)}: nothing that a registrar asks of a broker"
    )


def _got(path: str, query: str) -> Asked:
    asked = _parameters(query)
    if path == _READY_PATH and not asked:
        return Ready()
    if path == POD_PATH and not asked:
        return AskPod()
    if path == _INFO_PATH:
        match sorted(asked):
            case ["modelId", "size"] if _NUMBER.fullmatch(asked["size"]):
                return Look(asked["modelId"])
            case ["model", "size"] if _NUMBER.fullmatch(asked["size"]):
                return Siblings(asked["model"])
            case ["page", "size"] if _NUMBER.fullmatch(asked["page"]) and _NUMBER.fullmatch(asked["size"]):
                return OwnRows()
    raise _no_route("GET", f"{path}?{query}" if query else path)


def _parameters(query: str) -> dict[str, str]:
    """Read a query, each parameter once."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=2
        )
    except ValueError:
        pairs = []
    found = dict(pairs)
    if not pairs or len(found) < len(pairs):
        raise RefusedError(Rule.ROUTE_UNKNOWN, f"the query {shown(query)}: none that a registrar sends")
    return found


def _row(body: Mapping[str, Any], contract: int) -> RowSent:
    left_out = _unknown(body, _ROW_KEYS, contract)
    name, blocked = body.get("model_name"), body.get("blocked")
    params, info = body.get("litellm_params"), body.get("model_info")
    if not isinstance(name, str):
        raise _wrong("model_name", name, "a text")
    if not isinstance(params, dict):
        raise _wrong("litellm_params", params, "an object")
    if not isinstance(info, dict) or not isinstance(info.get("id"), str):
        raise _wrong("model_info", info, "an object with the row's id")
    if "blocked" in body and not isinstance(blocked, bool):
        raise _wrong("blocked", blocked, "true or false")
    owner = info.get(OWNER_KEY)
    if OWNER_KEY in info and not isinstance(owner, dict):
        raise _wrong(f"model_info.{OWNER_KEY}", owner, "an object")
    kept = {key: value for key, value in info.items() if key not in ("id", OWNER_KEY)}
    return RowSent(info["id"], name, params, kept, owner, blocked, left_out)


def _deleted(body: Mapping[str, Any], contract: int) -> str:
    _unknown(body, frozenset({"id"}), contract)
    found = body.get("id")
    if not isinstance(found, str):
        raise _wrong("id", found, "the row's id")
    return found


def _report(body: Mapping[str, Any]) -> StateReport:
    try:
        return StateReport.from_object(body)
    except ValueError as error:
        raise RefusedError(Rule.BODY_BAD, str(error)) from None


def _wrong(field: str, found: object, allowed: str) -> RefusedError:
    return RefusedError(Rule.BODY_BAD, f"{field}: found {shown(found)}, allowed is {allowed}")


def _unknown(body: Mapping[str, Any], known: frozenset[str], contract: int) -> tuple[str, ...]:
    """Name the keys that only a newer registrar may send; of any other they are refused."""
    unknown = tuple(sorted(body.keys() - known))
    if unknown and contract <= CONTRACT_VERSION:
        raise RefusedError(
            Rule.BODY_BAD, f"unknown: {shown(unknown[0])}; allowed are {', '.join(sorted(known))}"
        )
    return nameable(unknown)


def nameable(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Give the keys that are left out, if they can be named in a header. Raises RefusedError."""
    for key in keys:
        if not _PLAIN_KEY.fullmatch(key):
            raise RefusedError(Rule.BODY_BAD, f"unknown: {shown(key)}, and no name of any key")
    if len(keys) > limits.MAX_LEFT_OUT:
        raise RefusedError(
            Rule.BODY_BAD, f"{len(keys)} unknown keys, at most {limits.MAX_LEFT_OUT} are passed over"
        )
    return keys


def _object(body: bytes) -> dict[str, Any]:
    """Read the JSON of a body: each key once, and nothing that LiteLLM or its database could stumble over."""
    if len(body) > limits.MAX_BODY:
        message = f"found {len(body)} bytes, allowed are up to {limits.MAX_BODY}"
        raise RefusedError(Rule.BODY_TOO_LARGE, message)
    try:
        value = _JSON.decode(body.decode())
        _check(value)
    except UnicodeDecodeError as error:
        raise RefusedError(Rule.BODY_BAD, f"not UTF-8, at byte {error.start}") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise RefusedError(Rule.BODY_BAD, f"not the JSON that is taken: {error}") from None
    if not isinstance(value, dict):
        raise _wrong("the body", value, "an object")
    return value


def _too_deep() -> RefusedError:
    return RefusedError(Rule.BODY_BAD, f"nested deeper than {limits.MAX_DEPTH}")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _whole(text: str) -> int:
    # Python itself refuses to read thousands of digits, with a ValueError of its own
    if len(text) > len(str(-MAX_WHOLE)) or abs(value := int(text)) > MAX_WHOLE:
        raise ValueError(f"a whole number beyond {MAX_WHOLE}, which JSON does not hold exactly")
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number that is too large")
    return value


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_whole, parse_float=_fraction
)


def _check(value: Any) -> None:
    """Hold every text and the depth to what can be kept. Raises ValueError or RefusedError."""
    level = [value]
    for _ in range(limits.MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
        if not below:
            return
        level = below
    raise _too_deep()


def _check_text(text: str) -> None:
    """PostgreSQL keeps no NUL, and half a character cannot be sent on."""
    if "\0" in text:
        raise ValueError("a text that holds NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text that holds half a character") from None
