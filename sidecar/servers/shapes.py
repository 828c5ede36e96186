"""What is known of a model server: the data alone."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.reasons import Reason


@dataclass(frozen=True, slots=True)
class Model:
    """One model as its server tells it; None is "not known".

    `root` is what was loaded (a path or repository), `parent` the base model of a LoRA adapter, `mode` one of
    LiteLLM's modes, only where it is certain, `context` the served context length in tokens (not the trained
    one), `owner` the server's `owned_by`; `digest` changes when the files of the same name do.
    """

    id: str
    root: str | None = None
    parent: str | None = None
    mode: str | None = None
    context: int | None = None
    owner: str | None = None
    digest: str | None = None


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


Observation = Answer | Refused | Ambiguous
