"""The pod condition `litellm-registrar.io/Registered`: whether a pod gets requests of LiteLLM's, or why not.

Written by the broker as registrars report (`webhook/broker/reports.py`), read by whoever shows it. Pure.

`status` is `True` while at least one model is routable. `reason` is the registrar's state, and behind a
colon the named reason that keeps it from serving, if there is one: `serving`, `waiting:litellm_unreachable`.
That is a form which conditions of Kubernetes may have (meta/v1 Condition, pattern of `reason`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.broker_contract import State
from sidecar.contract import DOMAIN
from webhook.pods import mapping, objects

CONDITION: Final = f"{DOMAIN}/Registered"


@dataclass(frozen=True, slots=True)
class Registered:
    """What the condition says of a pod.

    `state` is None where it is none that is known here. `reason` is the named one, empty if nothing is wrong.
    `since` is its lastTransitionTime, as it is written.
    """

    routable: bool
    state: State | None
    reason: str
    message: str
    since: str

    @property
    def word(self) -> str:
        """Give the condition's own reason: `serving`, `waiting:litellm_unreachable`."""
        state = self.state or ""
        return f"{state}:{self.reason}" if self.reason else state

    def condition(self) -> dict[str, str]:
        """Give it as a pod has it in its status (core/v1 PodCondition)."""
        return {
            "type": CONDITION,
            "status": str(self.routable),
            "reason": self.word,
            "message": self.message,
            "lastTransitionTime": self.since,
        }


def registered(pod: Mapping[str, Any]) -> Registered | None:
    """Read the condition of a pod; None: its registrar has not reported."""
    for _, found in objects(mapping(pod.get("status")).get("conditions")):
        if found.get("type") == CONDITION:
            said = {key: value for key, value in found.items() if isinstance(value, str)}
            state, _, reason = said.get("reason", "").partition(":")
            return Registered(
                routable=said.get("status") == "True",
                state=State(state) if state in set(State) else None,
                reason=reason,
                message=said.get("message", ""),
                since=said.get("lastTransitionTime", ""),
            )
    return None
