"""An engine that speaks OpenAI's API: what sets one apart is a `Profile`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from sidecar.servers.ask import Ask
from sidecar.servers.gauges import Gauges, in_flight
from sidecar.servers.listing import Card, Listing, first_tokens, text, under
from sidecar.servers.shapes import Answer, Model

About = Mapping[str, Any]

# What servers call the served context length in a model's card.
_CONTEXT_KEYS: Final = ("max_model_len", "context_length", "max_input_tokens", "context_window")


class Engine(Protocol):
    """One kind of server; lives from the first answer until the server is refused."""

    async def answer(self, listing: Listing) -> Answer:
        """Say what is served, given the list of models. Raises NoAnswerError when the server is not well."""

    async def in_flight(self) -> int | None:
        """Give the number of requests running and waiting, None when the engine does not tell.

        Raises NoAnswerError.
        """


async def _mode_unknown(_ask: Ask) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Profile:
    """What is special about an engine. All of it is free: no route here makes the engine compute.

    `health` must answer 200 (or not exist) at each poll. `about` is a JSON route read once, from which
    `version`, `context` and `mode` take what a card does not say; `server_mode` asks once for the mode of the
    whole server.
    """

    name: str
    health: str | None = None
    about: str | None = None
    gauges: Gauges | None = None
    version: Callable[[About], str | None] = lambda about: text(about.get("version"))
    context: Callable[[About], int | None] = lambda _about: None
    mode: Callable[[Card, About], str | None] = lambda _card, _about: None
    server_mode: Callable[[Ask], Awaitable[str | None]] = _mode_unknown


@dataclass(frozen=True, slots=True)
class _Facts:
    about: About
    mode: str | None
    gauges: bool


class OpenAi:
    """Any server that lists its models under /v1/models."""

    def __init__(self, ask: Ask, profile: Profile) -> None:
        self._ask = ask
        self._profile = profile
        self._facts: _Facts | None = None

    async def answer(self, listing: Listing) -> Answer:
        """Say what is served. Raises NoAnswerError."""
        profile = self._profile
        if profile.health is not None:
            await self._ask.well(profile.health)
        if self._facts is None:
            self._facts = await self._read()
        facts = self._facts
        return Answer(profile.name, profile.version(facts.about), self._models(listing, facts), facts.gauges)

    async def in_flight(self) -> int | None:
        """Sum the engine's gauges of requests running and waiting. Raises NoAnswerError."""
        gauges = self._profile.gauges
        if gauges is None or (self._facts is not None and not self._facts.gauges):
            return None
        reply = await self._ask.get(gauges.path)
        if reply.status != HTTPStatus.OK:
            return None
        return in_flight(reply.body.decode(errors="replace"), gauges.names)

    async def _read(self) -> _Facts:
        profile = self._profile
        about = None if profile.about is None else await self._ask.optional(profile.about)
        mode = await profile.server_mode(self._ask)
        return _Facts(about or {}, mode, gauges=await self.in_flight() is not None)

    def _models(self, listing: Listing, facts: _Facts) -> tuple[Model, ...]:
        contexts = {card["id"]: context_of(card) for card in listing.cards}
        spare = self._profile.context(facts.about)
        return tuple(
            Model(
                id=card["id"],
                root=text(card.get("root")),
                parent=text(card.get("parent")),
                mode=facts.mode or self._profile.mode(card, facts.about),
                context=contexts[card["id"]] or contexts.get(text(card.get("parent")) or "") or spare,
                owner=text(card.get("owned_by")),
            )
            for card in listing.cards
        )


def context_of(card: Card) -> int | None:
    """Give the served context length a card tells; llama-server has it under `meta`, per slot."""
    return first_tokens(card, _CONTEXT_KEYS) or first_tokens(under(card, "meta"), ("n_ctx",))
