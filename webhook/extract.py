"""From a pod to where its models and its code come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.contract import Engine
from webhook.sources.found import Extract


def extract(pod: Mapping[str, Any], engine: Engine | None, path: str = "spec") -> Extract:
    """Find every source and switch of a pod whose spec stands at `path`; what cannot be known is named.

    `engine` is what the pod's label says, None if it says nothing of ours. Never raises.
    """
    raise NotImplementedError
