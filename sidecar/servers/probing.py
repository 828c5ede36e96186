"""Which question to a server is due, and what its answers told. Pure: time is handed in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.servers.facts import NOTHING_KNOWN, UNKNOWN, Ability, Facts
from sidecar.servers.listing import Card, label
from sidecar.servers.probe import Probe

# Seconds until a question that was not answered is put again; doubled each time, up to the last.
FIRST_AGAIN: Final = 5.0
LAST_AGAIN: Final = 600.0
# Findings kept of one server; beyond it those of models it no longer lists go.
MOST_KEPT: Final = 1024

Key = tuple[str, ...]


def key_of(card: Card, *, shared_root: bool) -> Key:
    """Give what findings are kept under: names of one root share them where roots tell models apart."""
    root = label(card.get("root")) or ""
    name = "" if shared_root and root else card["id"]
    return (name, root, label(card.get("parent")) or "", label(card.get("digest")) or "")


@dataclass(frozen=True, slots=True)
class Question:
    """A probe that is due for the model with this card."""

    key: Key
    card: Card
    probe: Probe


@dataclass(slots=True)
class _Asked:
    times: int = 0
    due: float = float("-inf")


class Findings:
    """What probes found of one server's models and its cards have told, in the life of this server."""

    def __init__(self) -> None:
        self._read: dict[Key, Facts] = {}
        self._found: dict[Key, Facts] = {}
        self._asked: dict[tuple[Key, Probe], _Asked] = {}

    def of(self, key: Key) -> Facts:
        """Give what was found so far."""
        return self._found.get(key, NOTHING_KNOWN)

    def read(self, key: Key, told: Facts) -> Facts:
        """Give what a card tells now, and where it is silent what it told before.

        Routers tell less of a model while it is not loaded (llama.cpp, LM Studio), which changes nothing.
        """
        self._read[key] = told.or_else(self._read.get(key, NOTHING_KNOWN))
        return self._read[key]

    def due(
        self, models: Sequence[tuple[Key, Card, Facts]], probes: Iterable[Probe], now: float
    ) -> Question | None:
        """Give the question that has been due longest: one that can tell what is unknown of a model.

        `models` are keys, cards and what is known in all; of several of one key the first is asked about.
        """
        waiting = [
            (asked.due, Question(key, card, probe))
            for key, card, facts in models
            for probe in probes
            if _wanted(probe, facts) and (asked := self._asked.get((key, probe), _Asked())).due <= now
        ]
        return min(waiting, key=lambda entry: entry[0])[1] if waiting else None

    def asked(self, question: Question, now: float) -> None:
        """Note that a question was put; it is put again later if its answer tells nothing."""
        asked = self._asked.setdefault((question.key, question.probe), _Asked())
        asked.due = now + min(FIRST_AGAIN * 2**asked.times, LAST_AGAIN)
        # 2**7 * 5 s is beyond the last step already; more would only make the number longer.
        asked.times = min(asked.times + 1, 7)

    def learned(self, key: Key, told: Facts) -> bool:
        """Keep what an answer told, beside what is known already; tell whether it is new."""
        before = self.of(key)
        self._found[key] = before.or_else(told)
        return self._found[key] != before

    def keep(self, keys: frozenset[Key]) -> None:
        """Forget models that are not among these once there are too many.

        Not at once: a list that is short for one poll would make a row unknown for a moment.
        """
        if max(len(self._found), len(self._asked), len(self._read)) > MOST_KEPT:
            self._read = {key: facts for key, facts in self._read.items() if key in keys}
            self._found = {key: facts for key, facts in self._found.items() if key in keys}
            self._asked = {entry: asked for entry, asked in self._asked.items() if entry[0] in keys}


def _wanted(probe: Probe, facts: Facts) -> bool:
    if probe.modes is not None and facts.mode.value not in probe.modes:
        return False
    return any(not _known(facts, name) for name in probe.told)


def _known(facts: Facts, name: str) -> bool:
    """Tell whether a field of Facts, or else an ability, is known."""
    if name in _ABILITIES:
        return facts.ability(Ability(name)).known
    known: bool = getattr(facts, name, UNKNOWN).known
    return known


_ABILITIES: Final = frozenset(Ability)
