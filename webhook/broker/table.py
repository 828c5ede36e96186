"""LiteLLM's table of models, read page by page.

The replica that is asked shows what it has in memory, which lags behind its database by 30 s at most (what
another replica wrote), and is empty until it has read that for the first time.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from sidecar.row_contract import says_deleted, says_no_row
from webhook.broker.shapes import Call, RefusedError, Reply, Rule
from webhook.broker.upstream import FaultError
from webhook.pods import mapping

T = TypeVar("T")

_INFO: Final = "/v2/model/info"
# LiteLLM spends 0.2 s on a page of 200 of 1,000 rows, and nothing else meanwhile (1.106.2).
_PAGE: Final = 200
_MOST_PAGES: Final = 1000
_MOST_TRIES: Final = 3
# How long a page may take: LiteLLM may be busy.
PAGE_SECONDS: Final = 30.0
_OK: Final = 200


class Sending(Protocol):
    """What is needed of the way to LiteLLM."""

    async def send(self, call: Call, seconds: float) -> Reply:
        """Make a call. Raises RefusedError."""


class Page(NamedTuple):
    """Rows as LiteLLM shows them, and how many it has in all."""

    rows: list[Mapping[str, Any]]
    total: int


async def pages(
    upstream: Sending, query: Mapping[str, str], seconds: float = PAGE_SECONDS
) -> AsyncGenerator[Page, None]:
    """Give the pages of the rows that a query (`model`, `search`) leaves, each within `seconds`.

    Raises RefusedError, FaultError.
    """
    for number in range(1, _MOST_PAGES + 1):
        found = await page(upstream, {**query, "page": str(number), "size": str(_PAGE)}, seconds)
        yield found
        if number * _PAGE >= found.total:
            return


async def page(upstream: Sending, query: Mapping[str, str], seconds: float) -> Page:
    """Give one page. Raises as `listed` and `Sending` do."""
    return listed(await upstream.send(Call("GET", _INFO, query), seconds))


def listed(reply: Reply) -> Page:
    """Read a list that LiteLLM answers with. Raises RefusedError for what is none, FaultError for a fault."""
    if reply.status != _OK:
        raise FaultError(reply)
    try:
        found = mapping(json.loads(reply.body))
    except (ValueError, RecursionError):
        found = {}
    rows, total = found.get("data"), found.get("total_count")
    if not isinstance(rows, list):
        raise _cannot("a list of rows was expected", 502)
    return Page(
        [row for row in rows if isinstance(row, dict)], total if isinstance(total, int) else len(rows)
    )


def deleted(reply: Reply, key: str) -> bool:
    """Tell whether a deletion was carried out; False: there was no such row. Raises FaultError."""
    answer = reply.body.decode(errors="replace")
    if reply.status == _OK and says_deleted(answer, key):
        return True
    if says_no_row(reply.status, answer):
        return False
    raise FaultError(reply)


async def whole(upstream: Sending, keep: Callable[[Mapping[str, Any]], T | None]) -> list[T]:
    """Read the whole table, and give what `keep` makes of its rows; None is left out.

    Rows that come and go meanwhile move others from page to page: then it is read again. Raises RefusedError,
    FaultError; never gives a part.
    """
    for _ in range(_MOST_TRIES):
        seen: set[object] = set()
        totals: set[int] = set()
        kept: list[T] = []
        async with aclosing(pages(upstream, {})) as found:
            async for one in found:
                totals.add(one.total)
                for row in one.rows:
                    key = mapping(row.get("model_info")).get("id")
                    if key not in seen and (taken := keep(row)) is not None:
                        kept.append(taken)
                    seen.add(key)
        if totals == {len(seen)}:
            return kept
    raise _cannot(f"its rows changed during each of {_MOST_TRIES} readings", 503)


def _cannot(message: str, status: int) -> RefusedError:
    return RefusedError(Rule.CANNOT_ASK_LITELLM, f"LiteLLM cannot be asked: {message}", status)
