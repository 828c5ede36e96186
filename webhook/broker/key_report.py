"""Says what LiteLLM's key can do: at the start, and of every other key that takes its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from webhook.broker.key_abilities import Abilities, find_out
from webhook.broker.upstream import Upstream
from webhook.log import Log

# Seconds between two looks: at a key that is not known yet, and whether it is another one.
_LOOK_EVERY: Final = 10.0


class KeyReport:
    """Asks what the key can do until LiteLLM has said it. `show` is told what is known of it."""

    def __init__(self, upstream: Upstream, log: Log, show: Callable[[Abilities], None]) -> None:
        self._upstream = upstream
        self._log = log
        self._show = show
        self._known: tuple[str, ...] | None = None
        self._said = ""

    async def follow(self) -> None:
        """Look again and again."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY)

    async def look(self) -> None:
        """Ask what a key can do of which that is not known; a line for whatever is news."""
        key = self._upstream.secrets
        if key == self._known:
            return
        abilities = await find_out(self._upstream)
        self._show(abilities)
        if not abilities.unknown:
            self._known = key
        sentence = abilities.sentence()
        if sentence != self._said:
            self._said = sentence
            self._log.say("KEY" if abilities.is_narrow else "PROBLEM", sentence)
