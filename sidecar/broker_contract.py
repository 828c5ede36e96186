"""What registrar, webhook and broker share beyond LiteLLM's own admin API.

A leaf of the contract, standard library only; names here are only ever added.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

# In every request of a registrar: its own `CONTRACT_VERSION`. The broker serves two versions to either side.
CONTRACT_HEADER: Final = "X-Registrar-Contract"
# In every answer that is the broker's own and not LiteLLM's: the rule by which it was refused.
RULE_HEADER: Final = "X-Registrar-Rule"
# In an answer to a registrar newer than the broker: the parameters that the broker did not pass on.
LEFT_OUT_HEADER: Final = "X-Registrar-Left-Out"
# The rule of an answer that only asks for patience: a write that found no place in the queue.
BUSY: Final = "busy"
# What the API server says of the pod that asks.
POD_PATH: Final = "/registrar/pod"
# Where a registrar tells its state, after each change of it.
STATE_PATH: Final = "/registrar/state"

DEFAULT_AUDIENCE: Final = "litellm-registrar.io"
TOKEN_VOLUME: Final = "litellm-registrar-token"  # noqa: S105 - the name of a volume
TOKEN_MOUNT: Final = "/var/run/secrets/litellm-registrar.io"  # noqa: S105 - a folder
TOKEN_FILE: Final = "token"  # noqa: S105 - the file's name in it


class State(StrEnum):
    """Where a registrar is."""

    WAITING = "waiting"
    SERVING = "serving"
    BLOCKED = "blocked"
    DRAINING = "draining"
    DRAINED = "drained"


# What a drain spends its time with, in this order (`sidecar/drain.py`), and how it ends.
DRAIN_PHASES: Final = ("deleting", "propagating", "in_flight")
DRAIN_ENDS: Final = ("done", "server_gone", "overdue", "grace_cut")
# The name of a reason in a report: of `sidecar/reasons.py`, also of a newer one.
_REASON: Final = re.compile(r"(?:[a-z][a-z0-9_]{0,62})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How a drain went: one of `DRAIN_ENDS`, the seconds of each phase that it came to, and what it cut.

    `cut` requests were in flight when it ended; None: unknown.
    """

    end: str
    seconds: Mapping[str, float]
    cut: int | None


@dataclass(frozen=True, slots=True)
class StateReport:
    """What a registrar tells the broker of its state.

    `reason` is the name of what keeps it from serving (of `sidecar/reasons.py`; empty: nothing), `message` a
    sentence for people; `warning`: somebody has to look, it does not pass by itself. `models` are routable,
    of `wanted` ones. `routable` is how many seconds it took from the first good answer of the server until it
    served for the first time; told once. `drain` comes with `drained`.
    """

    state: State
    reason: str = ""
    message: str = ""
    warning: bool = False
    models: int = 0
    wanted: int = 0
    routable: float | None = None
    drain: DrainReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Give it as an object of JSON, without what is not known."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_object(cls, found: Mapping[str, Any]) -> Self:
        """Read it back from an object of JSON, whatever else is there. ValueError names the field."""
        state, reason = _text(found, "state"), _text(found, "reason")
        if state not in set(State):
            raise ValueError(f"state: one of {', '.join(State)} is needed")
        if not _REASON.fullmatch(reason):
            raise ValueError("reason: a name of small letters, digits and _ is needed, or nothing")
        return cls(
            State(state),
            reason,
            _text(found, "message"),
            found.get("warning") is True,
            _count(found, "models") or 0,
            _count(found, "wanted") or 0,
            _seconds(found, "routable"),
            _drain(found.get("drain")),
        )


def _drain(found: Any) -> DrainReport | None:
    if not isinstance(found, dict):
        return None
    end, seconds = found.get("end"), found.get("seconds")
    if end not in DRAIN_ENDS or not isinstance(seconds, dict):
        raise ValueError(f"drain: an end of {', '.join(DRAIN_ENDS)} and seconds are needed")
    spent = {phase: taken for phase in DRAIN_PHASES if (taken := _seconds(seconds, phase)) is not None}
    return DrainReport(end, spent, _count(found, "cut"))


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name}: a text is needed")
    return value


def _count(found: Mapping[str, Any], name: str) -> int | None:
    value = found.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ValueError(f"{name}: a whole number, 0 or more, is needed")
    return value


def _seconds(found: Mapping[str, Any], name: str) -> float | None:
    value = found.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: seconds, 0 or more, are needed")
    return float(value)


@dataclass(frozen=True, slots=True)
class PodState:
    """What only the API server knows of a pod.

    `deleting`: it has a deletionTimestamp, or is gone. `grace` is its deletionGracePeriodSeconds, None while
    it is not being deleted, or unknown.
    """

    deleting: bool
    grace: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Give it as an object of JSON."""
        return {"deleting": self.deleting, "grace_period_seconds": self.grace}

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Read it back, whatever else is there. Raises ValueError."""
        found = json.loads(text)
        if not isinstance(found, dict) or not isinstance(deleting := found.get("deleting"), bool):
            raise ValueError("an object with deleting is needed")
        grace = found.get("grace_period_seconds")
        return cls(deleting, grace if isinstance(grace, int) and not isinstance(grace, bool) else None)
