"""Own certificates before a real API server: renewed, changed, their leader killed, all under load."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.peers.broker import NAMESPACE
from tests.peers.cluster import Cluster
from tests.peers.rotating import SECRET, Rotating, configuration, rotating

pytestmark = [pytest.mark.kube, pytest.mark.timeout(1800)]


async def test_no_call_fails_over_a_life_of_certificates(
    cluster: Cluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Two replicas, a create loop: renewal, CA change, kill -9 of the leader, wiped bundle, lost Secret.

    Every pod gets its registrar and every handshake verifies against what is published at that moment; only
    the moment of the kill itself, and that of the wiped bundle, is not looked at.
    """
    async with rotating(cluster, tmp_path) as it:
        await renewed(it)
        await ca_changed(it)
        await leader_killed(it)
        back = round(await bundle_wiped(it), 2)
        record_property("bundle_back_after_seconds", back)
        await secret_lost(it)
        assert (it.pods.failed, it.handshakes.failed) == ([], [])
        assert it.front.connections > 100  # the calls made handshakes again and again
        print(f"{it.pods.sent} pods, {it.handshakes.sent} handshakes, {it.front.connections} connections")
        print(f"a wiped bundle was back after {back} s")


async def renewed(it: Rotating) -> None:
    """See both replicas serve another certificate by the same CA after two thirds of its life."""
    before = await it.secret("ca.crt")
    await it.until_renewed()
    assert await it.secret("ca.crt") == before
    assert before in await it.bundle()


async def ca_changed(it: Rotating) -> None:
    """See the new CA join the old one, sign after the overlap, and be alone in the end."""
    old = await it.secret("ca.crt")
    assert "Another CA is asked for" in await it.change_ca()
    await it.until_published(2)
    assert await it.secret("ca.crt") == old
    await it.until_renewed()
    new = await it.secret("ca.crt")
    assert new != old
    assert old in await it.bundle()
    await it.until_published(1)
    assert await it.bundle() == new


async def leader_killed(it: Rotating) -> None:
    """See the other replica lead within the Lease's time, and renew; the killed one comes back."""
    # Of a whole life of 45 s the Lease takes up to 17.
    await it.until_renewed()
    leader = await it.leader()
    async with it.rest():
        leader.kill()
        await it.until_left(leader)
    assert await it.leader() is not leader
    await it.until_renewed()
    await asyncio.to_thread(leader.start)


async def bundle_wiped(it: Rotating) -> float:
    """Wipe the bundle, as an installer does that applies its manifest anew; give how long it was away."""
    path = it.cluster.work / "wiping.yaml"
    path.write_text(configuration(f"https://127.0.0.1:{it.front.port}"))
    before = await it.bundle()
    async with it.rest():
        began = time.monotonic()  # kubectl's own time counts too
        await asyncio.to_thread(it.cluster.kubectl, "replace", "-f", str(path))
        await it.until_published(before.count(b"BEGIN CERTIFICATE"))
        took = time.monotonic() - began
        await it.until_learned()
    assert await it.bundle() == before
    await it.until_verified()
    return took


async def secret_lost(it: Rotating) -> None:
    """Delete the Secret: what it held is served on until a new CA is published beside the old one."""
    old = await it.secret("ca.crt")
    await asyncio.to_thread(it.cluster.kubectl, "delete", "secret", SECRET, "-n", NAMESPACE)
    await it.until_renewed()
    new = await it.secret("ca.crt")
    assert new != old
    assert old in await it.bundle()
    await it.until_published(1)
    assert await it.bundle() == new
