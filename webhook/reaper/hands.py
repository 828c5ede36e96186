"""Writes one row, each time after fresh proof: what a watch or a reading has told is not enough."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from sidecar.row_contract import NODE_NOT_READY, REAPER_KEY
from webhook.broker import table
from webhook.broker.known_rows import KnownRows
from webhook.broker.own_rows import OwnRow, read_own
from webhook.broker.shapes import Call, Caller, Reply
from webhook.broker.table import Sending
from webhook.broker.upstream import FaultError
from webhook.kube.api import ApiError, Reading
from webhook.kube.identity import asked_uid
from webhook.pods import mapping, objects
from webhook.reaper.ledger import NotLeadingError
from webhook.reaper.seen import fate, node_ready, says_gone, seen_pod
from webhook.reaper.shapes import Reason

# Seconds: a look takes milliseconds; a write up to 30 where LiteLLM is overloaded (measured, 1.106.2).
_LOOK_SECONDS: Final = 10.0
_WRITE_SECONDS: Final = 60.0
_OK: Final = 200
_NOT_FOUND: Final = 404


class OtherClusterError(Exception):
    """The API server that answers is not the one of the cluster that it was at the start."""


class WithoutBlockError(Exception):
    """LiteLLM takes `blocked` and does not block: it is too old."""


class Hands:
    """The reaper's, by the rights `get` on pods, nodes and the namespace kube-system, and LiteLLM's key.

    Every method raises NotLeadingError, OtherClusterError, ApiError, and what LiteLLM answered: FaultError,
    or RefusedError if it could not be asked.
    """

    def __init__(
        self, api: Reading, upstream: Sending, rows: KnownRows, cluster: str, leading: Callable[[], bool]
    ) -> None:
        """Write rows of this `cluster`, by its name in LiteLLM, while `leading`."""
        self._api = api
        self._upstream = upstream
        self._rows = rows
        self._cluster = cluster
        self._leading = leading
        self._uid = ""

    @property
    def knows_cluster(self) -> bool:
        """Whether it has been asked which cluster this is."""
        return bool(self._uid)

    async def same_cluster(self) -> None:
        """Hold the cluster against the one that was there at the first time."""
        uid = await asked_uid(self._api)
        self._uid = self._uid or uid
        if uid != self._uid:
            raise OtherClusterError

    async def fate(self, row: OwnRow) -> Reason | None:
        """Ask for a row's pod, and tell why it has none any more; None: it has one."""
        try:
            pod = await self._api.get(_pod(row))
        except ApiError as error:
            if says_gone(row, error.status, error.reason, error.about):
                return Reason.POD_GONE
            raise
        return fate(row, pod)

    async def remove(self, row: OwnRow) -> Reason | None:
        """Remove a row whose pod is gone, and tell why; None: the pod is there, or no row any more."""
        _, why = await asyncio.gather(self.same_cluster(), self.fate(row))
        if why is None or not self._is(row, await self._shown(row)):
            return None
        call = Call("POST", "/model/delete", body={"id": row.id})
        reply = await self._write(call)
        done = table.deleted(reply, row.id)
        self._rows.wrote(call, reply, Caller(row.namespace, row.pod, row.pod_uid))
        return why if done else None

    async def block(self, row: OwnRow, node: str) -> bool:
        """Block a row whose pod's node is not Ready; False: it is, or somebody else has blocked it.

        Raises WithoutBlockError too.
        """
        pod, ready, _ = await asyncio.gather(self._living(row), self._ready(node), self.same_cluster())
        if pod is None or pod.node != node or ready:
            return False
        found = await self._settled(row, {})
        if found is None or found.blocked or found.by_reaper:
            return False
        news = {"blocked": True, "model_info": {REAPER_KEY: NODE_NOT_READY}}
        written = await self._settled(row, news)
        if written is not None and not written.blocked:
            raise WithoutBlockError
        return written is not None

    async def unblock(self, row: OwnRow) -> bool:
        """Take back the reaper's own block; False: there is none, or the pod or its node is not well."""
        pod, _ = await asyncio.gather(self._living(row), self.same_cluster())
        if pod is None or pod.deleting or not await self._ready(pod.node):
            return False
        found = await self._settled(row, {})
        if found is None or found.by_reaper != NODE_NOT_READY:
            return False
        # one that a person has unblocked loses only the reaper's word
        free = {"blocked": False} if found.blocked else {}
        written = await self._settled(row, {**free, "model_info": {REAPER_KEY: ""}})
        return written is not None and found.blocked

    async def _living(self, row: OwnRow) -> Any:
        """Give a row's pod as it is now, None if it is gone."""
        try:
            pod = await self._api.get(_pod(row))
        except ApiError as error:
            if says_gone(row, error.status, error.reason, error.about):
                return None
            raise
        seen = seen_pod(pod)
        return seen if seen.uid == row.pod_uid and not seen.ended else None

    async def _ready(self, node: str) -> bool:
        try:
            return node_ready(await self._api.get(f"/api/v1/nodes/{node}"))
        except ApiError as error:
            if (error.status, error.reason, error.about) == (_NOT_FOUND, "NotFound", f"nodes/{node}"):
                return False
            raise

    async def _shown(self, row: OwnRow) -> Mapping[str, Any]:
        """Look a row up: in a replica's memory, then in the database."""
        call = Call("GET", "/v2/model/info", {"modelId": row.id, "size": "1"})
        reply = await self._upstream.send(call, _LOOK_SECONDS)
        shown = _object(reply).get("data")
        if reply.status != _OK or not isinstance(shown, list):
            raise FaultError(reply)
        return next((found for _, found in objects(shown)), {})

    async def _settled(self, row: OwnRow, news: Mapping[str, Any]) -> OwnRow | None:
        """Change a row, and give it as the database has it; None: it is not there, or not ours.

        Without news it is a look that no replica's memory answers.
        """
        info = {"id": row.id, **news.get("model_info", {})}
        call = Call("PATCH", f"/model/{row.id}/update", body={**news, "model_info": info})
        reply = await self._write(call)
        if reply.status == _NOT_FOUND and b"not found" in reply.body:
            return None
        if reply.status != _OK:
            raise FaultError(reply)
        answer = _object(reply)
        found = {**mapping(answer.get("model_info")), "id": row.id}
        settled = read_own({**answer, "model_info": found}, self._cluster)
        if settled is not None:
            self._rows.learned(settled)
        return settled

    async def _write(self, call: Call) -> Reply:
        if not self._leading():
            raise NotLeadingError
        return await self._upstream.send(call, _WRITE_SECONDS)

    def _is(self, row: OwnRow, shown: Mapping[str, Any]) -> bool:
        found = read_own(shown, self._cluster)
        return found is not None and (found.id, found.pod_uid) == (row.id, row.pod_uid)


def _pod(row: OwnRow) -> str:
    return f"/api/v1/namespaces/{row.namespace}/pods/{row.pod}"


def _object(reply: Reply) -> Mapping[str, Any]:
    try:
        return mapping(json.loads(reply.body))
    except (ValueError, RecursionError):
        return {}
