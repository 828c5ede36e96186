"""The day the webhook is away: what the failure policies then do, and to whom."""

import asyncio
from collections.abc import Callable

import pytest

from tests.cluster.creating import create, creating, told
from tests.cluster.lifecycle import FAIL, first_ready
from tests.cluster.release import ADMISSION, Release
from tests.peers.admitted import has_registrar
from tests.peers.cluster import JSON, Cluster
from tests.peers.helm import NAMESPACE
from webhook.kube.api import Api, ApiError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

IGNORE: JSON = {"admission": {"mutateFailurePolicy": "Ignore", "validateFailurePolicy": "Ignore"}}
UNPULLABLE: JSON = {"image": {"tag": "nowhere", "pullPolicy": "Never"}}


async def test_ignore_lets_every_pod_start_while_the_webhook_is_away(
    release: Callable[..., Release], busy: str, admin: Api
) -> None:
    """Labelled pods come without their registrar, the others as ever; when it is back all is as before."""
    ours = release(IGNORE)
    ours.install()
    ours.until_injecting()
    assert has_registrar(await create(admin, busy, labelled=True))
    ours.scale_webhook(0)
    async with creating(admin, busy) as away:
        await asyncio.sleep(5)
    assert away.refused() == [], told(away.refused())
    assert away.injected() == 0
    ours.scale_webhook(2)
    ours.until_injecting()
    assert has_registrar(await create(admin, busy, labelled=True))


async def test_fail_refuses_labelled_pods_and_nobody_else(
    release: Callable[..., Release], busy: str, admin: Api, cluster: Cluster
) -> None:
    """Unlabelled pods, kube-system's and the webhook's own are created; so it comes back by itself."""
    ours = release(FAIL)
    ours.install()
    ours.until_enforced()
    ours.until_injecting()
    assert has_registrar(await create(admin, busy, labelled=True))
    ours.scale_webhook(0)
    async with creating(admin, busy) as away:
        await asyncio.sleep(5)
    assert away.refused(labelled=False) == [], told(away.refused(labelled=False))
    assert len(away.refused(labelled=True)) == sum(one.labelled for one in away.all)
    with pytest.raises(ApiError, match=r"failed calling webhook .*server\.pods\.litellm-registrar\.io"):
        await create(admin, busy, labelled=True)
    system = await create(admin, "kube-system", labelled=True)
    assert "failed calling webhook" not in cluster.kubectl("get", "events", "-n", NAMESPACE).out
    ours.scale_webhook(2)
    ours.until_injecting()
    assert has_registrar(await create(admin, busy, labelled=True))
    await admin.delete(f"/api/v1/namespaces/kube-system/pods/{system['metadata']['name']}")


async def test_a_webhook_that_never_starts_refuses_nothing(
    release: Callable[..., Release], busy: str, admin: Api
) -> None:
    """With Fail and an image that cannot be had no pod is refused; once it can be had, Fail holds."""
    ours = release(FAIL)
    async with creating(admin, busy) as pods:
        ready = asyncio.create_task(first_ready(admin, ours))
        await asyncio.to_thread(ours.helm.install, *ours.values, UNPULLABLE, flags=())
        await asyncio.sleep(5)
        assert not ready.done()
        assert not ours.enforced()
        await asyncio.to_thread(ours.upgrade)
        since = await ready
        await asyncio.to_thread(ours.until_enforced)
        await asyncio.sleep(2)
    assert pods.refused() == [], told(pods.refused())
    assert pods.missed(since) == [], told(pods.missed(since))
    ours.scale_webhook(0)
    with pytest.raises(ApiError, match="failed calling webhook"):
        await create(admin, busy, labelled=True)


async def test_policies_change_while_pods_are_created(
    release: Callable[..., Release], busy: str, admin: Api, cluster: Cluster
) -> None:
    """Ignore, Fail, Ignore: Helm 4 finds no conflict with what the webhook wrote, nothing is refused."""
    ours = release()
    ours.install(IGNORE)
    async with creating(admin, busy) as pods:
        for values in (FAIL, IGNORE, FAIL):
            await asyncio.to_thread(ours.upgrade, values)
            await asyncio.to_thread(ours.until_enforced)
            await asyncio.sleep(1)
        await asyncio.to_thread(ours.uninstall)
        await asyncio.sleep(1)
    assert pods.refused() == [], told(pods.refused())
    assert ADMISSION not in cluster.kubectl("get", "mutatingwebhookconfigurations", "-o", "name").out
