"""What somebody probably meant, among known names; quick enough for thousands of unknown ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

# A wrong letter or two in a name of fewer letters than these may as well be another word.
_LONG: Final = 8
# Among a handful of names even a short one with a wrong letter is recognised.
AMONG_FEW: Final = 4
# No known name is longer.
_MAX: Final = 40


class Names:
    """Known names, found also when one or two letters are wrong, or the case, or the separators.

    Letters may be wrong only in names of at least `shortest` letters.
    """

    def __init__(self, names: Iterable[str], shortest: int = _LONG) -> None:
        self._shortest = shortest
        self._near: dict[str, str] = {}
        plain = {_plain(name): name for name in names}
        for text, name in plain.items():
            if len(text) >= shortest:
                for wrong in _shortened(text):
                    self._near.setdefault(wrong, name)
        self._near |= plain

    def nearest(self, text: str) -> str | None:
        """Give the known name that was probably meant, None if there is none."""
        plain = _plain(text[: _MAX + 1])
        if plain in self._near:
            return self._near[plain]
        if not self._shortest <= len(plain) + 1 <= _MAX:
            return None
        return next((self._near[wrong] for wrong in _shortened(plain) if wrong in self._near), None)


def _plain(text: str) -> str:
    return text.lower().replace("_", "").replace("-", "")


def _shortened(text: str) -> Iterator[str]:
    """Give the text without each letter: two texts that share one differ in a letter or in two swapped."""
    return (text[:index] + text[index + 1 :] for index in range(len(text)))
