"""Patterns of short texts, as of tags and label values: `*` stands for any characters. Pure.

For sources and images, which have components, there are the globs of `webhook.sources`.
"""

from __future__ import annotations


def matches(pattern: str, text: str) -> bool:
    """Tell whether the whole text is of the pattern; the time is linear in both."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
