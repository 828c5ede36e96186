"""The same question once at a time."""

import asyncio
import gc
from typing import Any

import pytest

from webhook.broker.flights import Flights


class Question:
    """Counts how often it is asked, and is answered when told; with an error if there is one."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        """Ask."""
        self.asked += 1
        number = self.asked
        await self.answer.wait()
        if self.error:
            raise self.error
        return number


@pytest.fixture
def question() -> Question:
    """Give a question."""
    return Question()


async def begun(*calls: Any) -> list[asyncio.Task[int]]:
    """Start calls, and let each come to its first wait."""
    tasks = [asyncio.create_task(call) for call in calls]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_who_comes_meanwhile_gets_the_same_answer(question: Question) -> None:
    """Calls of one key share one question, others have their own; afterwards it is asked anew."""
    flights = Flights[int]()
    tasks = await begun(*(flights.once(key, question) for key in ("a", "a", "b")))
    question.answer.set()
    assert await asyncio.gather(*tasks) == [1, 1, 2]
    assert await flights.once("a", question) == 3


async def test_an_error_is_everybodys_and_is_not_kept(question: Question) -> None:
    """Who waits gets the error; who comes later asks again."""
    flights = Flights[int]()
    tasks = await begun(*(flights.once("a", question) for _ in range(2)))
    question.error = ValueError("no")
    question.answer.set()
    assert [type(found) for found in await asyncio.gather(*tasks, return_exceptions=True)] == [ValueError] * 2
    question.error = None
    assert await flights.once("a", question) == 2


async def test_who_goes_away_takes_nothing_along(question: Question) -> None:
    """A call that is cancelled leaves the question to the others."""
    flights = Flights[int]()
    first, second = await begun(*(flights.once("a", question) for _ in range(2)))
    first.cancel()
    question.answer.set()
    assert await second == 1


async def test_an_error_that_nobody_waits_for_is_no_line(question: Question) -> None:
    """Where everybody has gone asyncio tells nothing of it."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    flights = Flights[int]()
    (only,) = await begun(flights.once("a", question))
    only.cancel()
    question.error = ValueError("no")
    question.answer.set()
    for _ in range(5):
        await asyncio.sleep(0)
    del only
    gc.collect()
    assert told == []
