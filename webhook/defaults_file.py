"""The file of defaults: read at the start, and again when it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from webhook.defaults import Defaults, DefaultsError, parse
from webhook.log import Log

# How often the file is looked at. The kubelet itself takes up to a minute to renew a mounted ConfigMap.
_LOOK_EVERY: Final = 5.0
_MAX_SHOWN: Final = 10


class DefaultsFile:
    """Defaults from a file, followed by its path: a mounted ConfigMap is renewed by swapping a symlink.

    Without a path there are none. `use` gets the defaults, at the start and whenever good new ones are found.
    """

    def __init__(self, path: str, log: Log, use: Callable[[Defaults], None]) -> None:
        self._path = Path(path) if path else None
        self._log = log
        self._use = use
        self._seen: bytes | None = None
        self._unreadable = ""

    def load(self) -> None:
        """Read the file at the start. Raises DefaultsError with everything that is wrong."""
        if self._path is None:
            return
        try:
            self._seen = self._path.read_bytes()
        except OSError as error:
            raise DefaultsError([f"cannot be read: {error.strerror or error}"]) from None
        self._use(_parsed(self._seen))

    def look(self) -> None:
        """Take up a change. Bad or unreadable defaults are said once, and the old ones stay."""
        if self._path is None:
            return
        try:
            content = self._path.read_bytes()
        except OSError as error:
            self._keep([f"cannot be read: {error.strerror or error}"], unreadable=True)
            return
        self._unreadable = ""
        if content == self._seen:
            return
        self._seen = content
        try:
            defaults = _parsed(content)
        except DefaultsError as error:
            self._keep(error.problems)
            return
        self._use(defaults)
        self._log.say(
            "DEFAULTS",
            "The changed defaults count for new pods",
            file=str(self._path),
            namespaces=len(defaults.namespaces),
        )

    async def follow(self) -> None:
        """Look again and again, in a thread: neither a slow disk nor a long file holds up reviews."""
        while self._path is not None:
            await asyncio.sleep(_LOOK_EVERY)
            await asyncio.to_thread(self.look)

    def _keep(self, problems: list[str], *, unreadable: bool = False) -> None:
        if unreadable:
            if problems[0] == self._unreadable:
                return
            self._unreadable = problems[0]
        for problem in problems[:_MAX_SHOWN]:
            self._log.say(
                "PROBLEM",
                f"The changed defaults are not taken, the old ones stay: {problem}",
                file=str(self._path),
                problems=len(problems),
            )


def _parsed(content: bytes) -> Defaults:
    try:
        return parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DefaultsError([f"not UTF-8, at byte {error.start}"]) from None
