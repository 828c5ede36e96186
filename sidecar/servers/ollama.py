"""Ollama: its models are what is pulled. Nothing asked here loads one (measured on 0.17)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from sidecar.contract import CloudModels
from sidecar.servers.ask import Ask, NoAnswerError
from sidecar.servers.listing import Card, Listing, label
from sidecar.servers.ollama_facts import Shown, Tag, facts, loaded, serves, shown, tags
from sidecar.servers.shapes import Answer, Model

# A model not seen loaded yet is looked for again after so many polls (a minute as shipped); one that could
# not be shown is asked for again after 1, 2, 4, ... polls, at most so many.
LOADED_EVERY: Final = 12
# What may be spent on /api/show in one poll; the rest is shown in the next one (seconds).
SHOW_SECONDS: Final = 2.0
# A change this long ago (seconds) cannot be followed by another one of the same `created`.
SETTLED_SECONDS: Final = 2.0

Key = tuple[str, str | None]


class Ollama:
    """An Ollama server. Models that it does not run itself (cloud) are left out, unless they are wanted."""

    def __init__(self, ask: Ask, cloud_models: CloudModels = CloudModels.SKIP) -> None:
        self._ask = ask
        self._cloud_models = cloud_models
        self._version: str | None = None
        self._listed: tuple[tuple[str, object], ...] | None = None
        self._unsettled: float | None = None
        self._tags: dict[str, Tag] = {}
        self._shown: dict[Key, Shown] = {}
        self._loaded: dict[Key, int] = {}
        self._gone: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._again: dict[Key, int] = {}
        self._polls = 0
        self._looked = 0

    async def answer(self, listing: Listing) -> Answer:
        """Say what is pulled. Raises NoAnswerError.

        One /api/show that fails is no fault of the others: of its model only the tag is known, until it is
        asked for again.
        """
        self._polls += 1
        if self._version is None:
            self._version = label((await self._ask.wanted("/api/version")).get("version"))
        changed = await self._read_tags(listing)
        self._forget({self._key(card) for card in listing.cards})
        await self._show([self._key(card) for card in listing.cards])
        await self._look_for_loaded(changed=changed)
        models = (self._model(card) for card in listing.cards)
        return Answer("ollama", self._version, tuple(m for m in models if m is not None), gauges=False)

    async def in_flight(self) -> int | None:
        """Ollama does not tell."""
        return None

    async def _read_tags(self, listing: Listing) -> bool:
        """Read the digests when the list has changed; tell whether it has.

        `created` in the list is when the model's files were changed, in whole seconds. So once more when that
        second is over: the name may have been made anew in it.
        """
        listed, now = tuple((card["id"], card.get("created")) for card in listing.cards), self._ask.now()
        changed = listed != self._listed
        if listing.cards and (changed or self._unsettled is not None):
            self._tags = tags(await self._ask.wanted("/api/tags"))
        if changed:
            self._unsettled = now
        elif self._unsettled is not None and now - self._unsettled > SETTLED_SECONDS:
            self._unsettled = None
        self._listed = listed
        return changed

    def _key(self, card: Card) -> Key:
        return card["id"], self._tags.get(card["id"], Tag()).digest

    def _skipped(self, key: Key) -> bool:
        remote = self._tags.get(key[0], Tag()).remote or self._shown.get(key, Shown()).remote
        return remote and self._cloud_models is not CloudModels.REGISTER

    def _forget(self, there: set[Key]) -> None:
        """Forget what is no longer there: a name with another digest is another model."""
        for known in (self._shown, self._loaded, self._failures, self._again):
            for key in known.keys() - there:
                del known[key]
        self._gone &= there

    async def _show(self, keys: list[Key]) -> None:
        """Ask for what is not known yet, one after the other."""
        due = [
            key
            for key in keys
            if key not in self._shown and self._again.get(key, 0) <= self._polls and not self._skipped(key)
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(SHOW_SECONDS):
                for key in due:
                    # Counted as failed until it is not: also one that takes all the time there is.
                    failures = self._failures[key] = self._failures.get(key, 0) + 1
                    self._again[key] = self._polls + min(2 ** (failures - 1), LOADED_EVERY)
                    await self._show_one(key)

    async def _show_one(self, key: Key) -> None:
        try:
            reply = await self._ask.post("/api/show", {"model": key[0]})
        except NoAnswerError:
            return
        self._gone.discard(key)
        told = reply.json_object()
        if reply.status == HTTPStatus.NOT_FOUND:  # deleted since it was listed
            self._gone.add(key)
            del self._failures[key], self._again[key]
        elif reply.status == HTTPStatus.OK and told is not None:
            self._shown[key] = shown(told)
            del self._failures[key], self._again[key]

    async def _look_for_loaded(self, *, changed: bool) -> None:
        self._looked = 0 if changed else self._looked + 1
        unsure = {key for key, shown in self._shown.items() if not shown.num_ctx and key not in self._loaded}
        if unsure and self._looked % LOADED_EVERY == 0:
            with suppress(NoAnswerError):
                now = loaded(await self._ask.wanted("/api/ps"))
                self._loaded.update({key: now[key] for key in unsure & now.keys()})

    def _model(self, card: Card) -> Model | None:
        key = self._key(card)
        tag, show = self._tags.get(key[0], Tag()), self._shown.get(key, Shown())
        if key in self._gone or self._skipped(key) or not serves(tag, show):
            return None
        return Model(
            id=key[0],
            owner=label(card.get("owned_by")),
            digest=key[1],
            facts=facts(tag, show, self._loaded.get(key)),
        )
