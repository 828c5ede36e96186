"""What a cluster is called if nobody names it: the uid of its namespace kube-system."""

from __future__ import annotations

import asyncio
from typing import Final

from webhook.kube.api import Api, ApiError
from webhook.log import Log

# Every cluster has it (the API server makes it anew: pkg/controlplane/controller/systemnamespaces), and it
# lives as long as the cluster does; OpenTelemetry's `k8s.cluster.uid` is the same.
_PATH: Final = "/api/v1/namespaces/kube-system"
# Seconds between two attempts.
_AGAIN: Final = 2.0


async def cluster_uid(api: Api, log: Log) -> str:
    """Ask for it until there is an answer; what is in the way is said once. Right: `get` of kube-system."""
    said = ""
    while True:
        try:
            found = await api.get(_PATH)
            return str(found["metadata"]["uid"])
        except ApiError as error:
            problem = f"{error.status} {error.reason}"
            if problem != said:
                said = problem
                log.say("PROBLEM", f"This cluster's id is not known, --cluster-id gives one: {error}")
        await asyncio.sleep(_AGAIN)
