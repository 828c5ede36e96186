"""`uninstall prepare` and `clean-up`: what goes before everything else, and what nobody else removes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from sidecar.contract import LABEL_CARRIED, LABEL_SERVER
from webhook.broker import table
from webhook.broker.claims import LABEL as CLAIM
from webhook.broker.known_rows import BELIEVED
from webhook.broker.own_rows import own_row
from webhook.broker.shapes import Call, RefusedError
from webhook.broker.table import Sending
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
# As the broker writes.
_WRITE_SECONDS: Final = 60.0
_AT_ONCE: Final = 4
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
            found = await table.whole(upstream, lambda row: own_row(row, cluster) or None)
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


async def _removed(upstream: Sending, key: str) -> list[str]:
    """Delete a row, and give its id if it was there. Raises RefusedError, FaultError."""
    reply = await upstream.send(Call("POST", "/model/delete", body={"id": key}), _WRITE_SECONDS)
    return [key] if table.deleted(reply, key) else []  # another replica showed it still
