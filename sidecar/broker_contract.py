"""What registrar, webhook and broker share beyond LiteLLM's own admin API.

A leaf of the contract, standard library only; names here are only ever added.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
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

DEFAULT_AUDIENCE: Final = "litellm-registrar.io"
TOKEN_VOLUME: Final = "litellm-registrar-token"  # noqa: S105 - the name of a volume
TOKEN_MOUNT: Final = "/var/run/secrets/litellm-registrar.io"  # noqa: S105 - a folder
TOKEN_FILE: Final = "token"  # noqa: S105 - the file's name in it


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
