"""The pod's own token for the broker: a file that the kubelet writes anew as the token rotates."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

# A token of the API server has about 1 kB; whatever is longer is none.
_LONGEST: Final = 16 * 1024


class TokenError(Exception):
    """There is no token to be had; the message says why, and never what the file holds."""


class TokenFile:
    """Reads the token for every request, the file only when it has changed.

    The kubelet swaps the folder of a projected volume (pkg/volume/util/atomic_writer.go in kubernetes), so a
    new token is another file. `conceal` is told each new token, before anybody else gets it.
    """

    def __init__(self, path: str, conceal: Callable[[str], object]) -> None:
        self._path = Path(path)
        self._conceal = conceal
        self._version: tuple[int, ...] | None = None
        self._token = ""

    def read(self) -> str:
        """Give the token as it is now. Raises TokenError."""
        try:
            # Before reading: a file that is swapped meanwhile is then read again.
            version = _version(self._path.stat())
            if version != self._version:
                self._token = self._read()
                self._version = version
        except OSError as error:
            raise TokenError(f"{self._path}: {error.strerror or type(error).__name__}") from None
        return self._token

    def _read(self) -> str:
        with self._path.open("rb") as file:
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise TokenError(f"{self._path}: more than {_LONGEST} bytes are no token")
        token = content.strip().decode("ascii", "replace")
        if not token:
            raise TokenError(f"{self._path}: the file is empty")
        self._conceal(token)
        if not (token.isascii() and token.isprintable()):
            raise TokenError(f"{self._path}: the file holds characters that no HTTP header can hold")
        return token


def _version(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
