"""Regular expressions of owners, held to a form that cannot take long to match. Pure, no imports of ours."""

from __future__ import annotations

import functools
import re
from typing import Final

# Longer ids are never matched; LiteLLM's own names are far shorter.
MAX_TEXT: Final = 512
MAX_PATTERN: Final = 512


def checked(text: str) -> str:
    """Give the pattern back if it is a good one. Raises ValueError saying what is wrong and where."""
    _compiled(text)
    return text


def found(pattern: str, text: str) -> bool:
    """Tell whether the pattern is found anywhere in the text (`^` and `$` anchor it)."""
    return len(text) <= MAX_TEXT and _compiled(pattern).search(text) is not None


@functools.lru_cache(maxsize=64)
def _compiled(text: str) -> re.Pattern[str]:
    if len(text) > MAX_PATTERN:
        raise ValueError(f"longer than {MAX_PATTERN} characters")
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(str(error)) from None
