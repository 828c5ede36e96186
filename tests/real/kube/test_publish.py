"""The CA bundle kept in real webhook configurations and a real ConfigMap, against other hands."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.certificates import make_ca
from tests.peers.broker import NAMESPACE
from tests.peers.cluster import JSON, Cluster
from tests.real.kube.conftest import Connections
from webhook.kube.api import Api, ApiError
from webhook.log import Log
from webhook.tls.certificates import bundle
from webhook.tls.publication import ConfigMapKey, Target, webhook_configurations
from webhook.tls.publish import Publisher

pytestmark = pytest.mark.kube

ONE, TWO, FOREIGN = (bundle(make_ca(name).certificate) for name in ("one", "two", "foreign"))
# What the project's own ServiceAccounts may write, and nothing else (examples/rbac.yaml).
MUTATING, VALIDATING = webhook_configurations(["litellm-registrar"])
CONFIG_MAP = ConfigMapKey(NAMESPACE, "litellm-registrar-broker-ca")
COLLECTION = MUTATING.path.rpartition("/")[0]
# Longer than what is put back is waited with at the most.
_SECONDS = 90
OURS, FOREIGN_NAME = "server.pods.litellm-registrar.io", "pods.example.com"


def webhook(name: str, pem: bytes = b"") -> JSON:
    """Give a webhook that is never called: it is for objects that nobody makes."""
    client: JSON = {"url": "https://127.0.0.1:1/mutate"}
    return {
        "name": name,
        "clientConfig": client | ({"caBundle": base64.b64encode(pem).decode()} if pem else {}),
        "rules": [{"operations": ["CREATE"], "apiGroups": ["x"], "apiVersions": ["v1"], "resources": ["y"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }


def configuration(*webhooks: JSON, name: str = "litellm-registrar") -> JSON:
    """Give a mutating configuration, as a chart would bring it."""
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    return {**kind, "metadata": {"name": name}, "webhooks": [*webhooks]}


class Leader:
    """Publishes as a keeper does that leads."""

    def __init__(self, api: Api, *targets: Target) -> None:
        self.lines = io.StringIO()
        self.states: dict[str, str] = {}
        self.wanted = ONE
        self._bell = asyncio.Event()
        self._publisher = Publisher(
            api, targets, Log(self.lines), changed=self._bell.set, show=self.states.__setitem__
        )

    @property
    def writes(self) -> int:
        """Count what it wrote."""
        return self.lines.getvalue().count("is written to")

    def want(self, wanted: dict[str, bytes]) -> None:
        """Want another bundle from now on."""
        self.wanted = wanted
        self._bell.set()

    async def run(self) -> None:
        """Keep the bundle."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._publisher.run())
            both.create_task(self._lead())

    async def _lead(self) -> None:
        while True:
            self._bell.clear()
            published = await self._publisher.read()
            if published and any(set(place.bundle) != set(self.wanted) for place in published.places):
                await self._publisher.publish(published, self.wanted)
            await self._bell.wait()


@contextlib.asynccontextmanager
async def running(*leaders: Leader) -> AsyncIterator[None]:
    """Have these lead for a while; none of them may end by itself."""
    tasks = [asyncio.create_task(leader.run()) for leader in leaders]
    yield
    for task in tasks:
        assert not task.done()
        task.cancel()
    await asyncio.wait(tasks)


class Objects:
    """The objects, read and written by somebody else."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def bundles(self, target: Target = MUTATING) -> dict[str, list[str]]:
        """Give the fingerprints at each webhook of a configuration, anyone's, or at a ConfigMap's key."""
        try:
            found = await self.api.get(target.path)
        except ApiError:
            return {}
        return {
            one["name"]: list(bundle(base64.b64decode(one["clientConfig"].get("caBundle", ""))))
            for one in found.get("webhooks", ())
        } or {place.where: list(place.bundle) for place in target.places(found)}

    async def until(self, expected: dict[str, list[str]], target: Target = MUTATING) -> None:
        """Wait until they are so."""
        end = asyncio.get_running_loop().time() + _SECONDS
        while (found := await self.bundles(target)) != expected:
            assert asyncio.get_running_loop().time() < end, found
            await asyncio.sleep(0.02)


@pytest.fixture
async def objects(connections: Connections) -> AsyncIterator[Objects]:
    """Give the objects; there are none at the beginning and at the end."""
    api = await connections.admin()

    async def clear() -> None:
        for target in (MUTATING, VALIDATING, CONFIG_MAP):
            with contextlib.suppress(ApiError):
                await api.delete(target.path)

    await clear()
    yield Objects(api)
    await clear()


@pytest.fixture
async def leader(connections: Connections) -> Leader:
    """Give a leader with the rights of the webhook's ServiceAccount."""
    return Leader(await connections.account("litellm-registrar-webhook"), MUTATING, VALIDATING)


def kubectl_replace(cluster: Cluster, manifest: JSON) -> None:
    """Replace an object as `helm upgrade --force` does."""
    cluster.kubectl("replace", "-f", "-", stdin=manifest)


def kubectl_apply(cluster: Cluster, manifest: JSON) -> None:
    """Apply an object as GitOps controllers do: by the server, over conflicts."""
    forced = ("--server-side", "--force-conflicts", "--field-manager=argocd-controller")
    cluster.kubectl("apply", *forced, "-f", "-", stdin=manifest)


def kubectl_recreate(cluster: Cluster, manifest: JSON) -> None:
    """Delete an object and make it again."""
    cluster.kubectl("replace", "--force", "-f", "-", stdin=manifest)


@pytest.mark.parametrize("way", [kubectl_replace, kubectl_apply, kubectl_recreate])
async def test_a_wiped_bundle_is_put_back(
    way: Callable[[Cluster, JSON], None], cluster: Cluster, objects: Objects, leader: Leader
) -> None:
    """After an upgrade whose manifest has no caBundle it is there again; the stranger's is what it was."""
    plain = configuration(webhook(FOREIGN_NAME, *FOREIGN.values()), webhook(OURS))
    good = {FOREIGN_NAME: list(FOREIGN), OURS: list(ONE)}
    async with running(leader):
        await objects.api.create(COLLECTION, plain)
        await objects.until(good)
        await asyncio.to_thread(way, cluster, plain)
        await objects.until(good)
    assert leader.states["mutatingwebhookconfigurations/litellm-registrar"] == "good"


async def test_an_emptied_bundle_is_put_back_and_a_foreign_one_replaced(
    objects: Objects, leader: Leader
) -> None:
    """Whatever somebody writes into our webhook's caBundle, garbage too, is no bundle of ours."""
    async with running(leader):
        await objects.api.create(COLLECTION, configuration(webhook(OURS)))
        for value in (
            "",
            base64.b64encode(b"garbage").decode(),
            base64.b64encode(*FOREIGN.values()).decode(),
        ):
            await objects.until({OURS: list(ONE)})
            change = {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": value}
            await objects.api.patch(MUTATING.path, [change])
        await objects.until({OURS: list(ONE)})


async def test_another_bundle_is_published_by_the_next_write(objects: Objects, leader: Leader) -> None:
    """A change of authorities writes each configuration once; nothing is written without a difference."""
    async with running(leader):
        await objects.api.create(COLLECTION, configuration(webhook(OURS), webhook("x.litellm-registrar.io")))
        await objects.until({OURS: list(ONE), "x.litellm-registrar.io": list(ONE)})
        leader.want({**ONE, **TWO})
        both = sorted([*ONE, *TWO])
        await objects.until({OURS: both, "x.litellm-registrar.io": both})
        await asyncio.sleep(4)  # longer than between two looks
        assert leader.writes == 2


@pytest.mark.timeout(900)
async def test_who_rewrites_it_every_100_ms_is_said_and_answered_ever_more_seldom(
    objects: Objects, leader: Leader, cluster: Cluster
) -> None:
    """One line tells who manages the object; our writes become rare; the bundle is put back in the end."""
    plain = configuration(webhook(OURS))
    await asyncio.to_thread(kubectl_apply, cluster, plain)
    ops = [{"op": "replace", "path": "/webhooks", "value": plain["webhooks"]}]
    async with running(leader):
        loop = asyncio.get_running_loop()
        end, rewrites = loop.time() + 12, 0
        while loop.time() < end or rewrites <= 10:
            await objects.api.patch(MUTATING.path, ops)
            rewrites += 1
            await asyncio.sleep(0.1)
        assert leader.states["mutatingwebhookconfigurations/litellm-registrar"] == "fought_over"
        assert leader.lines.getvalue().count("another hand changes it again and again") == 1
        assert "managers=argocd-controller" in leader.lines.getvalue()
        assert leader.writes < 10 < rewrites
        await objects.until({OURS: list(ONE)})  # the longest wait until then is 20 s


async def test_two_that_lead_at_once_do_no_harm(objects: Objects, connections: Connections) -> None:
    """Two writers of the same bundle write it once or twice, each time it is wiped, and never fight."""
    leaders = [
        Leader(await connections.account("litellm-registrar-webhook"), MUTATING, VALIDATING) for _ in range(2)
    ]
    plain = configuration(webhook(OURS))
    async with running(*leaders):
        await objects.api.create(COLLECTION, plain)
        for _ in range(3):
            await objects.until({OURS: list(ONE)})
            await objects.api.patch(
                MUTATING.path, [{"op": "replace", "path": "/webhooks", "value": plain["webhooks"]}]
            )
        await objects.until({OURS: list(ONE)})
        await asyncio.sleep(1)
    assert 4 <= sum(leader.writes for leader in leaders) <= 8
    assert not any(
        "PROBLEM" in line
        for leader in leaders
        for line in leader.lines.getvalue().splitlines()
        if "again" in line
    )


async def test_nobody_elses_writes_are_lost(objects: Objects, leader: Leader) -> None:
    """While our bundle changes all the time somebody else's webhook beside it loses none of its changes."""
    await objects.api.create(COLLECTION, configuration(webhook(FOREIGN_NAME), webhook(OURS)))
    bundles = itertools.cycle([{**ONE, **TWO}, ONE, TWO])
    lost = []
    async with running(leader):
        for number in range(60):
            leader.want(next(bundles))
            url = f"https://127.0.0.1:1/{number}"
            change = {"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": url}
            await objects.api.patch(MUTATING.path, [change])
            await asyncio.sleep(0.03)
            found = await objects.api.get(MUTATING.path)
            lost += [number] if found["webhooks"][0]["clientConfig"]["url"] != url else []
    assert lost == []


async def test_the_rights_reach_our_configuration_and_no_further(
    objects: Objects, leader: Leader, connections: Connections
) -> None:
    """The webhook's ServiceAccount publishes, but may not touch another configuration or make one."""
    api = await connections.account("litellm-registrar-webhook")
    other = f"{COLLECTION}/others"
    await objects.api.create(COLLECTION, configuration(webhook("pods.example.com"), name="others"))
    try:
        async with running(leader):
            await objects.api.create(COLLECTION, configuration(webhook(OURS)))
            await objects.until({OURS: list(ONE)})
            for call in (
                api.get(other),
                api.merge(other, {"metadata": {"labels": {"a": "b"}}}),
                api.create(COLLECTION, configuration(webhook(OURS), name="mine")),
                api.delete(MUTATING.path),
                api.list(COLLECTION),
            ):
                with pytest.raises(ApiError) as refused:
                    await call
                assert refused.value.status == 403
        assert "403" not in leader.lines.getvalue()
    finally:
        await objects.api.delete(other)


async def test_a_config_map_is_made_kept_and_made_again(objects: Objects, connections: Connections) -> None:
    """With the broker's rights its bundle is made, put back when wiped, and its other keys are left alone."""
    leader = Leader(await connections.account("litellm-registrar-broker"), CONFIG_MAP)
    good = {"configmaps/litellm-registrar-broker-ca ca-bundle.crt": list(ONE)}
    wipes: list[Any] = [{"data": None}, {"data": {"ca-bundle.crt": "garbage", "other": "x"}}]
    async with running(leader):
        await objects.until(good, CONFIG_MAP)
        for wipe in wipes:
            await objects.api.merge(CONFIG_MAP.path, wipe)
            await objects.until(good, CONFIG_MAP)
        assert (await objects.api.get(CONFIG_MAP.path))["data"]["other"] == "x"
        await objects.api.delete(CONFIG_MAP.path)
        await objects.until(good, CONFIG_MAP)
    assert "PROBLEM" not in leader.lines.getvalue()


async def test_a_config_map_that_nobody_may_change_is_said_once(
    objects: Objects, connections: Connections
) -> None:
    """An immutable ConfigMap refuses the bundle: one line with the API server's words, and a state."""
    leader = Leader(await connections.account("litellm-registrar-broker"), CONFIG_MAP)
    made = {"metadata": {"name": CONFIG_MAP.name}, "data": {"ca-bundle.crt": "x"}, "immutable": True}
    await objects.api.create(CONFIG_MAP.collection, made)
    async with running(leader):
        while leader.states.get("configmaps/litellm-registrar-broker-ca") != "refused":  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.05)
        await asyncio.sleep(3)
    assert leader.lines.getvalue().count("PROBLEM") == 1
    assert "immutable" in leader.lines.getvalue()
