"""What is counted of what lives. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from webhook.reasons import Reason


@dataclass(frozen=True, slots=True)
class PodFigures:
    """Living pods: with a registrar; of these, where it has not started; without one, by the reason."""

    injected: int
    not_started: int
    missed: Mapping[Reason, int]


@dataclass(frozen=True, slots=True)
class Judged:
    """Servers that were judged `at` a time (seconds since 1970), and those that would be refused."""

    at: float
    judged: int
    refused_now: int
    refused_later: int
