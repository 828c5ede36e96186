"""What is known of a model server: the data alone."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.reasons import Reason
from sidecar.servers.facts import NOTHING_KNOWN, Facts


@dataclass(frozen=True, slots=True)
class Model:
    """One model as its server tells it; None is "not known".

    `root` is what was loaded (a path or repository), `parent` the base model of a LoRA adapter, `owner` the
    server's `owned_by`, `place` its place in the server's list; `digest` changes when the files of the same
    name do.
    """

    id: str
    root: str | None = None
    parent: str | None = None
    owner: str | None = None
    digest: str | None = None
    place: int = 0
    facts: Facts = NOTHING_KNOWN


@dataclass(frozen=True, slots=True)
class Answer:
    """The server is well and serves these models, sorted by id; there may be none.

    `gauges` says that requests in flight can be read from the engine's own metrics.
    """

    engine: str
    version: str | None
    models: tuple[Model, ...]
    gauges: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing listens at the address that would be registered."""

    detail: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The server may be there or not, well or not: for this reason."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Asleep:
    """The server says itself that it sleeps: it is well, and serves nothing until it is woken."""

    detail: str


Observation = Answer | Refused | Ambiguous | Asleep
