"""What a cluster is called if nobody names it: the uid of its namespace kube-system."""

from __future__ import annotations

import asyncio
from typing import Final

from webhook.kube.api import Api, ApiError, Reading
from webhook.log import Log
from webhook.pods import mapping

# Every cluster has it (the API server makes it anew: pkg/controlplane/controller/systemnamespaces), and it
# lives as long as the cluster does; OpenTelemetry's `k8s.cluster.uid` is the same.
PATH: Final = "/api/v1/namespaces/kube-system"
# Seconds between two attempts.
_AGAIN: Final = 2.0


async def asked_uid(api: Reading) -> str:
    """Ask for it once. Right: `get` of kube-system. Raises ApiError, for an answer without one too."""
    uid = mapping((await api.get(PATH)).get("metadata")).get("uid")
    if not isinstance(uid, str) or not uid:
        raise ApiError(0, "BadAnswer", f"GET {PATH}: a namespace without uid")
    return uid


async def cluster_uid(api: Api, log: Log) -> str:
    """Ask for it until there is an answer; what is in the way is said once. Right: `get` of kube-system."""
    said = ""
    while True:
        try:
            return await asked_uid(api)
        except ApiError as error:
            problem = f"{error.status} {error.reason}"
            if problem != said:
                said = problem
                log.say("PROBLEM", f"This cluster's id is not known, --cluster-id gives one: {error}")
        await asyncio.sleep(_AGAIN)
