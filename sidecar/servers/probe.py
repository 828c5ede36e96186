"""A question to a server about one model: the shape alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from sidecar.servers.ask import Ask
from sidecar.servers.facts import Facts, Mode
from sidecar.servers.listing import Card


class Told(StrEnum):
    """What came of a question."""

    LEARNED = "learned"
    NOTHING_NEW = "nothing_new"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True)
class Probe:
    """A question to the server about one model, given its card. No clear answer tells nothing.

    `told` names what it can find out (fields of Facts, abilities); it is asked while one of these is unknown.
    With `modes` it is asked only about a model that is known to be of one of them. `ask` raises nothing but
    NoAnswerError, which tells nothing as well.
    """

    told: frozenset[str]
    ask: Callable[[Ask, Card], Awaitable[Facts]]
    modes: frozenset[Mode] | None = None
