"""An engine that speaks OpenAI's API: what sets one apart is a `Profile`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from sidecar.servers.ask import Ask
from sidecar.servers.facts import NOTHING_KNOWN, UNKNOWN, Fact, Facts, Origin
from sidecar.servers.gauges import Gauges, in_flight
from sidecar.servers.listing import Card, Listing, first_tokens, text, under
from sidecar.servers.shapes import Answer, Asleep, Model

About = Mapping[str, Any]

# What servers call the served context length in a model's card.
_CONTEXT_KEYS: Final = ("max_model_len", "context_length", "max_input_tokens", "context_window")


class Engine(Protocol):
    """One kind of server; lives from the first answer until the server is refused."""

    async def answer(self, listing: Listing) -> Answer | Asleep:
        """Say what is served, given the list of models. Raises NoAnswerError when the server is not well."""

    async def in_flight(self) -> int | None:
        """Give the number of requests running and waiting, None when the engine does not tell.

        Raises NoAnswerError.
        """


@dataclass(frozen=True, slots=True)
class Probe:
    """A question to the server about one model, given its card. It never raises: no clear answer is unknown.

    `told` names what it can find out (fields of Facts, abilities); it is asked while one of these is unknown.
    """

    told: frozenset[str]
    ask: Callable[[Ask, Card], Awaitable[Facts]]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is special about an engine. All of it but `active` is free: it makes the engine compute nothing.

    `health` must answer 200 (or not exist) at each poll. `about` is a JSON route read once; `facts` reads a
    model's facts out of its card and that answer, `defaults` says what is so with every server of this
    engine. `probes` are asked where a fact is unknown; `active` too, if the owner allows it, when nothing
    else is in flight. `asleep` is asked at each poll whether the server sleeps.
    """

    name: str
    health: str | None = None
    about: str | None = None
    gauges: Gauges | None = None
    version: Callable[[About], str | None] = lambda about: text(about.get("version"))
    facts: Callable[[Card, About], Facts] = lambda _card, _about: NOTHING_KNOWN
    probes: tuple[Probe, ...] = ()
    active: tuple[Probe, ...] = ()
    defaults: Facts = NOTHING_KNOWN
    asleep: Callable[[Ask], Awaitable[bool]] | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    about: About
    gauges: bool


class OpenAi:
    """Any server that lists its models under /v1/models."""

    def __init__(self, ask: Ask, profile: Profile) -> None:
        self._ask = ask
        self._profile = profile
        self._once: _Read | None = None

    async def answer(self, listing: Listing) -> Answer | Asleep:
        """Say what is served. Raises NoAnswerError."""
        profile = self._profile
        if profile.health is not None:
            await self._ask.well(profile.health)
        if profile.asleep is not None and await profile.asleep(self._ask):
            return Asleep(profile.name)
        if self._once is None:
            self._once = await self._read()
        once = self._once
        models = await self._models(listing, once)
        return Answer(profile.name, profile.version(once.about), models, once.gauges)

    async def in_flight(self) -> int | None:
        """Sum the engine's gauges of requests running and waiting. Raises NoAnswerError."""
        gauges = self._profile.gauges
        if gauges is None or (self._once is not None and not self._once.gauges):
            return None
        reply = await self._ask.get(gauges.path)
        if reply.status != HTTPStatus.OK:
            return None
        return in_flight(reply.body.decode(errors="replace"), gauges.names)

    async def _read(self) -> _Read:
        about = None if self._profile.about is None else await self._ask.optional(self._profile.about)
        return _Read(about or {}, gauges=await self.in_flight() is not None)

    async def _models(self, listing: Listing, once: _Read) -> tuple[Model, ...]:
        profile = self._profile
        found: dict[str, Facts] = {}
        for card in listing.cards:
            facts = profile.facts(card, once.about).or_else(facts_of_card(card))
            for probe in profile.probes:
                facts = facts.or_else(await probe.ask(self._ask, card))
            found[card["id"]] = facts.or_else(profile.defaults)
        return tuple(
            Model(
                id=card["id"],
                root=text(card.get("root")),
                parent=text(card.get("parent")),
                owner=text(card.get("owned_by")),
                place=listing.places.get(card["id"], 0),
                facts=_inherited(found, card),
            )
            for card in listing.cards
        )


def _inherited(found: Mapping[str, Facts], card: Card) -> Facts:
    """Give a model's facts; an adapter's are its parent's where its own card says nothing."""
    return found[card["id"]].or_else(found.get(text(card.get("parent")) or "", NOTHING_KNOWN))


def facts_of_card(card: Card) -> Facts:
    """Give what a card tells in any server; llama-server has the context length under `meta`, per slot."""
    length = first_tokens(card, _CONTEXT_KEYS) or first_tokens(under(card, "meta"), ("n_ctx",))
    return Facts(context=UNKNOWN if length is None else Fact(length, Origin.ENGINE))
