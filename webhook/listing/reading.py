"""Asks the API server and LiteLLM for what is listed; nothing is written."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from webhook.broker import table
from webhook.broker.own_rows import OwnRow
from webhook.broker.row_index import known_row
from webhook.broker.shapes import Holder, RefusedError
from webhook.broker.table import Sending
from webhook.broker.upstream import FaultError, Upstream, read_key, trust
from webhook.config import ConfigError
from webhook.flags import SettingsError
from webhook.kube.api import Api, ApiError
from webhook.kube.identity import asked_uid
from webhook.kube.our_pods import PODS, SELECTORS
from webhook.listing.found import pod_of, row_of
from webhook.listing.join import joined
from webhook.listing.settings import ENV_KEY, Settings
from webhook.listing.shapes import Difference, Found, Listing, Pod, Row
from webhook.reaper.seen import node_ready, says_gone

_NODES: Final = "/api/v1/nodes"
_FORBIDDEN: Final = 403
# How many pods are asked for one by one at a time.
_AT_ONCE: Final = 8


class CannotTellError(Exception):
    """Kubernetes or LiteLLM cannot be asked; the message says which and why, without a secret."""


async def asked(settings: Settings, key: str, context: str, namespace: str) -> Listing:
    """Open both ways and ask; `key` is LiteLLM's where no file of it is named.

    Raises SettingsError for a key or CA that cannot be read, CannotTellError.
    """
    async with _way(settings, key) as upstream:
        try:
            api = await Api.connect(settings.kubeconfig, context)
            try:
                cluster = settings.cluster_id or await asked_uid(api)
                found, notes = await read(api, upstream, cluster, namespace)
            finally:
                await api.close()
        except ApiError as error:
            raise CannotTellError(f"the Kubernetes API: {error}") from None
        except RefusedError as error:
            raise CannotTellError(error.message) from None
        except FaultError as error:
            raise CannotTellError(f"LiteLLM answers the question for its rows with {error}") from None
    return Listing(cluster, namespace, joined(found, cluster), notes)


def _way(settings: Settings, key: str) -> Upstream:
    file = settings.litellm_key_file
    origin = f"--litellm-key-file {file!r}" if file else ENV_KEY
    try:
        key = read_key(Path(file).read_text() if file else key)
        origin = "--litellm-ca"
        upstream = Upstream(settings.litellm_url, trust(settings.litellm_ca))
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise SettingsError([f"{origin}: {error}"]) from None
    upstream.use(key)
    return upstream


async def read(api: Api, upstream: Sending, cluster: str, namespace: str) -> tuple[Found, list[str]]:
    """Read pods, nodes and rows, of one namespace or (empty) of all, and say what could not be told.

    Rights: `list` and `get` on pods; `list` on nodes, if it is to be told whether they are Ready. Raises
    ApiError, RefusedError and FaultError.
    """
    notes: list[str] = []
    # Before the rows: of a pod that comes between the two it is known that it is there (`_absent`).
    pods = {pod.uid: pod async for pod in _pods(api, namespace)}
    nodes = await _nodes(api, notes)
    rows, names = await _rows(upstream, cluster, namespace)
    if not names:
        notes.append(
            "LiteLLM shows no row at all: it has none, or has not read its database yet; ask again later"
        )
    absent: dict[str, Difference] = {}
    for missed in await _absent(api, (row for row in rows.values() if row.own.pod_uid not in pods)):
        if isinstance(missed, Pod):
            pods[missed.uid] = missed
        else:
            absent.update([missed])
    return Found(pods, rows, absent, nodes, names), notes


async def _pods(api: Api, namespace: str) -> AsyncGenerator[Pod, None]:
    path = f"/api/v1/namespaces/{namespace}/pods" if namespace else PODS
    for selector in SELECTORS:
        async with aclosing(api.pages(path, selector)) as pages:
            async for page in pages:
                for found in page.get("items") or ():
                    if pod := pod_of(found):
                        yield pod


async def _nodes(api: Api, notes: list[str]) -> dict[str, bool] | None:
    """Tell of each node whether it is Ready; who may not ask for nodes sees the rest all the same."""
    ready: dict[str, bool] = {}
    try:
        async with aclosing(api.pages(_NODES)) as pages:
            async for page in pages:
                ready |= {node["metadata"]["name"]: node_ready(node) for node in page.get("items") or ()}
    except ApiError as error:
        if error.status != _FORBIDDEN:
            raise
        notes.append(f"Whether nodes are Ready is not told: {error}")
        return None
    return ready


async def _rows(
    upstream: Sending, cluster: str, namespace: str
) -> tuple[dict[str, Row], dict[str, frozenset[Holder]]]:
    """Give the rows of this cluster by id, and of every name in LiteLLM whose rows it leads to."""
    names: defaultdict[str, set[Holder]] = defaultdict(set)

    def keep(shown: Mapping[str, Any]) -> Row | None:
        if known := known_row(shown):
            for name in known.names - {known.id}:
                names[name].add(known.holder)
        row = row_of(shown, cluster)
        return row if row and namespace in ("", row.own.namespace) else None

    rows = await table.whole(upstream, keep)
    return {row.own.id: row for row in rows}, {name: frozenset(found) for name, found in names.items()}


async def _absent(api: Api, rows: Iterable[Row]) -> list[Pod | tuple[str, Difference]]:
    """Ask for the pods of these rows by name: one may have come meanwhile, or lost its label.

    Gives the pods that are there, and of others the uid with what became of them.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(row: OwnRow) -> Pod | tuple[str, Difference]:
        try:
            async with slots:
                found = await api.get(f"/api/v1/namespaces/{row.namespace}/pods/{row.pod}")
        except ApiError as error:
            if not says_gone(row, error.status, error.reason, error.about):
                raise
            return row.pod_uid, Difference.POD_GONE
        pod = pod_of(found)
        return pod if pod and pod.uid == row.pod_uid else (row.pod_uid, Difference.POD_REPLACED)

    return await asyncio.gather(*(ask(row) for row in {row.own.pod_uid: row.own for row in rows}.values()))
