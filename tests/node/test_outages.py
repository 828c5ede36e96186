"""What is away, and what becomes of pods meanwhile and afterwards: the webhook, the broker, LiteLLM."""

from concurrent.futures import Future

import pytest

from tests.node.manifests import OPENAI, container, deployment, pod
from tests.node.release import BROKER_AWAY, LITELLM_AWAY, WEBHOOK, Release
from tests.node.world import World
from tests.peers.admitted import has_registrar
from tests.peers.cluster import wait_until

pytestmark = pytest.mark.node

MISSED = "missed"
MISSED_PODS = f'litellm_registrar_webhook_missed_pods{{reason="{MISSED}"}}'


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("away", [BROKER_AWAY, LITELLM_AWAY])
def test_five_minutes_away_cost_no_more_than_time(outages: dict[str, Future[None]], away: str) -> None:
    """Who is registered stays so, who comes runs, who goes waits; all is true again afterwards."""
    outages[away].result()


@pytest.mark.timeout(1200)
def test_pods_start_while_the_webhook_is_away_and_are_found_afterwards(
    world: World, release: Release
) -> None:
    """Unlabelled and labelled pods start at once, the latter with no registrar; the webhook tells of them."""
    create = world.cluster.create
    create(deployment(world.namespace, container(alias="there-before"), labels=OPENAI, propagation="3"))
    (before,) = world.ready_pods(1)
    world.until_rows("there-before", 1)
    missed = release.metric(WEBHOOK, MISSED_PODS)
    release.scale(WEBHOOK, 0)
    try:
        create(pod(world.namespace, "unlabelled", container(), {}))
        create(pod(world.namespace, "labelled", container(), OPENAI))
        world.kubectl("wait", "--for=condition=Ready", "pod/unlabelled", "pod/labelled", "--timeout=180s")
        assert not has_registrar(world.cluster.get("pod", "labelled", world.namespace))
        # who has a registrar does not need the webhook any more, not even for its end
        world.chat_everywhere("there-before")
        world.kubectl("delete", "pod", before)
        world.until_rows("there-before", 0)
    finally:
        release.scale(WEBHOOK, 2)

    wait_until("count of missed pods", 180, lambda: release.metric(WEBHOOK, MISSED_PODS) == missed + 2)
    (successor,) = {one["metadata"]["name"] for one in world.pods()} - {"unlabelled", "labelled"}

    def told() -> list[str]:
        events = world.cluster.list("events", world.namespace)
        return sorted(one["involvedObject"]["name"] for one in events if one["reason"] == MISSED)

    wait_until("Events of both", 60, lambda: told() == sorted(["labelled", successor]))
    release.until_injecting(world.namespace)
    world.kubectl("delete", "pod", successor)
    world.until_rows("there-before", 1, seconds=180)
