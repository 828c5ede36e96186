"""How the demo tells its story: one line per event, seconds since the start, who, what."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Mapping
from typing import Final, TextIO

WIDTH: Final = 118
WHO: Final = 16
_HANG: Final = 8 + WHO
_RESET: Final = "\033[0m"
_BOLD: Final = "\033[1m"
_RED: Final = "\033[31m"
_GREEN: Final = "\033[32m"
_YELLOW: Final = "\033[33m"
_BLUE: Final = "\033[34m"
_MAGENTA: Final = "\033[35m"
_CYAN: Final = "\033[36m"
_GREY: Final = "\033[90m"
# By the first word of who.
_COLOURS: Final[Mapping[str, str]] = {
    "kubectl": _BOLD,
    "kubernetes": _BOLD,
    "webhook": _MAGENTA,
    "broker": _MAGENTA,
    "registrar": _GREEN,
    "litellm": _BLUE,
    "client": _CYAN,
    "kubelet": _YELLOW,
    "vllm": _GREY,
}
_DIFF: Final[Mapping[str, str]] = {"+": _GREEN, "-": _RED, "@": _CYAN}


class Timeline:
    """Writes to `out`; in colour only if that is a terminal and NO_COLOR is not set (no-color.org)."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self._colours = out.isatty() and not os.environ.get("NO_COLOR")

    def say(self, who: str, what: str) -> None:
        """Write one event; a long one is wrapped under itself."""
        seconds = time.monotonic() - self._began
        first, *rest = textwrap.wrap(what, WIDTH - _HANG, break_on_hyphens=False) or [""]
        actor = self._painted(_COLOURS.get(who.partition(" ")[0], ""), f"{who:<{WHO}}")
        self._write(f"{seconds:6.1f}  {actor}{first}")
        for line in rest:
            self._write(" " * _HANG + line)

    def chapter(self, title: str) -> None:
        """Write a heading."""
        self._write("\n" + self._painted(_BOLD, f"--- {title} "))

    def note(self, text: str) -> None:
        """Write a paragraph that is no event."""
        self._write(textwrap.fill(text, WIDTH, break_on_hyphens=False))

    def diff(self, lines: list[str]) -> None:
        """Write a unified diff, indented under the events."""
        for line in lines:
            self._write(" " * 8 + self._painted(_DIFF.get(line[:1], ""), line))

    def verdict(self, text: str, *, good: bool) -> None:
        """Write how it ended."""
        self._write("\n" + self._painted(_BOLD + (_GREEN if good else _RED), text))

    def _painted(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colours and colour else text

    def _write(self, line: str) -> None:
        print(line, file=self._out, flush=True)
