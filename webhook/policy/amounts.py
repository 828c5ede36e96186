"""What the containers of a pod ask for together, as the scheduler adds it up. Pure.

Source: PodRequests and PodLimits in Kubernetes' staging/src/k8s.io/component-helpers/resource/helpers.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from webhook.pods import ContainerKind
from webhook.policy.subject import Container


def total(asked: Iterable[tuple[Container, Decimal]]) -> Decimal:
    """Add up what containers (in the pod's order, init containers first) ask of one resource.

    Init containers run one after the other, so the largest of them counts, if it is more than what runs
    later; native sidecars (`restartPolicy: Always`) run beside all that follow. A pod's overhead is not in
    it: the API server adds that, and no template has it.
    """
    running = sidecars = largest = Decimal(0)
    for container, amount in asked:
        if container.kind is not ContainerKind.INIT:
            running += amount
        elif container.raw.get("restartPolicy") == "Always":
            sidecars += amount
        else:
            largest = max(largest, sidecars + amount)
    return max(largest, sidecars + running)
