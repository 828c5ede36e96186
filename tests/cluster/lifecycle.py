"""A release's whole life under a loop of creations, from the install to the uninstall."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.cluster.creating import Creating, Made, creating, pod
from tests.cluster.release import Release
from tests.peers.admitted import has_registrar
from tests.peers.cluster import JSON, Cluster
from tests.peers.helm import IMAGES, NAMESPACE, Helm, broker_values, make_key
from webhook.kube.api import Api

# Of the same image, as if it were a release later.
OTHER_TAG: Final = "other"
# Lives of under a minute, a third of which is longer than a Lease; clocks of one machine are not off.
SHORT_LIVES: Final = {
    "WEBHOOK_TLS_LEAF_LIFETIME": "60",
    "WEBHOOK_TLS_OVERLAP": "8",
    "WEBHOOK_TLS_CLOCK_SKEW": "0.25",
    "WEBHOOK_TLS_CA_LIFETIME": "3600",
}
FAIL: Final[JSON] = {"admission": {"mutateFailurePolicy": "Fail", "validateFailurePolicy": "Fail"}}


def variables(values: dict[str, str]) -> list[JSON]:
    """Give them as a container's `env`."""
    return [{"name": name, "value": value} for name, value in values.items()]


# Seconds in which what is made before the first step and after the last is seen.
_BESIDE: Final = 2.0
# Seconds after which a webhook that is available has to be called.
_CALLED_WITHIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """What was done to the release, and when (seconds since 1970)."""

    name: str
    begun: float
    ended: float


@dataclass(slots=True)
class Story:
    """What became of every pod that was asked for while the release lived."""

    pods: Creating
    ready: float = 0.0
    leaving: float = float("inf")
    steps: list[Step] = field(default_factory=list)

    def refused(self) -> list[Made]:
        """Give the pods that were refused at any moment."""
        return self.pods.refused()

    def missed(self) -> list[Made]:
        """Give labelled ones without a registrar, from the webhook's first call until `helm uninstall`."""
        return self.pods.missed(self.ready, self.leaving)

    async def step(self, name: str, work: Callable[[], object]) -> None:
        """Do it beside the loop, and keep when."""
        begun = time.time()
        await asyncio.to_thread(work)
        self.steps.append(Step(name, begun, time.time()))

    def told(self) -> str:
        """Write down the steps, with what was made and what was lost in each."""
        return "\n".join(self._told(step) for step in self.steps)

    def _told(self, step: Step) -> str:
        asked = [one for one in self.pods.all if step.begun <= one.at < step.ended]
        lost = [one for one in (*self.refused(), *self.missed()) if one in asked]
        slowest = max((one.seconds for one in asked), default=0.0)
        seconds = step.ended - step.begun
        first = f", first: {lost[0]}" if lost else ""
        return (
            f"{step.name}: {seconds:.1f} s, {len(asked)} pods, the slowest after {slowest:.2f} s, "
            f"{len(lost)} lost{first}"
        )


@asynccontextmanager
async def told(story: Story) -> AsyncIterator[Story]:
    """Print the story at the end, however it ends."""
    try:
        yield story
    finally:
        print(story.told())


async def lead(helm: Helm, namespace: str, *, rotating: bool = True) -> Story:
    """Lead a release through its life, while pods are made in a namespace of that name.

    `rotating` its certificates takes as long as all the rest, and Helm has no part in it. There is no
    LiteLLM: what admission does has no need of it.
    """
    cluster = helm.cluster
    make_key(cluster, "none")
    values = (broker_values("http://outside.test:4000"), {"webhook": {"extraEnv": variables(SHORT_LIVES)}})
    api = await Api.connect(str(cluster.work / "kubeconfig"))
    try:
        return await _live(api, Release(helm, values), cluster.namespace(namespace), rotating)
    finally:
        await api.close()
        helm.uninstall(flags=("--wait", "--ignore-not-found", "--no-hooks"))
        cluster.kubectl("delete", "namespace", namespace, NAMESPACE)


async def _live(api: Api, release: Release, pods: str, rotating: bool) -> Story:  # noqa: FBT001 - private
    async with creating(api, pods) as loop, told(Story(loop)) as story:
        await asyncio.sleep(_BESIDE)
        ready = asyncio.create_task(first_ready(api, release))
        await story.step("install", release.install)
        story.ready = await ready
        for name, values in _UPGRADES.items():
            await story.step(name, partial(release.upgrade, values))
        if rotating:
            await story.step("rotation", partial(rotate, release))
        await story.step("rollback", partial(release.rollback, 1))
        story.leaving = time.time()
        await story.step("uninstall", release.uninstall)
        await asyncio.sleep(_BESIDE)
    return story


def tag_other(cluster: Cluster) -> None:
    """Give the webhook's image a second tag on the node."""
    name = f"docker.io/{IMAGES['image']['repository']}"
    tags = (f"{name}:{IMAGES['image']['tag']}", f"{name}:{OTHER_TAG}")
    cluster.script("in-node.sh", "ctr", "-n", "k8s.io", "images", "tag", "--force", *tags)


# By what is upgraded; each is beside the values of the release, not beside those before it.
_UPGRADES: Final[dict[str, JSON]] = {
    "values": {"webhook": {"logFormat": "json"}, "registrar": {"resources": {"requests": {"cpu": "10m"}}}},
    "image": {"image": {"tag": OTHER_TAG}},
    "certificate age": {
        "webhook": {"extraEnv": variables({**SHORT_LIVES, "WEBHOOK_TLS_LEAF_LIFETIME": "45"})}
    },
    "failure policies": FAIL,
}


async def first_ready(api: Api, release: Release) -> float:
    """Wait for the webhook's first replica that counts as available and is called; give when that was seen.

    In seconds since 1970. One that is ready is not at once in its Service (`minReadySeconds` in the chart),
    and on a busy machine the API server's list of webhooks may be as late.
    """
    await _available(api, f"/apis/apps/v1/namespaces/{release.namespace}/deployments")
    async with asyncio.timeout(_CALLED_WITHIN):
        while True:
            made = await api.rehearse("/api/v1/namespaces/default/pods", pod(labelled=True))
            if has_registrar(made):
                return time.time()
            await asyncio.sleep(0.1)


async def _available(api: Api, path: str) -> None:
    while True:
        async with aclosing(
            api.watch(path, {"labelSelector": "app.kubernetes.io/component=webhook"})
        ) as changes:
            async for _, seen in changes:
                if seen.get("status", {}).get("availableReplicas"):
                    return


def rotate(release: Release) -> None:
    """See a certificate renewed by its age; then another CA asked for, in use, and the first one given up.

    Every call that fails meanwhile is a refused pod.
    """
    release.until_enforced()
    release.until_renewed()
    release.change_ca()
    release.until_published(2)
    release.until_renewed()
    release.until_published(1)
