"""Every rule there is, in the order in which violations are told and the README lists them."""

from __future__ import annotations

from typing import Final

from webhook.policy import (
    accelerators,
    code,
    egress,
    images,
    metadata,
    model_sources,
    pod_security,
    probes,
    resources,
    scope,
)
from webhook.policy.rule import Rule

RULES: Final[tuple[Rule, ...]] = (
    *model_sources.RULES,
    *code.RULES,
    *images.RULES,
    *accelerators.RULES,
    *resources.RULES,
    *pod_security.RULES,
    *egress.RULES,
    *metadata.RULES,
    *probes.RULES,
    *scope.RULES,
)
# What each group is about.
GROUPS: Final[dict[str, str]] = {
    "modelSources": "where models, tokenizers and adapters come from",
    "code": "code that comes with a model or beside it",
    "images": "the images of a model server's pod",
    "accelerators": "how many GPUs and other accelerators, and how they are asked for",
    "resources": "limits and requests of containers",
    "podSecurity": "what a pod may reach of its node",
    "egress": "what a pod reaches outside, and secrets that lie open in it",
    "metadata": "labels and annotations that say whose a pod is",
    "probes": "what tells Kubernetes that the server is well",
    "scope": "pods that nobody labelled, and labels that are taken away",
}
