"""Five minutes without the broker, and five without LiteLLM, as a Deployment's pods live through them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.node.checks import SLOW, check_ending, check_log, problems
from tests.node.manifests import OPENAI, container, deployment
from tests.node.release import BROKER, BROKER_AWAY, LITELLM_AWAY, ONE_OF_EACH, Release
from tests.node.world import World, new_world
from tests.peers.cluster import Cluster, wait_until
from tests.peers.proxy import LiteLLM, litellm

_SECONDS: Final = 300.0
# So long before the end of it a pod is deleted: its drain has to wait for whom it cannot reach.
_DELETED_BEFORE: Final = 20.0
_LOOK_EVERY: Final = 5.0
# Registrars that failed for minutes try again after at most one (sidecar/patience.py), and so may the broker.
_RECOVERY: Final = 300.0


def broker_away(cluster: Cluster, proxy: LiteLLM, litellm_url: str, work: Path) -> None:
    """Live through five minutes without any replica of the broker; LiteLLM answers all the time."""
    release = Release(cluster, proxy, BROKER_AWAY)
    release.install(litellm_url, ONE_OF_EACH)
    with new_world(release, work) as world:
        _told(
            world,
            lambda: _live_through(
                world,
                away=lambda: release.scale(BROKER, 0),
                meanwhile=lambda: world.chat_everywhere(BROKER_AWAY),
                back=lambda: release.scale(BROKER, 1),
                named={"broker_unreachable", "broker_no_answer", "ready_timeout"},
                propagation=35,  # the other replica of LiteLLM sends to a row until it hears of its end
            ),
        )


def litellm_away(cluster: Cluster, work: Path) -> None:
    """Live through five minutes without LiteLLM; the broker is there all the time."""
    folder = work / LITELLM_AWAY
    folder.mkdir()
    with litellm(folder, replicas=1) as proxy:
        port = proxy.urls[0].rsplit(":", 1)[1]
        cluster.script("forward.sh", port)
        release = Release(cluster, proxy, LITELLM_AWAY)
        release.install(f"http://outside.test:{port}", ONE_OF_EACH)
        with new_world(release, work) as world:
            _told(
                world,
                lambda: _live_through(
                    world,
                    away=lambda: proxy.kill(0),
                    meanwhile=lambda: _check_running(release),
                    back=lambda: proxy.start(0),
                    named={"litellm_unreachable", "litellm_no_answer", "ready_timeout"},
                    propagation=3,
                ),
            )


def _told(world: World, story: Callable[[], None]) -> None:
    """Add what happened to an error: it is shown long after it, and elsewhere."""
    try:
        story()
    except Exception as error:
        error.add_note(world.story())
        error.add_note(world.release.log(BROKER)[-5000:])
        raise


def _check_running(release: Release) -> None:
    """Check that the broker's own pods run on, not restarted for what they cannot help."""
    restarts = [
        one["restartCount"] for pod in release.pods(BROKER) for one in pod["status"]["containerStatuses"]
    ]
    assert restarts == [0]


def _live_through(
    world: World,
    *,
    away: Callable[[], None],
    meanwhile: Callable[[], None],
    back: Callable[[], None],
    named: set[str],
    propagation: int,
) -> None:
    """One pod is registered before, one comes and one goes meanwhile, and all is true again afterwards.

    The problems that their registrars name are these; a drain waits so many seconds for LiteLLM's replicas.
    """
    model = world.release.name
    server = container(alias=model)
    waits = str(propagation)
    world.cluster.create(
        deployment(world.namespace, server, labels=OPENAI, propagation=waits, ready_timeout="60")
    )
    (old,) = world.ready_pods(1)
    (row,) = world.until_rows(model, 1)
    world.chat_everywhere(model)

    begun = time.monotonic()
    away()
    world.kubectl("scale", "deployment", "server", "--replicas=2")
    # a healthy server gets into its Service all the same, after ready-timeout
    both = world.ready_pods(2, seconds=240)
    (young,) = set(both) - {old}
    while time.monotonic() < begun + _SECONDS - _DELETED_BEFORE:
        meanwhile()
        # a probe may be late on a busy machine
        assert set(world.ready_pods(2, seconds=30)) == set(both)
        time.sleep(_LOOK_EVERY)
    world.kubectl("delete", "pod", old, "--wait=false")
    time.sleep(max(0.0, begun + _SECONDS - time.monotonic()))
    assert world.cluster.get("pod", old, world.namespace)["metadata"]["deletionTimestamp"]
    back()

    returned = time.monotonic()
    names = wait_until("two pods, one of them new", 120, lambda: _successors(world, old))
    assert young in names
    found = wait_until("their two rows", _RECOVERY, lambda: _owners(world, model) == names, every=0.5)
    print(f"{model}: true again {time.monotonic() - returned:.0f} s after it was back ({found})")
    world.kubectl("wait", "--for=delete", f"pod/{old}", "--timeout=400s")
    assert row["model_info"]["id"] not in {one["model_info"]["id"] for one in world.rows(model)}
    check_ending(world.ending(old), at_least=propagation)
    world.ready_pods(2)
    world.chat_everywhere(model)
    for pod in (old, young):
        log = world.registrars.whole_log(pod) if pod == old else world.registrars.log(pod)
        check_log(log, (world.proxy.key,))
        assert problems(log) <= named | SLOW, log
    assert world.status(young, "registrar")["restartCount"] == 0


def _successors(world: World, old: str) -> set[str]:
    names = {pod["metadata"]["name"] for pod in world.pods()}
    return names if len(names) == 2 and old not in names else set()


def _owners(world: World, model: str) -> set[str]:
    return {row["model_info"]["registrar"]["pod"] for row in world.rows(model)}
