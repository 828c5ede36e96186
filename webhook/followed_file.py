"""A file of configuration: read at the start, and again when it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar

from webhook.config import ConfigError
from webhook.log import Log

T = TypeVar("T")

# How often the file is looked at. The kubelet itself takes up to a minute to renew a mounted ConfigMap.
_LOOK_EVERY: Final = 5.0
_MAX_SHOWN: Final = 10


def nothing_more(_taken: object) -> Mapping[str, str | float]:
    """Tell nothing of what is taken but that it is."""
    return {}


class FollowedFile(Generic[T]):
    """A file that is followed by its path: a mounted ConfigMap is renewed by swapping a symlink.

    Without a path there is none, and nothing happens. `parse` raises ConfigError; `use` gets what it gives,
    at the start and whenever a changed file is good. `told` gives the values of the log line then.
    """

    def __init__(
        self,
        path: str,
        flag: str,
        log: Log,
        *,
        parse: Callable[[str], T],
        use: Callable[[T], None],
        told: Callable[[T], Mapping[str, str | float]] = nothing_more,
    ) -> None:
        self._path = Path(path) if path else None
        self._flag = flag
        self._log = log
        self._parse = parse
        self._use = use
        self._told = told
        self._seen: bytes | None = None
        self._unreadable = ""
        self.good = True

    def load(self) -> None:
        """Read the file at the start. Raises ConfigError with everything that is wrong."""
        if self._path is None:
            return
        try:
            self._seen = self._path.read_bytes()
        except OSError as error:
            raise ConfigError([f"cannot be read: {error.strerror or error}"]) from None
        self._use(self._parsed(self._seen))

    def look(self) -> None:
        """Take up a change. What is bad or unreadable is said once, and the last good one stays.

        `good` tells whether what counts is what the file says.
        """
        if self._path is None:
            return
        try:
            content = self._path.read_bytes()
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
            self.good = False
            if problem != self._unreadable:
                self._unreadable = problem
                self._keep([problem])
            # what can be read again is looked at as if it were new
            self._seen = None
            return
        self._unreadable = ""
        if content == self._seen:
            return
        self._seen = content
        try:
            taken = self._parsed(content)
        except ConfigError as error:
            self.good = False
            self._keep(error.problems)
            return
        except Exception as error:  # noqa: BLE001 - a fault of our own must not end the following
            self.good = False
            self._keep([f"an error of the webhook's own, {type(error).__name__}"])
            return
        self.good = True
        self._use(taken)
        self._log.say(
            self._flag.upper(),
            f"The changed file of --{self._flag} counts from now on",
            file=str(self._path),
            **self._told(taken),
        )

    async def follow(self) -> None:
        """Look again and again, in a thread: neither a slow disk nor a long file holds up reviews."""
        while self._path is not None:
            await asyncio.sleep(_LOOK_EVERY)
            await asyncio.to_thread(self.look)

    def _keep(self, problems: list[str]) -> None:
        for problem in problems[:_MAX_SHOWN]:
            self._log.say(
                "PROBLEM",
                f"The changed file of --{self._flag} is not taken, the last good one counts: {problem}",
                file=str(self._path),
                problems=len(problems),
            )

    def _parsed(self, content: bytes) -> T:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError([f"not UTF-8, at byte {error.start}"]) from None
        return self._parse(text)
