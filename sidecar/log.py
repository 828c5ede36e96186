"""The registrar's log, one line an event: time, word, one plain sentence, then `key=value`.

`2026-11-21T06:00:00.123Z SERVING    2 of 2 models are routable through LiteLLM. models=2`

Secrets are taken out of every value and once more out of the finished line.
"""

from __future__ import annotations

import json
import logging
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from sidecar.contract import LogFormat
from sidecar.reasons import Reason

Value = str | int | float | bool | Sequence[str] | None

HIDDEN: Final = "***"
# A line is for people: of a longer value or list it shows the beginning.
MOST_LETTERS: Final = 1000
MOST_ITEMS: Final = 50
# A token lives for an hour or so, and the next one comes before it ends.
MOST_TOKENS: Final = 8
# Values that need no quotes to be read back.
_PLAIN: Final = re.compile(r"[\w.:/@%+,*\[\]{}()~-]+", re.ASCII)


class Word(StrEnum):
    """What kind of event a line tells; the first word after its time."""

    STARTED = "started"
    WAITING = "waiting"
    FOUND = "found"
    REGISTERED = "registered"
    REMOVED = "removed"
    REPAIRED = "repaired"
    SERVING = "serving"
    BLOCKED = "blocked"
    DRAINING = "draining"
    GONE = "gone"
    PROBLEM = "problem"
    SOLVED = "solved"
    STOPPED = "stopped"


_WIDTH: Final = max(len(word) for word in Word)


class Log:
    """Writes events as lines. `write` takes one line with its end; `today` is the time of day in UTC."""

    def __init__(
        self,
        write: Callable[[str], object],
        today: Callable[[], datetime],
        *,
        form: LogFormat = LogFormat.TEXT,
        secrets: Sequence[str] = (),
    ) -> None:
        self._write = write
        self._today = today
        self._form = form
        # The longest first: one secret may hold another.
        self._secrets = sorted((secret for secret in secrets if secret), key=len, reverse=True)
        self._tokens: deque[str] = deque(maxlen=MOST_TOKENS)

    def conceal(self, token: str) -> None:
        """Hide this from now on too; of those that came this way, the last `MOST_TOKENS`."""
        if token not in self._tokens:
            self._tokens.append(token)

    def event(self, word: Word, sentence: str, **values: Value) -> None:
        """Write one line without the values that are None. A log that cannot be written stops nothing."""
        shown = {key: self._shown(value) for key, value in values.items() if value is not None}
        line = _RENDER[self._form](stamp(self._today()), word, sentence, shown)
        try:
            self._write(self.hide(line) + "\n")
        except OSError:
            return

    def hide(self, text: str) -> str:
        """Take the secrets out of a text."""
        for secret in (*self._tokens, *self._secrets):
            text = text.replace(secret, HIDDEN)
        return text

    def _shown(self, value: Value) -> str | int | float | bool | list[str]:
        if isinstance(value, str):
            return self._bounded(value)
        if isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return round(value, 3)
        items = list(value or ())
        more = [f"and {len(items) - MOST_ITEMS} more"] if len(items) > MOST_ITEMS else []
        return [self._bounded(item) for item in items[:MOST_ITEMS]] + more

    def _bounded(self, text: str) -> str:
        text = self.hide(text)  # before it is cut: half a secret would not be found
        return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."


def stamp(at: datetime) -> str:
    """Give a time as the log and `/status` show it: `2026-11-21T06:00:00.123Z`."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _text(at: str, word: Word, sentence: str, values: Mapping[str, object]) -> str:
    end = "".join(f" {key}={_quoted(value)}" for key, value in values.items())
    return f"{at} {word.upper():<{_WIDTH}} {sentence}.{end}"


def _json(at: str, word: Word, sentence: str, values: Mapping[str, object]) -> str:
    return json.dumps({"time": at, "event": word, "message": f"{sentence}.", **values})


_RENDER: Final = {LogFormat.TEXT: _text, LogFormat.JSON: _json}


def _quoted(value: object) -> str:
    if isinstance(value, list):
        value = ",".join(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    # JSON's quoting keeps a line one line, whatever a server calls its models.
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


class Bridge(logging.Handler):
    """Brings what libraries log (asyncio's forgotten exceptions, for example) into our lines."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as a problem; of an exception only its kind and text."""
        error = record.exc_info[1] if record.exc_info else None
        detail = record.getMessage() if error is None else f"{record.getMessage()}: {error!r}"
        self._log.event(
            Word.PROBLEM,
            Reason.INTERNAL_ERROR.sentence,
            reason=Reason.INTERNAL_ERROR,
            source=record.name,
            detail=detail,
        )
