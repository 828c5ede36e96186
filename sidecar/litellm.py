"""LiteLLM's admin API: every answer becomes a small outcome, by tables measured on LiteLLM 1.106.

The routes are in litellm/proxy/management_endpoints/model_management_endpoints.py. Nothing here retries: the
caller knows what is wanted by then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from http import HTTPStatus
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import httpx

from sidecar.access import Access, Failed
from sidecar.broker_contract import LEFT_OUT_HEADER, POD_PATH, STATE_PATH, PodState, StateReport
from sidecar.reasons import Reason
from sidecar.registration import Stored
from sidecar.row_contract import says_deleted, says_no_row

_CONNECT_SECONDS: Final = 5.0
_READ_SECONDS: Final = 15.0
_WRITE_SECONDS: Final = 30.0
# /model/delete took over 30 s under 60 requests a second.
_DELETE_SECONDS: Final = 60.0
# Of the pod it is asked in a drain, which has little time.
_POD_SECONDS: Final = 5.0
# Longer than the broker takes for it (`webhook/broker/reports.py`).
_REPORT_SECONDS: Final = 6.0
_PAGE: Final = 200
# Rows of one name that are looked at: each is about 6 kB in the answer.
_GROUP: Final = 50
# A table of more rows than these pages hold is not LiteLLM's.
_MAX_PAGES: Final = 1000


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such row."""


Outcome = Stored | Absent | Failed


class Call(StrEnum):
    """What is asked, of LiteLLM or of a broker."""

    READY = "ready"
    POD = "pod"
    REPORT = "report"
    CREATE = "create"
    SETTLE = "settle"
    DELETE = "delete"
    READ = "read"
    NAMED = "named"
    TABLE = "table"


# What an outcome is counted as that has no reason.
OK: Final = "ok"
ABSENT: Final = "absent"

P = ParamSpec("P")
T = TypeVar("T")
_Method = Callable[Concatenate["LiteLLM", P], Coroutine[Any, Any, T]]


def _counted(call: Call) -> Callable[[_Method[P, T]], _Method[P, T]]:
    """Tell whoever counts how each call of a method went."""

    def count(ask: _Method[P, T]) -> _Method[P, T]:
        @wraps(ask)
        async def asked(self: LiteLLM, /, *args: P.args, **kwargs: P.kwargs) -> T:
            outcome = await ask(self, *args, **kwargs)
            without_reason = ABSENT if isinstance(outcome, Absent) else OK
            self._answered(call, outcome.reason if isinstance(outcome, Failed) else without_reason)
            return outcome

        return asked

    return count


# What a text in an answer's body means, whatever its status; the first that fits.
_TEXTS: Final = (
    ("No connected db", Reason.LITELLM_NO_DATABASE),
    ("Can't reach database", Reason.LITELLM_DATABASE_DOWN),
    ("All connection attempts failed", Reason.LITELLM_DATABASE_DOWN),  # of LiteLLM's to its database
    ("no_db_connection", Reason.LITELLM_DATABASE_DOWN),
    ("DB not connected", Reason.LITELLM_NO_DATABASE),
    ("No DB Connected", Reason.LITELLM_NO_DATABASE),
    ("STORE_MODEL_IN_DB", Reason.LITELLM_STORE_MODEL_OFF),
    ("only supported for DB-stored models", Reason.LITELLM_STORE_MODEL_OFF),
    ("not live", Reason.LITELLM_NOT_LIVE),
    ("Failed to add model to db", Reason.LITELLM_NOT_ADDED),
    ("must be a LiteLLM Enterprise user", Reason.LITELLM_NOT_LICENSED),
)
_STATUSES: Final[Mapping[int, Reason]] = {
    HTTPStatus.UNAUTHORIZED: Reason.LITELLM_WRONG_KEY,
    HTTPStatus.FORBIDDEN: Reason.LITELLM_KEY_MAY_NOT_WRITE,
    HTTPStatus.BAD_REQUEST: Reason.LITELLM_REFUSED_ROW,
    HTTPStatus.UNPROCESSABLE_ENTITY: Reason.LITELLM_REFUSED_ROW,
}


class LiteLLM:
    """Asks one LiteLLM, itself or through a broker."""

    def __init__(self, client: httpx.AsyncClient, access: Access) -> None:
        self._client = client
        self._access = access
        self._answered: Callable[[Call, str], None] = lambda _call, _outcome: None

    def tell(self, answered: Callable[[Call, str], None]) -> None:
        """Call this after each call with its outcome: `OK`, `ABSENT`, or the name of a reason."""
        self._answered = answered

    @_counted(Call.READY)
    async def ready(self) -> Failed | None:
        """Ask whether LiteLLM and its database are there (no key needed); None when they are."""
        reply = await self._ask("GET", "/health/readiness", seconds=_READ_SECONDS)
        if isinstance(reply, Failed):
            return reply
        database = str(_object(reply).get("db", "")).lower()
        if database == "not connected":
            return Failed(Reason.LITELLM_NO_DATABASE, _brief(reply))
        if database == "disconnected":
            return Failed(Reason.LITELLM_DATABASE_DOWN, _brief(reply))
        return None if reply.is_success else self._failed(reply)

    async def pod(self) -> PodState | None:
        """Ask the broker what the API server says of our pod; None: unknown (only a broker knows of pods)."""
        told = await self._pod()
        return None if isinstance(told, Failed) else told

    @_counted(Call.POD)
    async def _pod(self) -> PodState | Failed:
        reply = await self._ask("GET", POD_PATH, seconds=_POD_SECONDS)
        if isinstance(reply, Failed):
            return reply
        if not reply.is_success:
            return self._failed(reply)
        try:
            return PodState.from_json(reply.content)
        except (ValueError, RecursionError) as error:
            return Failed(Reason.LITELLM_ERROR, f"{POD_PATH}: {error}")

    @_counted(Call.REPORT)
    async def report(self, report: StateReport) -> Failed | None:
        """Tell the broker our state; None when it has taken that."""
        reply = await self._ask("POST", STATE_PATH, body=report.to_json(), seconds=_REPORT_SECONDS)
        if isinstance(reply, Failed):
            return reply
        return None if reply.is_success else self._failed(reply)

    @_counted(Call.CREATE)
    async def create(self, body: Mapping[str, Any]) -> Outcome:
        """Make a row: `Stored`, or `Failed`, after which it may be there all the same (`settle` tells)."""
        reply = await self._ask("POST", "/model/new", body=body)
        return reply if isinstance(reply, Failed) else self._stored(reply, body)

    @_counted(Call.SETTLE)
    async def settle(self, row_id: str, body: Mapping[str, Any]) -> Outcome:
        """Change a row: it reads and writes the database, so its answer is the truth of a row.

        `Absent` also for a row that only this replica remembers (400 "Cannot edit config-based model").
        """
        reply = await self._ask("PATCH", f"/model/{row_id}/update", body=body)
        if isinstance(reply, Failed):
            return reply
        if reply.status_code == HTTPStatus.NOT_FOUND and "not found on proxy" in reply.text:
            return Absent()
        if reply.status_code == HTTPStatus.BAD_REQUEST and "Cannot edit config-based model" in reply.text:
            return Absent()
        return self._stored(reply, body)

    @_counted(Call.DELETE)
    async def delete(self, row_id: str) -> Absent | Failed:
        """Remove a row. A 200 is success only if it names the row, a 400 if it says that there is none."""
        reply = await self._ask("POST", "/model/delete", body={"id": row_id}, seconds=_DELETE_SECONDS)
        if isinstance(reply, Failed):
            return reply
        if says_no_row(reply.status_code, reply.text):
            return Absent()
        if reply.is_success and says_deleted(reply.text, row_id):
            return Absent()
        failed = self._failed(reply)
        # No row is sent here that could be refused.
        known = failed.reason is not Reason.LITELLM_REFUSED_ROW
        return failed if known else Failed(Reason.LITELLM_ERROR, failed.detail)

    @_counted(Call.READ)
    async def read(self, row_id: str) -> Outcome:
        """Look a row up: in this replica's memory, which may be 30 s old, then in the database.

        `Absent` is no proof either: a replica whose router is empty says so of every row.
        """
        reply = await self._ask(
            "GET", "/v2/model/info", query={"modelId": row_id, "size": "1"}, seconds=_READ_SECONDS
        )
        rows = self._rows(reply)
        if isinstance(rows, Failed):
            return rows
        return next((row for row in rows if row.id == row_id), Absent())

    @_counted(Call.NAMED)
    async def named(self, name: str) -> tuple[Stored, ...] | Failed:
        """Look up the rows of a name in this replica's memory, which may be 30 s old; at most 50 of them."""
        query = {"model": name, "size": str(_GROUP)}
        return self._rows(await self._ask("GET", "/v2/model/info", query=query, seconds=_READ_SECONDS))

    @_counted(Call.TABLE)
    async def table(self, keep: Callable[[Stored], bool]) -> tuple[Stored, ...] | Failed:
        """Read all rows, page by page, and give those to `keep`: the whole table would not fit our memory."""
        found: list[Stored] = []
        for page in range(1, _MAX_PAGES + 1):
            reply = await self._ask(
                "GET", "/v2/model/info", query={"page": str(page), "size": str(_PAGE)}, seconds=_WRITE_SECONDS
            )
            rows = self._rows(reply)
            if isinstance(rows, Failed) or isinstance(reply, Failed):
                return rows if isinstance(rows, Failed) else Failed(Reason.LITELLM_ERROR, "")
            found += filter(keep, rows)
            pages = _object(reply).get("total_pages")
            if not isinstance(pages, int) or page >= pages:
                break
        return tuple(found)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        seconds: float = _WRITE_SECONDS,
    ) -> httpx.Response | Failed:
        headers = self._access.headers()
        if isinstance(headers, Failed):
            return headers
        timeout = httpx.Timeout(seconds, connect=_CONNECT_SECONDS)
        try:
            reply = await self._client.request(
                method, self._access.url + path, params=query, json=body, headers=headers, timeout=timeout
            )
        except httpx.HTTPError as error:
            return Failed(self._access.lost(error), f"{method} {path}: {type(error).__name__}: {error}")
        return self._access.refusal(reply) or reply

    def _failed(self, reply: httpx.Response) -> Failed:
        text = reply.text
        reason = next((reason for part, reason in _TEXTS if part in text), None)
        reason = reason or _STATUSES.get(reply.status_code, Reason.LITELLM_ERROR)
        return Failed(self._access.name(reason), _brief(reply))

    def _stored(self, reply: httpx.Response, sent: Mapping[str, Any]) -> Outcome:
        if not reply.is_success:
            return self._failed(reply)
        answer = _object(reply)
        info = answer.get("model_info")
        if not isinstance(info, dict):
            return Failed(Reason.LITELLM_ERROR, f"a row was expected: {_brief(reply)}")
        return Stored(
            id=str(sent["model_info"]["id"]),
            name=_name(answer, info),
            params={},  # strings in it are encrypted
            info=info,
            blocked=_blocked(answer, info),
            left_out=reply.headers.get(LEFT_OUT_HEADER, ""),
        )

    def _rows(self, reply: httpx.Response | Failed) -> tuple[Stored, ...] | Failed:
        if isinstance(reply, Failed):
            return reply
        if not reply.is_success:
            return self._failed(reply)
        data = _object(reply).get("data")
        if not isinstance(data, list):
            return Failed(Reason.LITELLM_ERROR, f"a list of rows was expected: {_brief(reply)}")
        return tuple(row for item in data if (row := _row(item)) is not None)


def _row(item: object) -> Stored | None:
    if not isinstance(item, dict):
        return None
    info, params = item.get("model_info"), item.get("litellm_params")
    if not isinstance(info, dict) or not isinstance(info.get("id"), str):
        return None
    return Stored(
        id=info["id"],
        name=_name(item, info),
        params=params if isinstance(params, dict) else {},
        info=info,
        blocked=_blocked(item, info),
    )


def _name(answer: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    """Give the name that clients use.

    A row of a team is stored as `model_name_TEAM_UUID`, and its name in model_info (`add_team_model_to_db` in
    litellm/proxy/management_endpoints/model_management_endpoints.py, 1.106; not run here: needs a licence).
    """
    public = info.get("team_public_model_name") if info.get("team_id") else None
    return str(public or answer.get("model_name", ""))


def _blocked(answer: Mapping[str, Any], info: Mapping[str, Any]) -> bool | None:
    value = answer.get("blocked", info.get("blocked"))
    return value if isinstance(value, bool) else None


def _object(reply: httpx.Response) -> Mapping[str, Any]:
    try:
        value = json.loads(reply.content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _brief(reply: httpx.Response) -> str:
    if reply.status_code == HTTPStatus.UNAUTHORIZED:
        return "HTTP 401"  # its text holds part of the key
    location = reply.headers.get("location")
    text = f"to {location}" if location else " ".join(reply.text.split())
    return f"HTTP {reply.status_code} {text}"
