"""Faults in what LiteLLM answers: its status, its body, and whether the answer comes at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import web

from tests.real.faults import meddler
from tests.real.faults.fault import Fault, Inflict
from tests.real.faults.meddler import ALL, READS, WRITES, Call, How, after, answering
from tests.real.faults.world import World

_NOTHING: Final = {"data": [], "total_count": 0, "current_page": 1, "total_pages": 0, "size": 200}


def meddling(how: How, *kinds: str) -> Inflict:
    """Have somebody meddle with these kinds of calls."""

    @contextmanager
    def inflict(world: World) -> Iterator[None]:
        with world.meddling(how, *kinds):
            yield

    return inflict


def error(message: str, code: int) -> Any:
    """Give an error as LiteLLM words it."""
    return {"error": {"message": message, "type": "internal_error", "param": "None", "code": str(code)}}


def everywhere(status: int, message: str, **headers: str) -> Inflict:
    """Answer every call so."""
    return meddling(answering(status, error(message, status), **headers), *ALL)


async def never(call: Call) -> web.StreamResponse:
    """Take the request and say nothing."""
    await asyncio.sleep(120)
    return call.cut()


async def half(call: Call) -> web.StreamResponse:
    """Show every other row only, and say that there are no more."""
    answer = await call.send()
    shown = answer.json()
    rows = shown.get("data", [])[::2]
    return web.json_response({**shown, "data": rows, "total_count": len(rows)}, status=answer.status_code)


NOT_ADDED: Final = error("Failed to add model to db. Check your server logs for more details.", 500)
NOT_LIVE: Final = error("Model create was saved to the database, but the model id(s) are not live", 500)

FAULTS: Final = (
    Fault(
        "unauthorized_401",
        "LiteLLM knows the key no more: it was changed, or its cache of keys is broken.",
        everywhere(401, "Authentication Error, Invalid proxy server token passed."),
        "litellm_wrong_key|broker_wrong_key",
        bounded=True,
    ),
    Fault(
        "forbidden_403",
        "LiteLLM's key may nothing any more.",
        everywhere(403, "Only proxy admin can be used to generate, delete, update info"),
        "litellm_key_may_not_write|broker_key_may_not_write",
    ),
    Fault(
        "not_found_404",
        "What stands at LiteLLM's address has no such route.",
        meddling(answering(404, {"detail": "Not Found"}), *ALL),
        "HTTP 404",
    ),
    Fault(
        "conflict_409",
        "LiteLLM says that somebody else writes at the same time.",
        everywhere(409, "Conflict"),
        "HTTP 409",
    ),
    Fault(
        "too_many_429",
        "LiteLLM, or what stands before it, takes no more requests for now.",
        everywhere(429, "Too Many Requests", **{"Retry-After": "1"}),
        "HTTP 429",
        bounded=True,
    ),
    Fault("error_500", "LiteLLM fails at everything.", everywhere(500, "Internal Server Error"), "HTTP 500"),
    Fault(
        "bad_gateway_502",
        "The gateway before LiteLLM shows its own page.",
        meddling(answering(502, text="<html><h1>502 Bad Gateway</h1></html>"), *ALL),
        "HTTP 502",
    ),
    Fault(
        "unavailable_503",
        "LiteLLM says that its database is away.",
        everywhere(503, "no_db_connection"),
        "litellm_database_down",
        bounded=True,
    ),
    Fault(
        "timeout_504",
        "The gateway before LiteLLM has lost its patience.",
        meddling(answering(504, text="upstream request timeout"), *ALL),
        "HTTP 504",
    ),
    Fault(
        "redirected_302",
        "A login page stands before LiteLLM.",
        meddling(answering(302, text="moved", Location="https://login.example.com/"), *ALL),
        "HTTP 302",
    ),
    Fault(
        "created_but_500",
        "Every row is saved, and LiteLLM says that it is not.",
        meddling(after(answering(500, NOT_ADDED)), "create"),
        bounded=True,
    ),
    Fault(
        "saved_but_500",
        "Every write is done, and LiteLLM says that it has failed.",
        meddling(after(answering(500, error("Internal Server Error", 500))), *WRITES),
        "HTTP 500",
        bounded=True,
    ),
    Fault(
        "saved_not_live",
        "Every row is saved, and LiteLLM says that it cannot serve it.",
        meddling(after(answering(500, NOT_LIVE)), "create"),
        "litellm_not_live",
    ),
    Fault(
        "deleted_but_400",
        "Every deletion is done, and LiteLLM answers as when its database is away.",
        meddling(
            after(answering(400, error("Authentication Error, Can't reach database server", 400))), "delete"
        ),
        "litellm_database_down",
    ),
    Fault(
        "requests_lost",
        "Every connection is cut before LiteLLM has heard anything.",
        meddling(meddler.lose, *ALL),
        "litellm_no_answer|litellm_unreachable|cannot_ask_litellm",
        bounded=True,
    ),
    Fault(
        "answers_lost",
        "LiteLLM does everything, and each of its answers is lost.",
        meddling(after(meddler.lose), *ALL),
        "litellm_no_answer|cannot_ask_litellm",
        bounded=True,
    ),
    Fault(
        "answers_to_writes_lost",
        "LiteLLM writes, and the answers are lost; what is read is told.",
        meddling(after(meddler.lose), *WRITES),
        "litellm_no_answer|cannot_ask_litellm",
    ),
    Fault(
        "reads_lost",
        "Nothing can be read of LiteLLM, writes work.",
        meddling(meddler.lose, *READS),
        "litellm_no_answer|litellm_unreachable|cannot_ask_litellm",
    ),
    Fault("answers_late", "LiteLLM answers three seconds late.", meddling(meddler.late(3), *ALL), seconds=8),
    Fault(
        "never_answered",
        "LiteLLM takes every request and answers none, until its connections are cut.",
        meddling(never, *ALL),
        "litellm_no_answer|cannot_ask_litellm",
        seconds=34,
    ),
    Fault(
        "writes_twice",
        "Every write is carried out twice at the same time.",
        meddling(meddler.twice, *WRITES),
        bounded=True,
    ),
    Fault(
        "answers_truncated",
        "Of every answer half comes.",
        meddling(meddler.truncate, *ALL),
        "litellm_no_answer|cannot_ask_litellm",
        bounded=True,
    ),
    Fault(
        "answers_of_another_program",
        "Another program answers at LiteLLM's address, always with success.",
        meddling(answering(200, text="<html>It works!</html>"), *ALL),
        "a row was expected|a list of rows was expected|litellm_error",
    ),
    Fault(
        "answers_empty",
        "Every answer is a success with an empty object.",
        meddling(answering(200, {}), *ALL),
        "a row was expected|a list of rows was expected|litellm_error",
    ),
    Fault(
        "table_empty",
        "LiteLLM's table of models comes back empty, as of a replica that has not read its database.",
        meddling(answering(200, _NOTHING), "table", "look", "named"),
        seconds=8,
        bounded=True,
    ),
    Fault(
        "table_in_part",
        "LiteLLM shows every other row only.",
        meddling(half, "table", "named"),
        seconds=8,
    ),
)
