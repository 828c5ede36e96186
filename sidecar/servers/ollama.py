"""Ollama: its models are what is pulled. Nothing asked here loads one (measured on 0.17)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from sidecar.servers.ask import Ask, read
from sidecar.servers.facts import Fact, Facts, Mode, Origin
from sidecar.servers.listing import Card, Listing, text, tokens, under
from sidecar.servers.shapes import Answer, Model

# Served without `num_ctx` where there is less than 24 GiB of video memory (Ollama, docs/context-length.mdx).
DEFAULT_CONTEXT: Final = 4096
# A model not seen loaded yet is looked for again after so many polls (a minute as shipped).
LOADED_EVERY: Final = 12
SHOW_PATH: Final = "/api/show"

_NUM_CTX: Final = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)

Key = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Shown:
    """What /api/show tells of a model; `num_ctx` is its Modelfile's, `remote` a cloud model."""

    mode: Mode | None
    trained: int | None
    num_ctx: int | None
    remote: bool

    def context(self, loaded: int | None) -> int | None:
        """Give the served context length: loaded, else `num_ctx`, else the default; never over the trained.

        The default may be higher than is known here (OLLAMA_CONTEXT_LENGTH, much video memory); once the
        model was seen loaded, it is exact.
        """
        served = loaded or self.num_ctx or (DEFAULT_CONTEXT if self.trained else None)
        return served if served is None or self.trained is None else min(served, self.trained)


class Ollama:
    """An Ollama server."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._version: str | None = None
        self._listed: tuple[tuple[str, object], ...] | None = None
        self._digests: dict[str, str | None] = {}
        self._shown: dict[Key, Shown] = {}
        self._loaded: dict[Key, int] = {}
        self._polls = 0

    async def answer(self, listing: Listing) -> Answer:
        """Say what is pulled, without what runs elsewhere (cloud models). Raises NoAnswerError."""
        if self._version is None:
            self._version = text((await self._ask.wanted("/api/version")).get("version"))
        # `created` is when the model's files were changed; the list stays the same while nothing is pulled.
        listed = tuple((card["id"], card.get("created")) for card in listing.cards)
        changed = listed != self._listed
        if changed:
            await self._learn(listing)
        await self._look_for_loaded(changed=changed)
        # A model that could not be shown is asked for again.
        whole = all(self._key(card) in self._shown for card in listing.cards)
        self._listed = listed if whole else None
        models = (self._model(card) for card in listing.cards)
        return Answer("ollama", self._version, tuple(m for m in models if m is not None), gauges=False)

    async def in_flight(self) -> int | None:
        """Ollama does not tell."""
        return None

    async def _learn(self, listing: Listing) -> None:
        if not listing.cards:
            return
        self._digests = digests(await self._ask.wanted("/api/tags"))
        wanted = {self._key(card) for card in listing.cards}
        self._shown = {key: shown for key, shown in self._shown.items() if key in wanted}
        self._loaded = {key: size for key, size in self._loaded.items() if key in wanted}
        for key in sorted(wanted - self._shown.keys(), key=str):
            reply = await self._ask.post(SHOW_PATH, {"model": key[0]})
            if reply.status != HTTPStatus.NOT_FOUND:  # deleted since it was listed
                self._shown[key] = shown(read(SHOW_PATH, reply))

    async def _look_for_loaded(self, *, changed: bool) -> None:
        self._polls = 0 if changed else self._polls + 1
        unsure = {key for key, shown in self._shown.items() if not shown.num_ctx and key not in self._loaded}
        if unsure and self._polls % LOADED_EVERY == 0:
            now = loaded(await self._ask.wanted("/api/ps"))
            self._loaded.update({key: now[key] for key in unsure & now.keys()})

    def _key(self, card: Card) -> Key:
        return card["id"], self._digests.get(card["id"])

    def _model(self, card: Card) -> Model | None:
        key = self._key(card)
        shown = self._shown.get(key)
        if shown is None or shown.remote:
            return None
        return Model(
            id=card["id"],
            owner=text(card.get("owned_by")),
            digest=key[1],
            facts=Facts(
                mode=Fact(shown.mode, Origin.ENGINE),
                context=Fact(shown.context(self._loaded.get(key)), Origin.ENGINE),
            ),
        )


def digests(tags: Mapping[str, Any]) -> dict[str, str | None]:
    """Give the digest of each model in an answer of /api/tags, by name."""
    return {name: text(entry.get("digest")) for name, entry in _named(tags)}


def loaded(ps: Mapping[str, Any]) -> dict[Key, int]:
    """Give the context length of each loaded model in an answer of /api/ps; older Ollamas do not tell it."""
    found = {
        (name, text(entry.get("digest"))): tokens(entry.get("context_length")) for name, entry in _named(ps)
    }
    return {key: size for key, size in found.items() if size is not None}


def shown(show: Mapping[str, Any]) -> Shown:
    """Read an answer of /api/show."""
    info = under(show, "model_info")
    able = show.get("capabilities")
    num_ctx = _NUM_CTX.search(text(show.get("parameters")) or "")
    return Shown(
        mode=_mode(able if isinstance(able, list) else []),
        trained=tokens(info.get(f"{info.get('general.architecture')}.context_length")),
        num_ctx=None if num_ctx is None else tokens(int(num_ctx[1])),
        remote=text(show.get("remote_host")) is not None,
    )


def _mode(able: list[Any]) -> Mode | None:
    if "completion" in able:
        return Mode.CHAT
    return Mode.EMBEDDING if "embedding" in able else None


def _named(answer: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    entries = answer.get("models")
    if not isinstance(entries, list):
        return []
    return [
        (name, entry) for entry in entries if isinstance(entry, dict) and (name := text(entry.get("name")))
    ]
