"""`tls change-ca`: asks the replica that leads for another CA, and says what will happen when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from webhook.kube.api import JSON, Api, ApiError
from webhook.tls import certificates, secret
from webhook.tls.live import written
from webhook.tls.rotation import MAX_BUNDLE, Times
from webhook.tls.secret import CHANGE_CA, Held

# Who leads takes a wish up within moments, who takes over from a dead one after the Lease's time. Seconds.
_PATIENCE: Final = 30.0
_LOOK_EVERY: Final = 0.5
_NOT_FOUND: Final = 404


class CannotAskError(Exception):
    """Another CA cannot be asked for; the message says why."""


async def change_ca(api: Api, namespace: str, name: str, say: Callable[[str], object]) -> bool:
    """Ask for another CA in this Secret, say what comes, and tell whether it was taken up within a moment.

    Rights: `get` and `patch` on the Secret. Raises CannotAskError, ApiError.
    """
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    where = f"Secret {namespace}/{name}"
    held = secret.read(await _found(api, path, where))
    if problem := refusal(held):
        raise CannotAskError(f"{where}: {problem}")
    now = time.time()
    await api.merge(path, {"metadata": {"annotations": {CHANGE_CA: written(now)}}})
    say(f"Another CA is asked for, by the annotation {CHANGE_CA} on {where}.\n{plan(held, now, Times())}")
    for _ in range(int(_PATIENCE / _LOOK_EVERY)):
        if not secret.read(await _found(api, path, where)).asked:
            say("The next CA has been made.")
            return True
        await asyncio.sleep(_LOOK_EVERY)
    say(f"Nobody has made it within {_PATIENCE:g} s; who leads next will. Does a replica run?")
    return False


def refusal(held: Held) -> str:
    """Say why another CA cannot be asked for now; empty if it can."""
    if held.ca is None:
        return (
            "found no CA in it that can sign; one is made without being asked for, as soon as a replica leads"
        )
    if held.asked:
        return "another CA is already asked for; it is made as soon as a replica leads"
    if held.next_ca is not None:
        return "a change of CA is under way; ask again when the next CA signs"
    if len(held.bundle) >= MAX_BUNDLE:
        return (
            f"found {len(held.bundle)} certificates in the bundle, which is full; older ones leave it in time"
        )
    return ""


def plan(held: Held, now: float, times: Times) -> str:
    """Say what will happen when, if processes run with these times."""
    signs = now + times.overlap
    gone = signs + times.leaf_gone
    lines = ["What the replica that leads will do, with the times that are set by default:"]
    if held.ca:
        ca = certificates.read(held.ca.certificate)
        lines.append(f"- now: make the next CA, and publish it beside the one of now ({ca.subject})")
    lines += [
        f"- about {written(signs)}, after the overlap: renew the certificate by it, forget the old one's key",
        f"- about {written(gone)}, when nothing signed by it can be alive: publish the old CA no longer",
        "At no time is a certificate served that does not verify against what is published.",
    ]
    return "\n".join(lines)


async def _found(api: Api, path: str, where: str) -> JSON:
    try:
        return await api.get(path)
    except ApiError as error:
        if error.status == _NOT_FOUND:
            raise CannotAskError(f"{where}: found none of that name; --tls-secret makes it") from None
        raise
