"""What somebody probably meant, among known names; quick enough for thousands of unknown ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

# Two wrong letters in a name of fewer than these may as well be another word.
_LONG: Final = 8
# No known name is longer.
_MAX: Final = 40


class Names:
    """Known names, found also when one or two letters are wrong, or the case, or the separators."""

    def __init__(self, names: Iterable[str]) -> None:
        self._near: dict[str, str] = {}
        plain = {_plain(name): name for name in names}
        for text, name in plain.items():
            if len(text) >= _LONG:
                for wrong in _shortened(text):
                    self._near.setdefault(wrong, name)
        self._near |= plain

    def nearest(self, text: str) -> str | None:
        """Give the known name that was probably meant, None if there is none."""
        plain = _plain(text[: _MAX + 1])
        if plain in self._near:
            return self._near[plain]
        if not _LONG <= len(plain) + 1 <= _MAX:
            return None
        return next((self._near[wrong] for wrong in _shortened(plain) if wrong in self._near), None)


def _plain(text: str) -> str:
    return text.lower().replace("_", "").replace("-", "")


def _shortened(text: str) -> Iterator[str]:
    """Give the text without each letter: two texts that share one differ in a letter or in two swapped."""
    return (text[:index] + text[index + 1 :] for index in range(len(text)))
