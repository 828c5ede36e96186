"""An engine that speaks OpenAI's API: what sets one apart is a `Profile`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from sidecar.servers.ask import Ask, NoAnswerError, Reply
from sidecar.servers.facts import NOTHING_KNOWN, Facts, said
from sidecar.servers.gauges import Gauges, in_flight
from sidecar.servers.listing import Card, Listing, first_tokens, label, under
from sidecar.servers.modes import implied
from sidecar.servers.probe import Probe, Told
from sidecar.servers.probing import Findings, Key, Question, key_of
from sidecar.servers.shapes import Answer, Model

__all__ = ["About", "Engine", "OpenAi", "Probe", "Profile", "facts_of_card"]

About = Mapping[str, Any]

# What servers call the served context length in a model's card.
_CONTEXT_KEYS: Final = ("max_model_len", "context_length", "max_input_tokens", "context_window")

# Seconds: all free probes of one poll together; one question that makes the server compute; whether it
# sleeps; each of the routes read beside the list; until these are read again, and if they told nothing.
FREE_SECONDS: Final = 1.5
ACTIVE_SECONDS: Final = 30.0
ASLEEP_SECONDS: Final = 1.0
BESIDE_SECONDS: Final = 1.0
READ_AGAIN: Final = 60.0
READ_SOON: Final = 5.0


class Engine(Protocol):
    """One kind of server; lives from the first answer until the server is refused."""

    async def answer(self, listing: Listing) -> Answer:
        """Say what is served, given the list of models. Raises NoAnswerError when the server is not well."""

    async def in_flight(self) -> int | None:
        """Give the number of requests running and waiting, None when the engine does not tell.

        Raises NoAnswerError.
        """


@dataclass(frozen=True, slots=True)
class Profile:
    """What is special about an engine. All of it but `active` is free: it makes the engine compute nothing.

    `health` must answer 200 (or not exist) at each poll. `about` is a JSON route read now and then; `facts`
    reads a model's facts out of its card and that answer, `defaults` says what is so with every server of
    this engine. `probes` are asked where a fact is unknown; `active` too, if the owner allows it, when
    nothing else is in flight. `asleep` is asked at each poll whether the server sleeps; it gives None when
    the server has no such route and raises NoAnswerError when there is no clear answer. With `shared_root`
    cards of one `root` are names of one model.
    """

    name: str
    health: str | None = None
    about: str | None = None
    gauges: Gauges | None = None
    version: Callable[[About], str | None] = lambda about: label(about.get("version"))
    facts: Callable[[Card, About], Facts] = lambda _card, _about: NOTHING_KNOWN
    probes: tuple[Probe, ...] = ()
    active: tuple[Probe, ...] = ()
    defaults: Facts = NOTHING_KNOWN
    asleep: Callable[[Ask], Awaitable[bool | None]] | None = None
    shared_root: bool = False


class OpenAi:
    """Any server that lists its models under /v1/models."""

    def __init__(self, ask: Ask, profile: Profile) -> None:
        self._ask = ask
        self._profile = profile
        self._listing = Listing(())
        self._cards: Mapping[str, Card] = {}
        self._about: About | None = None
        self._gauges: bool | None = None if profile.gauges else False
        self._read_at = float("-inf")
        self._findings = Findings()
        self._told: Mapping[str, Facts] = {}
        self._can_sleep = profile.asleep is not None
        self._sleeps = False
        # Called after each question with what came of it.
        self.probed: Callable[[Told], None] = lambda _: None

    async def answer(self, listing: Listing) -> Answer:
        """Say what is served, with what is known of it so far. Raises NoAnswerError."""
        if self._profile.health is not None:
            await self._ask.well(self._profile.health)
        if self._ask.now() >= self._read_at:
            await self._read()
        self._listing = listing
        self._cards = {card["id"]: card for card in listing.cards}
        self._findings.keep(frozenset(map(self._key, listing.cards)))
        self._told = {
            card["id"]: self._findings.read(self._key(card), self._of(card)) for card in listing.cards
        }
        return self._answer()

    async def learn(self) -> Answer:
        """Put the free questions that are due, and say what is known then. Takes FREE_SECONDS at most.

        What was not reached is due at the next poll. Never raises.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(FREE_SECONDS):
                while question := self._due(self._profile.probes):
                    await self._put(question, self._ask)
        return self._answer()

    async def explore(self, idle: Callable[[], Awaitable[bool]]) -> bool:
        """Put one question that makes the server compute, if one is due and nothing else is in flight.

        Takes ACTIVE_SECONDS at most and never wakes a server. Tells whether something new is known.
        """
        question = self._due(self._profile.active)
        if question is None or not await idle() or await self.asleep():
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(ACTIVE_SECONDS):
                return await self._put(question, self._ask.patient(ACTIVE_SECONDS))
        return False

    async def asleep(self) -> bool:
        """Tell whether the server sleeps; without a clear answer it does what it did. Never raises."""
        if self._profile.asleep is None or not self._can_sleep:
            return False
        with suppress(TimeoutError, NoAnswerError):
            async with asyncio.timeout(ASLEEP_SECONDS):
                sleeps = await self._profile.asleep(self._ask)
            self._can_sleep, self._sleeps = sleeps is not None, bool(sleeps)
        return self._sleeps

    async def in_flight(self) -> int | None:
        """Sum the engine's gauges of requests running and waiting. Raises NoAnswerError."""
        gauges = self._profile.gauges
        if gauges is None or self._gauges is False:
            return None
        reply = await self._ask.get(gauges.path)
        if reply.status != HTTPStatus.OK:
            return None
        return in_flight(reply.body.decode(errors="replace"), gauges.names)

    async def _read(self) -> None:
        """Read what stands beside the list; what told nothing keeps what it told before."""
        profile, before = self._profile, self._signs()
        if profile.about is not None:
            reply = await self._beside(profile.about)
            self._about = _told(reply) if _settles(reply) else self._about
        if profile.gauges is not None:
            reply = await self._beside(profile.gauges.path)
            if reply is not None and _settles(reply):
                page = reply.body.decode(errors="replace") if reply.status == HTTPStatus.OK else ""
                self._gauges = in_flight(page, profile.gauges.names) is not None
        if any(old not in (None, new) for old, new in zip(before, self._signs(), strict=True)):
            self._findings, self._can_sleep = Findings(), profile.asleep is not None
        complete = self._gauges is not None and (profile.about is None or self._about is not None)
        self._read_at = self._ask.now() + (READ_AGAIN if complete else READ_SOON)

    async def _beside(self, path: str) -> Reply | None:
        try:
            async with asyncio.timeout(BESIDE_SECONDS):
                return await self._ask.get(path)
        except (TimeoutError, NoAnswerError):
            return None

    def _signs(self) -> tuple[str | None, ...]:
        """Give what differs when another server has taken this one's place, or it has loaded another model.

        SGLang does so when told to (/update_weights_from_disk); llama-server's /props have the path too.
        """
        return self._version(), label((self._about or {}).get("model_path"))

    def _version(self) -> str | None:
        return self._profile.version(self._about or {})

    def _key(self, card: Card) -> Key:
        return key_of(card, shared_root=self._profile.shared_root)

    def _parent(self, card: Card) -> Card | None:
        """Give the card of an adapter's base model."""
        name = label(card.get("parent"))
        return None if name is None or name == card["id"] else self._cards.get(name)

    def _of(self, card: Card) -> Facts:
        """Give what card and about tell of a model now."""
        return self._profile.facts(card, self._about or {}).or_else(facts_of_card(card))

    def _found(self, card: Card) -> Facts:
        """Give what card, about and probes have told of a model."""
        return self._told[card["id"]].or_else(self._findings.of(self._key(card)))

    def _known(self, card: Card) -> Facts:
        """Give all that is known; what an adapter's own card leaves open is as with its parent."""
        facts, parent = self._found(card), self._parent(card)
        if parent is not None:
            facts = facts.or_else(self._found(parent))
        return facts.or_else(implied(facts.mode.value)).or_else(self._profile.defaults)

    def _due(self, probes: Iterable[Probe]) -> Question | None:
        """Give the question that is due; adapters are not asked about."""
        places = self._listing.places
        cards = sorted(self._listing.cards, key=lambda card: places.get(card["id"], 0))
        base = {self._key(card): card for card in reversed(cards) if self._parent(card) is None}
        models = [(key, card, self._known(card)) for key, card in reversed(base.items())]
        return self._findings.due(models, probes, self._ask.now())

    async def _put(self, question: Question, ask: Ask) -> bool:
        findings = self._findings  # those of another server may take their place meanwhile
        outcome = Told.NO_ANSWER  # also if it is waited for no longer
        try:
            told = await question.probe.ask(ask, question.card)
            outcome = Told.LEARNED if findings.learned(question.key, told) else Told.NOTHING_NEW
        except NoAnswerError:
            pass
        finally:
            findings.asked(question, self._ask.now())
            self.probed(outcome)
        return outcome is Told.LEARNED

    def _answer(self) -> Answer:
        listing = self._listing
        models = tuple(
            Model(
                id=card["id"],
                root=label(card.get("root")),
                parent=label(card.get("parent")),
                owner=label(card.get("owned_by")),
                digest=label(card.get("digest")),
                place=listing.places.get(card["id"], 0),
                facts=self._known(card),
            )
            for card in listing.cards
        )
        return Answer(self._profile.name, self._version(), models, gauges=bool(self._gauges))


def _settles(reply: Reply | None) -> bool:
    """Tell whether an answer will be the same the next time: not that of a busy or half-started server."""
    if reply is None or reply.status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS):
        return False
    return reply.status < HTTPStatus.INTERNAL_SERVER_ERROR or reply.status == HTTPStatus.NOT_IMPLEMENTED


def _told(reply: Reply | None) -> About:
    return (reply.json_object() if reply is not None and reply.status == HTTPStatus.OK else None) or {}


def facts_of_card(card: Card) -> Facts:
    """Give what a card tells in any server; llama-server has the context length under `meta`, per slot."""
    length = first_tokens(card, _CONTEXT_KEYS) or first_tokens(under(card, "meta"), ("n_ctx",))
    return Facts(context=said(length))
