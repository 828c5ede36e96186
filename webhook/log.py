"""The webhook's log: one line per event on a stream, as text or as JSON.

Not the `logging` module: every admission is one line, and a line costs a few microseconds this way.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, Final, TextIO

from sidecar.contract import LogFormat
from webhook.review import clean

# No value of an object may fill the log; Kubernetes' own names have at most 253 characters.
_VALUE_LENGTH: Final = 256
_SENTENCE_LENGTH: Final = 1024
_FRAMES_SHOWN: Final = 4
_ENDS: Final = frozenset(".?!…")
# What needs no quotes: ASCII without white space, quotes and equals signs.
_PLAIN: Final = re.compile(rf"[!#-<>-~]{{1,{_VALUE_LENGTH}}}").fullmatch


class Log:
    """Writes lines: time, one word, one plain sentence, values by name. Values of None are left out.

    A line that cannot be written (a full disk, a closed pipe) is lost: it must not refuse a pod.
    """

    def __init__(
        self,
        stream: TextIO,
        style: LogFormat = LogFormat.TEXT,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._stream = stream
        self._now = now
        self._line = _json_line if style is LogFormat.JSON else _text_line

    def say(self, word: str, sentence: str, **values: str | float | None) -> None:
        """Write one line."""
        time = self._now().isoformat(timespec="milliseconds")[:23] + "Z"
        sentence = clean(sentence, _SENTENCE_LENGTH)
        if sentence[-1:] not in _ENDS:
            sentence += "."
        line = self._line(time, word, sentence, values)
        with suppress(OSError):
            self._stream.write(line)
            self._stream.flush()


class LibraryHandler(logging.Handler):
    """Turns the warnings of asyncio and aiohttp into our lines.

    Of an exception only its type is told: its text may quote what a client sent.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        kind = record.exc_info[0] if record.exc_info else None
        self._log.say(
            record.levelname, record.getMessage(), logger=record.name, error=kind.__name__ if kind else None
        )


def traced(error: Exception) -> str:
    """Tell where an error of our own comes from; its text may quote what somebody sent."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_SHOWN:]
    return " > ".join(f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)


def _text_line(time: str, word: str, sentence: str, values: dict[str, Any]) -> str:
    shown = "".join(f" {name}={_quoted(value)}" for name, value in values.items() if value is not None)
    return f"{time} {word:<8} {sentence}{shown}\n"


def _json_line(time: str, word: str, sentence: str, values: dict[str, Any]) -> str:
    line: dict[str, Any] = {"time": time, "event": word.lower(), "message": sentence}
    for name, value in values.items():
        if value is not None:
            line[name] = clean(value, _VALUE_LENGTH) if isinstance(value, str) else value
    return json.dumps(line, ensure_ascii=False) + "\n"


def _quoted(value: str | float) -> str:
    if not isinstance(value, str):
        return str(value)
    return value if _PLAIN(value) else json.dumps(clean(value, _VALUE_LENGTH), ensure_ascii=False)
