"""LiteLLM's table of models: read whole, or not at all."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from webhook.broker.shapes import Call, RefusedError, Reply
from webhook.broker.table import deleted, whole
from webhook.broker.upstream import FaultError

JSON = dict[str, Any]


def row(number: int) -> JSON:
    """Give a row as LiteLLM shows it."""
    return {"model_name": f"m{number}", "model_info": {"id": str(number)}}


def name(shown: Any) -> str:
    """Keep the name."""
    return str(shown["model_name"])


class Table:
    """A LiteLLM with rows; `meanwhile` is called with each page that is asked for, before it is given."""

    def __init__(self, rows: int, meanwhile: Callable[["Table", int], None] = lambda *_: None) -> None:
        self.rows = [row(number) for number in range(rows)]
        self.meanwhile = meanwhile
        self.asked: list[int] = []
        self.answer: Reply | None = None

    async def send(self, call: Call, _: float) -> Reply:
        """Answer as /v2/model/info does."""
        size, number = int(call.query["size"]), int(call.query["page"])
        self.asked.append(number)
        self.meanwhile(self, number)
        if self.answer:
            return self.answer
        shown = self.rows[(number - 1) * size : number * size]
        return Reply(200, json.dumps({"data": shown, "total_count": len(self.rows)}).encode())


@pytest.mark.parametrize("count", [0, 1, 200, 201, 450])
async def test_every_row_of_every_page_comes_once(count: int) -> None:
    """And no page is asked for that there is not."""
    table = Table(count)
    assert await whole(table, name) == [f"m{number}" for number in range(count)]
    assert table.asked == [*range(1, max(1, -(-count // 200)) + 1)]


async def test_a_row_that_is_not_kept_is_read_all_the_same() -> None:
    """A page of strangers is no page that lacks."""
    assert await whole(Table(3), lambda shown: name(shown) if name(shown) == "m1" else None) == ["m1"]


async def test_rows_that_go_meanwhile_have_the_table_read_again() -> None:
    """One that goes moves another over the edge of a page, where nobody would see it."""

    def go(table: Table, number: int) -> None:
        if number == 2 and len(table.rows) == 201:
            del table.rows[0]

    table = Table(201, go)
    assert await whole(table, name) == [f"m{number}" for number in range(1, 201)]
    assert table.asked == [1, 2, 1]


async def test_a_row_that_comes_as_another_one_goes_has_it_read_again_too() -> None:
    """The number of rows is the same then, but one was shown twice and another not at all."""

    def change(table: Table, number: int) -> None:
        if number == 2 and len(table.asked) == 2:
            table.rows = [row(900), *table.rows[:-1]]

    table = Table(201, change)
    found = await whole(table, name)
    assert sorted(found) == sorted(["m900", *(f"m{number}" for number in range(200))])
    assert table.asked == [1, 2, 1, 2]


async def test_a_table_that_changes_all_the_while_is_never_given_in_part() -> None:
    """After three readings it is a failure."""

    def grow(table: Table, number: int) -> None:
        if number == 2:
            table.rows.append(row(1000 + len(table.asked)))

    with pytest.raises(RefusedError, match="its rows changed during each of 3 readings"):
        await whole(Table(300, grow), name)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": null}', b"[" * 100_000])
async def test_what_is_no_table_is_a_failure(body: bytes) -> None:
    """Not an empty table, by which rows would be gone."""
    table = Table(0)
    table.answer = Reply(200, body)
    with pytest.raises(RefusedError, match="a list of rows was expected"):
        await whole(table, name)


async def test_a_fault_on_the_last_page_is_a_failure_of_the_whole() -> None:
    """What came before it is not given."""

    def fail(table: Table, number: int) -> None:
        if number == 3:
            table.answer = Reply(500, b"{}")

    with pytest.raises(FaultError, match="HTTP 500"):
        await whole(Table(500, fail), name)


NO_ROW = (
    b'{"error": {"message": "{\'error\': \'Model with id=registrar-1 not found in db\'}", "code": "400"}}'
)


def test_a_deletion_is_believed_when_litellm_says_so_of_the_row() -> None:
    """Either it was deleted now, or there was none."""
    assert deleted(Reply(200, b'{"message": "Model: registrar-1 deleted successfully"}'), "registrar-1")
    assert not deleted(Reply(400, NO_ROW), "registrar-1")


@pytest.mark.parametrize("reply", [Reply(200, b"<html>Sign in</html>"), Reply(500, NO_ROW)])
def test_a_deletion_of_which_litellm_says_anything_else_is_a_fault(reply: Reply) -> None:
    """By a page of something before it a row that is still there must not count as gone."""
    with pytest.raises(FaultError):
        deleted(reply, "registrar-1")
