"""Two doors beside the labelled pods: whether a model server may run without the label, or lose it.

They are doors of the webhook, not rules over a pod: what comes through them is told by comparing requests,
so these fields only say what becomes of it.
"""

from __future__ import annotations

from typing import Final

from sidecar.contract import LABEL_SERVER
from webhook.policy.kinds import Choice
from webhook.policy.rule import Rule

_GROUP: Final = "scope"

RULES: Final = (
    Rule(
        _GROUP,
        "requireLabel",
        Choice(),
        f"a pod with a vLLM or Ollama image and without the label `{LABEL_SERVER}`",
    ),
    Rule(_GROUP, "keepLabel", Choice(), f"the label `{LABEL_SERVER}` is taken from a running pod"),
    Rule(_GROUP, "imageChange", Choice(), "an image of a running model server's pod is changed"),
)
