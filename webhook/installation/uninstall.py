"""`uninstall prepare` and `clean-up`: what goes before everything else, and what nobody else removes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sidecar.contract import LABEL_CARRIED, LABEL_SERVER
from webhook.broker.claims import LABEL as CLAIM
from webhook.broker.known_rows import BELIEVED, Sending
from webhook.broker.shapes import Call, RefusedError, Reply
from webhook.broker.upstream import FaultError
from webhook.installation import remains
from webhook.kube.api import Api, ApiError
from webhook.tls.publication import webhook_configurations

Say = Callable[[str], object]
Sleep = Callable[[float], Awaitable[None]]

# Seconds for every API server to see that a configuration is gone (they watch them), before the webhook goes.
_SETTLE: Final = 2.0
# Their pods end within 45 seconds (terminationGracePeriodSeconds in the chart).
_LOOKS: Final = 40
_LOOK_EVERY: Final = 2.0
# As the broker reads and writes.
_PAGE: Final = 200
_PAGE_SECONDS: Final = 30.0
_WRITE_SECONDS: Final = 60.0
_AT_ONCE: Final = 4
_OK: Final = 200
# LiteLLM's answer to the deletion of a row that is not there (400; litellm/proxy/proxy_server.py, 1.106).
_NO_ROW: Final = b"not found in db"
_NOT_FOUND: Final = 404


async def prepare(api: Api, configurations: Sequence[str], say: Say, sleep: Sleep = asyncio.sleep) -> None:
    """Remove the webhook configurations of these names, and say how many injected pods live on.

    Helm removes configurations last: between, the API server would ask a webhook that is gone. Whatever
    cannot be done is said and no more: it must not hold up an uninstall. Rights: `delete` on these
    configurations, `list` on pods.
    """
    paths = [target.path for target in webhook_configurations(configurations)]
    if await _deleted(api, paths, say):
        await sleep(_SETTLE)
    try:
        by_uid = {
            pod["metadata"]["uid"]: pod
            for label in (LABEL_SERVER, LABEL_CARRIED)
            for pod in await api.list("/api/v1/pods", label)
        }
    except ApiError as error:
        say(f"Pods cannot be counted: {error}")
        return
    living = remains.injected(by_uid.values())
    say(remains.told(living))
    if living:
        say(
            "They go on serving. Nobody keeps their rows in LiteLLM true any more, nor drains them when they "
            "end: delete them, or make them anew without a registrar (rollout restart)."
        )


async def ended(api: Api, namespace: str, selector: str, say: Say, sleep: Sleep = asyncio.sleep) -> None:
    """Wait until pods with these labels have ended: until then they may make again what is removed.

    Not for ever: then it is said, and what comes next is tried all the same. Rights: `list` on pods.
    """
    left = 0
    for look in range(_LOOKS):
        if look:
            await sleep(_LOOK_EVERY)
        try:
            left = len(await api.list(f"/api/v1/namespaces/{namespace}/pods", selector))
        except ApiError as error:
            say(f"Whether webhook and broker have ended cannot be told: {error}")
            return
        if not left:
            return
    say(f"{left} pods of webhook and broker have not ended; what they make again stays.")


async def remove_rows(upstream: Sending, cluster: str, say: Say, sleep: Sleep = asyncio.sleep) -> bool:
    """Remove from LiteLLM the rows of this cluster's registrars, no others; tell whether that went well.

    A replica of LiteLLM shows what another one has made only after a while: so it is looked twice.
    """
    removed: set[str] = set()
    try:
        for last in (False, True):
            found = [key async for row in _rows(upstream) if (key := remains.own_row(row, cluster))]
            for number in range(0, len(found), _AT_ONCE):
                some = found[number : number + _AT_ONCE]
                removed.update(*await asyncio.gather(*(_removed(upstream, key) for key in some)))
            if not last:
                await sleep(BELIEVED)
    except (RefusedError, FaultError) as error:
        say(f"Rows of cluster {cluster} removed: {len(removed)}; then it failed: {error}")
        return False
    say(f"Rows of cluster {cluster} removed from LiteLLM: {len(removed)}.")
    return True


async def remove_objects(api: Api, namespace: str, names: Mapping[str, Iterable[str]], say: Say) -> bool:
    """Remove what the processes made in their namespace, and tell whether all of it is gone.

    `names` are of Secrets, ConfigMaps and Leases, by plural; claims of models' names are Leases with a label
    of ours, whatever they are called. Rights: `delete` on these, `list` and `delete` on Leases.
    """
    paths = [
        f"{_base(plural)}/namespaces/{namespace}/{plural}/{name}"
        for plural, found in names.items()
        for name in found
    ]
    leases = f"{_base('leases')}/namespaces/{namespace}/leases"
    try:
        paths += [f"{leases}/{lease['metadata']['name']}" for lease in await api.list(leases, CLAIM)]
    except ApiError as error:
        say(f"Leases cannot be listed: {error}")
        return False
    return await _deleted(api, paths, say) == len(paths)


def _base(plural: str) -> str:
    return "/apis/coordination.k8s.io/v1" if plural == "leases" else "/api/v1"


async def _deleted(api: Api, paths: Iterable[str], say: Say) -> int:
    """Delete objects, and count those that are gone; each is said."""
    gone = 0
    for path in paths:
        what = "/".join(path.split("/")[-2:])
        try:
            await api.delete(path)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                say(f"Not removed: {what}: {error}")
                continue
        else:
            say(f"Removed: {what}")
        gone += 1
    return gone


async def _rows(upstream: Sending) -> AsyncIterator[Mapping[str, Any]]:
    """Read the whole table. Raises RefusedError."""
    number = 0
    while True:
        number += 1
        query = {"page": str(number), "size": str(_PAGE)}
        reply = await upstream.send(Call("GET", "/v2/model/info", query), _PAGE_SECONDS)
        page = _page(reply)
        for row in page["data"]:
            yield row
        if number * _PAGE >= page["total_count"]:
            return


def _page(reply: Reply) -> dict[str, Any]:
    """Read a page of LiteLLM's table. Raises FaultError for what is none."""
    try:
        page = json.loads(reply.body)
        if reply.status == _OK and isinstance(page["data"], list) and isinstance(page["total_count"], int):
            return dict(page)
    except (ValueError, LookupError, TypeError):
        pass
    raise FaultError(reply)


async def _removed(upstream: Sending, key: str) -> list[str]:
    """Delete a row, and give its id if it was there. Raises RefusedError, FaultError."""
    reply = await upstream.send(Call("POST", "/model/delete", body={"id": key}), _WRITE_SECONDS)
    if reply.status == _OK:
        return [key]
    if _NO_ROW in reply.body:  # another replica showed it still
        return []
    raise FaultError(reply)
