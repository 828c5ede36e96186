"""The answer of `GET /v1/models`, and what its cards say in every OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.reasons import Reason
from sidecar.servers.ask import Ask, NoAnswerError, read
from sidecar.servers.shapes import Ambiguous

# Characters of a model's id and the like. Some servers name a model by its path.
LONGEST: Final = 1024
MODELS_PATH: Final = "/v1/models"

Card = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """The cards, one per id, sorted by id (Ollama's order changes between calls), and the `Server` header.

    `places` is where each id stands in the server's own order.
    """

    cards: tuple[Card, ...]
    server: str = ""
    places: Mapping[str, int] = field(default_factory=dict)

    def owners(self) -> frozenset[str]:
        """Give every `owned_by` there is."""
        return frozenset(owner for card in self.cards if (owner := label(card.get("owned_by"))))


async def fetch(ask: Ask) -> Listing:
    """Ask for the models. Raises NoAnswerError."""
    reply = await ask.get(MODELS_PATH)
    return listed(read(MODELS_PATH, reply), reply.headers.get("server", ""))


def listed(answer: Mapping[str, Any], server: str = "") -> Listing:
    """Give the cards with a usable id. `data` is null in an Ollama without models. Raises NoAnswerError."""
    data = answer.get("data", ())
    if data is None:
        data = ()
    if "data" not in answer or not isinstance(data, list | tuple):
        raise NoAnswerError(Ambiguous(Reason.SERVER_BAD_ANSWER, f"{MODELS_PATH}: data is not a list"))
    found = {card["id"]: card for card in data if isinstance(card, dict) and label(card.get("id"))}
    places = {key: place for place, key in enumerate(found)}
    return Listing(tuple(found[key] for key in sorted(found)), server, places)


def text(value: object) -> str | None:
    """Give a string that is not empty and can be written (JSON may hold half a character)."""
    if not isinstance(value, str) or not value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def label(value: object) -> str | None:
    """Give a text that can be a name in a row: no longer than any path needs to be.

    Nor may it hold a NUL, which PostgreSQL, and so LiteLLM, cannot keep.
    """
    found = text(value)
    return None if found is None or len(found) > LONGEST or "\0" in found else found


def tokens(value: object) -> int | None:
    """Give a number of tokens: a whole number above zero."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if value > 0 else None


def flag(value: object) -> bool | None:
    """Give a boolean, None for anything else."""
    return value if isinstance(value, bool) else None


def first_tokens(source: Mapping[str, Any], keys: Iterable[str]) -> int | None:
    """Give the first of these keys that holds a number of tokens."""
    return next((found for key in keys if (found := tokens(source.get(key))) is not None), None)


def under(source: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Give the object under a key, an empty one if there is none."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}
