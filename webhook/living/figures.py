"""What is counted of what lives. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from webhook.reasons import Reason


class Kind(NamedTuple):
    """What sort of registrar a pod has, in words of ours alone.

    `contract` is the version of the contract that it was injected with, `other` if we never had such a one;
    `current`: its image is the one that a new pod there gets now.
    """

    contract: str
    current: bool


@dataclass(frozen=True, slots=True)
class PodFigures:
    """Living pods: with a registrar, by its kind; of these, where it has not started; without, by reason."""

    registrars: Mapping[Kind, int]
    not_started: int
    missed: Mapping[Reason, int]

    @property
    def injected(self) -> int:
        """How many have a registrar."""
        return sum(self.registrars.values())


@dataclass(frozen=True, slots=True)
class Judged:
    """Servers that were judged `at` a time (seconds since 1970), and those that would be refused."""

    at: float
    judged: int
    refused_now: int
    refused_later: int
