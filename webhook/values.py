"""Texts that people write into annotations, read into typed values.

Each function raises ValueError for what it does not take; with a sentence only where the list of what is
allowed would not tell it all.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final

# What a name-template may hold; the registrar fills it in per model.
PLACEHOLDERS: Final = ("model", "namespace", "pod", "engine")
_SECONDS_PER: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+", re.ASCII)
_DURATION_PART: Final = re.compile(r"([\d.]+)(ms|s|m|h)", re.ASCII)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_DIGITS: Final = re.compile(r"\d{1,5}", re.ASCII)
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
# RFC 1123, as Kubernetes checks names of containers (label) and of Secrets (subdomain).
DNS_LABEL: Final = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?")
DNS_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_URL_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
# The reference grammar of github.com/distribution/reference, without its length limits.
IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*(@[a-z0-9]+:[0-9a-f]{32,})?")
_MAX_NAME: Final = 253
_MAX_PORT: Final = 65535


def matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    """Give a parser that takes what the whole pattern matches."""

    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return parse


def one_of(*values: str) -> Callable[[str], str]:
    """Give a parser that takes one of these values, and gives it back as it stands here."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError
        return values[values.index(text)]

    return parse


def between(low: float, high: float) -> Callable[[str], float]:
    """Give a parser of durations from `low` to `high` seconds: `30`, `30s`, `2m`, `1h30m`, `500ms`."""

    def parse(text: str) -> float:
        if _NUMBER.fullmatch(text):
            seconds = float(text)
        elif _DURATION.fullmatch(text):
            seconds = sum(float(n) * _SECONDS_PER[unit] for n, unit in _DURATION_PART.findall(text))
        else:
            raise ValueError
        if not low <= seconds <= high:
            raise ValueError
        return seconds

    return parse


def port(text: str) -> int:
    """Read the number of a TCP port."""
    if not _DIGITS.fullmatch(text) or not 0 < int(text) <= _MAX_PORT:
        raise ValueError
    return int(text)


def host(text: str) -> str:
    """Read a DNS name or an IP address, with or without the brackets of IPv6; gives it without."""
    if DNS_NAME.fullmatch(text.lower()) and not text.replace(".", "").isdigit():
        return text
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise ValueError from None


def path(text: str) -> str:
    """Read a URL path; gives it without slashes at its end."""
    if not _URL_PATH.fullmatch(text):
        raise ValueError
    return text.rstrip("/")


def is_name(text: str) -> bool:
    """Tell whether this can be a model's name: printable, no blanks around it."""
    return 0 < len(text) <= _MAX_NAME and text.isprintable() and text == text.strip()


def model_name(text: str) -> str:
    """Read a name for a model."""
    if not is_name(text):
        raise ValueError
    return text


def name_template(text: str) -> str:
    """Read a template of names: `{model}` must be in it, other placeholders are known ones."""
    model_name(text)
    names = _PLACEHOLDER.findall(text)
    if unknown := sorted(set(names).difference(PLACEHOLDERS)):
        raise ValueError("unknown " + ", ".join(f"{{{name}}}" for name in unknown))
    if set("{}").intersection(_PLACEHOLDER.sub("", text)):
        raise ValueError("a brace that belongs to no placeholder")
    if "model" not in names:
        raise ValueError("without {model} all models get one name; model-name names a single one")
    return text
