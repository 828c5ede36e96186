"""Kinds of single values of a row in LiteLLM: as text in an annotation, or as a JSON value. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sidecar.contract import LITELLM_REFERENCE
from webhook import values
from webhook.documents import MAX_WHOLE

_NO_REFERENCE: Final = f"not beginning with {LITELLM_REFERENCE}"

# What a model is asked for, of LiteLLM's values of model_info.mode (litellm/types/utils.py) those that the
# registrar's engines can serve.
MODES: Final = ("chat", "completion", "embedding", "rerank", "audio_transcription")

_WHOLE: Final = re.compile(r"\d{1,16}", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,16}(?:\.\d{1,30})?(?:[eE][-+]?\d{1,3})?", re.ASCII)
_BUDGET: Final = re.compile(r"[1-9]\d{0,4}(?:s|m|h|d|mo)", re.ASCII)
_MAX_ITEMS: Final = 32
_MAX_NAME: Final = 253


@dataclass(frozen=True, slots=True)
class Kind:
    """`allowed` is what people are told, `takes` tells of a JSON value whether it is one.

    `read` makes one of a text; it raises ValueError for a text that it cannot read at all.
    """

    allowed: str
    takes: Callable[[Any], bool]
    read: Callable[[str], Any]

    def parse(self, text: str) -> Any:
        """Read an annotation's text. Raises ValueError."""
        return self.check(self.read(text))

    def check(self, value: Any) -> Any:
        """Give a JSON value back if it is of this kind. Raises ValueError."""
        if not self.takes(value):
            raise ValueError
        return value


def _whole_text(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError
    return int(text)


def _number_text(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return float(text)


def _flag_text(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any, length: int = _MAX_NAME) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= length
        and value.isprintable()
        and value == value.strip()
        and not value.startswith(LITELLM_REFERENCE)
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= _MAX_ITEMS and all(map(_is_text, value))


def text(length: int) -> Kind:
    """Give the kind of one line of text."""
    return Kind(
        f"1 to {length} printable characters, no blanks around them, {_NO_REFERENCE}",
        lambda v: _is_text(v, length),
        str,
    )


def one_of(*names: str) -> Kind:
    """Give the kind of one of these words."""
    return Kind(" or ".join(f"`{name}`" for name in names), lambda v: isinstance(v, str) and v in names, str)


COUNT: Final = Kind(
    f"a whole number from 1 to {MAX_WHOLE}",
    lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 < v <= MAX_WHOLE,
    _whole_text,
)
RETRIES: Final = Kind(
    "a whole number from 0 to 100",
    lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 100,  # noqa: PLR2004 - said in the text
    _whole_text,
)
PRICE: Final = Kind(
    "a number from 0 to 1000, like `0.0000005` or `5e-7`",
    lambda v: _is_number(v) and 0 <= v <= 1000,  # noqa: PLR2004 - said in the text
    _number_text,
)
MONEY: Final = Kind("a number, 0 or more", lambda v: _is_number(v) and v >= 0, _number_text)
SECONDS: Final = Kind(
    "more than 0s, up to 24h, like `30`, `30s`, `2m` or `500ms`; in JSON a number of seconds",
    lambda v: _is_number(v) and 0 < v <= 86400,  # noqa: PLR2004 - said in the text
    values.between(0, 86400),
)
FLAG: Final = Kind("`true` or `false`", lambda v: isinstance(v, bool), _flag_text)
NAME: Final = text(_MAX_NAME)
TEXTS: Final = Kind(
    f"1 to {_MAX_ITEMS} texts of 1 to {_MAX_NAME} printable characters, {_NO_REFERENCE}, "
    "separated by commas; in JSON a list",
    _are_texts,
    _items,
)
BUDGET_DURATION: Final = Kind(
    "a time like `30s`, `1h`, `7d` or `1mo`", lambda v: isinstance(v, str) and bool(_BUDGET.fullmatch(v)), str
)
MODE: Final = one_of(*MODES)
