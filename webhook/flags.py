"""Settings of a process: fields of a dataclass, each with flag, variable, meaning and default.

`stop_delay` is `--stop-delay` and `WEBHOOK_STOP_DELAY`; the flag wins, an empty variable counts as not set.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ENV_PREFIX: Final = "WEBHOOK_"
_CLUSTER: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
# What of a URL may be a secret (RFC 3986, sections 3.2.1 and 3.4).
_HIDDEN_OF_URLS: Final = re.compile(r"(?<=://)[^/]*(?=@)|(?<=\?).+", re.DOTALL)

T = TypeVar("T", bound="DataclassInstance")


class SettingsError(ValueError):
    """Settings are missing or bad; each of `problems` names the flag, what was found and what is allowed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def setting(meaning: str, read: Callable[[str], Any] = str, allowed: str = "") -> dict[str, Any]:
    """Give a field's metadata. `read` raises ValueError for a text that is not `allowed`."""
    return {"meaning": meaning, "read": read, "allowed": allowed}


def one_of(kind: type[StrEnum]) -> tuple[Callable[[str], Any], str]:
    """Read one of the words of an enumeration."""
    return kind, " | ".join(kind)


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value < 65536:  # noqa: PLR2004 - the range of TCP ports; 0 takes a free one
        raise ValueError
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError
    return value


def _cluster(text: str) -> str:
    if text and _CLUSTER.fullmatch(text) is None:
        raise ValueError
    return text


CLUSTER_ID: Final = (
    _cluster,
    "up to 128 letters, digits, '.', '_' and '-', first and last a letter or digit",
)
PORT: Final = (_port, "a port from 0 (any free one) to 65535")
SECONDS: Final = (_seconds, "a number of seconds, 0 or more")


def flag(item: Field[Any]) -> str:
    """Give a setting's flag."""
    return "--" + item.name.replace("_", "-")


def variable(item: Field[Any]) -> str:
    """Give a setting's environment variable."""
    return ENV_PREFIX + item.name.upper()


def help_of(item: Field[Any]) -> str:
    """Say what a setting is, for argparse: meaning, what is allowed, default and variable."""
    allowed = item.metadata["allowed"]
    value = ",".join(item.default) if isinstance(item.default, tuple) else item.default
    default = "required" if value is MISSING else f"default: {value or '(empty)'}"
    text = f"{item.metadata['meaning']}{f' ({allowed})' if allowed else ''}; {default} [{variable(item)}]"
    return text.replace("%", "%%")


def read(cls: type[T], flags: Mapping[str, str | None], environ: Mapping[str, str]) -> T:
    """Take each setting from its flag (by field name), else its variable, else its default.

    Raises SettingsError with everything that is wrong.
    """
    found: dict[str, Any] = {}
    problems: list[str] = []
    for item in fields(cls):
        origin, text = _given(item, flags, environ)
        if text is None:
            if item.default is MISSING:
                problems.append(f"{flag(item)} (or {variable(item)}) is missing: {item.metadata['meaning']}")
            continue
        try:
            found[item.name] = item.metadata["read"](text)
        except ValueError:
            problems.append(f"{origin}: found {without_secrets(text)!r}, allowed: {item.metadata['allowed']}")
    if problems:
        raise SettingsError(problems)
    return cls(**found)


def without_secrets(text: str) -> str:
    """Give a text, but of a URL in it neither user and password nor the query."""
    return _HIDDEN_OF_URLS.sub("[hidden]", text)


def _given(
    item: Field[Any], flags: Mapping[str, str | None], environ: Mapping[str, str]
) -> tuple[str, str | None]:
    text = flags.get(item.name)
    if text is not None:
        return flag(item), text
    return variable(item), environ.get(variable(item)) or None
