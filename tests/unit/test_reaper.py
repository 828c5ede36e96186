"""What the reaper does and says, look by look, in a world of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from prometheus_client import generate_latest

from sidecar.row_contract import row_id
from tests.reaping.peers import Broker, leads
from tests.reaping.world import BOUNDS, CLUSTER, NAMESPACE, Kube, Rows, World
from webhook.broker.settings import Reap
from webhook.reaper.shapes import Brake
from webhook.reaper.share import LEAVE


async def lived(world: World, broker: Broker, seconds: float) -> None:
    """Let the time go on, a look each two seconds."""
    for _ in range(int(seconds / 2)):
        world.time += 2
        await broker.look()


async def started(mode: Reap = Reap.REMOVE, pods: int = 10) -> tuple[World, Broker]:
    """Give a world of living pods with a row each, and a reaper that leads and has looked."""
    world = World()
    broker = Broker(world, mode=mode)
    leads(world, broker)
    for number in range(pods):
        world.start(f"pod-{number}", f"uid-{number}")
    await broker.look()
    return world, broker


async def turns() -> None:
    """Let everything go on that needs no time."""
    for _ in range(100):
        await asyncio.sleep(0)


def key(number: int) -> str:
    """Give the id of a pod's row."""
    return row_id(CLUSTER, NAMESPACE, f"uid-{number}", "model-0")


def held(broker: Broker) -> set[str]:
    """Give the brakes that hold."""
    assert broker.metrics.figures is not None
    return {str(brake) for brake in broker.metrics.figures.held}


def word(world: World, text: str) -> None:
    """Have a person say how many may go."""
    meta = world.lease["metadata"]
    meta["annotations"] = {**meta.get("annotations", {}), LEAVE: text}


async def test_a_crash_is_cleared_up_after_the_grace() -> None:
    """Not before it; log line, Event and count have one reason, and tell it once."""
    world, broker = await started()
    del world.pods["pod-3"]
    await lived(world, broker, BOUNDS.grace)
    assert key(3) in world.rows
    await lived(world, broker, 20)
    assert world.rows.keys() == {key(number) for number in range(10) if number != 3}
    why = "its pod is gone and it was not drained"
    assert [said[:3] for said in broker.events.said] == [("Pod", "pod-3", "pod_gone")]
    assert f"Row removed: {why}. reason=pod_gone" in broker.log.getvalue()
    assert 'reaper_removed_total{reason="pod_gone"} 1.0' in text(broker)


def text(broker: Broker) -> str:
    """Give its metrics."""
    return generate_latest(broker.registry).decode()


async def test_a_deletion_that_fails_is_tried_again_soon() -> None:
    """It is not taken for one that replicas of LiteLLM do not show yet, and holds up no other row."""
    world, broker = await started()
    broker.litellm.failing = 1
    del world.pods["pod-3"]
    await lived(world, broker, BOUNDS.grace + 4)
    assert key(3) in world.rows
    assert "PROBLEM  A row cannot be looked after: HTTP 500. reason=litellm" in broker.log.getvalue()
    await lived(world, broker, 30)
    assert key(3) not in world.rows


async def test_dry_run_says_it_once_and_removes_nothing() -> None:
    """As long as it is so; the share is not used up either."""
    world, broker = await started(Reap.DRY_RUN)
    del world.pods["pod-3"]
    await lived(world, broker, 300)
    assert key(3) in world.rows
    assert broker.log.getvalue().count("Row would be removed: its pod is gone") == 1
    assert [said[:3] for said in broker.events.said] == [("Pod", "pod-3", "pod_gone")]
    assert "annotations" not in world.lease["metadata"]


async def test_off_only_counts() -> None:
    """The gauges tell what is due; nobody is told of it and nothing is done."""
    world, broker = await started(Reap.OFF)
    del world.pods["pod-3"]
    await lived(world, broker, 120)
    assert key(3) in world.rows
    assert broker.events.said == []
    assert 'reaper_due{reason="pod_gone"} 1.0' in text(broker)
    assert 'rows{state="without_pod"} 1.0' in text(broker)


async def test_too_many_wait_for_a_person_who_lets_go_as_many_as_said() -> None:
    """Of five due rows three may go at most: none goes; a person lets four go, once."""
    world, broker = await started()
    for number in range(5):
        del world.pods[f"pod-{number}"]
    await lived(world, broker, 120)
    assert (held(broker), len(world.rows)) == ({"share"}, 10)
    command = f"kubectl annotate lease -n registrar broker {LEAVE}=5"
    assert [said[:3] for said in broker.events.said] == [("Lease", "broker", "share")]
    assert command in broker.events.said[0][3]
    word(world, "4")
    await lived(world, broker, 4)
    assert len(world.rows) == 6
    assert LEAVE not in world.lease["metadata"]["annotations"]
    await lived(world, broker, 120)
    assert (held(broker), len(world.rows)) == ({"share"}, 6)


async def test_a_share_that_was_used_up_is_free_again_after_ten_minutes() -> None:
    """And what waited goes then, without a person."""
    world, broker = await started()
    for number in range(3):
        del world.pods[f"pod-{number}"]
    await lived(world, broker, 60)
    assert len(world.rows) == 7
    del world.pods["pod-4"]
    await lived(world, broker, 300)
    assert (held(broker), len(world.rows)) == ({"share"}, 7)
    await lived(world, broker, 400)
    assert (held(broker), len(world.rows)) == (set(), 6)


@pytest.mark.parametrize("found", ["", "many", "-3", "0", "1.5", "1000000"])
async def test_a_word_that_is_none_lets_nothing_go(found: str) -> None:
    """It is said, with what is allowed, and left where it is."""
    world, broker = await started()
    for number in range(5):
        del world.pods[f"pod-{number}"]
    word(world, found)
    await lived(world, broker, 60)
    assert len(world.rows) == 10
    problem = f"found {found!r}, allowed is a whole number from 1 to 999999"
    assert (problem in broker.log.getvalue()) is bool(found)


async def test_a_word_that_nothing_waits_for_is_taken_off() -> None:
    """Else it would let go what comes later, and nobody has looked at that."""
    world, broker = await started()
    word(world, "4")
    await lived(world, broker, 60)
    assert LEAVE not in world.lease["metadata"]["annotations"]
    assert "Nothing waits for it: taken off" in broker.log.getvalue()


async def test_another_leader_goes_on_with_the_same_share() -> None:
    """What one has removed counts for the next: it stands in the Lease."""
    world, broker = await started()
    for number in range(3):
        del world.pods[f"pod-{number}"]
    await lived(world, broker, 60)
    other = Broker(world, "other")
    leads(world, other)
    del world.pods["pod-4"]
    await lived(world, other, 120)
    assert (held(other), len(world.rows)) == ({"share"}, 7)


async def test_who_does_not_hold_the_lease_removes_nothing() -> None:
    """However sure it is of itself: a pause, a clock that stood still."""
    world, broker = await started()
    world.lease["spec"] = {"holderIdentity": "another"}
    del world.pods["pod-3"]
    await lived(world, broker, 120)
    assert key(3) in world.rows


@pytest.mark.parametrize(
    ("kube", "litellm", "brake"),
    [
        (Kube.FAILED, Rows.WELL, Brake.KUBERNETES_UNREAD),
        (Kube.PROXY, Rows.WELL, Brake.KUBERNETES_UNREAD),
        (Kube.OTHER, Rows.WELL, Brake.OTHER_CLUSTER),
        (Kube.WELL, Rows.FAILED, Brake.LITELLM_UNREAD),
        (Kube.WELL, Rows.PARTIAL, Brake.LITELLM_UNREAD),
    ],
)
async def test_bad_answers_hold_the_reaper_until_they_are_over(
    kube: Kube, litellm: Rows, brake: Brake
) -> None:
    """Nothing is removed, and the brake is said; then what is due goes."""
    world, broker = await started()
    del world.pods["pod-3"]
    world.tell(kube)
    world.litellm = litellm
    await lived(world, broker, 200)
    assert key(3) in world.rows
    assert f"brake={brake}" in broker.log.getvalue()
    world.tell(Kube.WELL)
    world.litellm = Rows.WELL
    await lived(world, broker, 400)
    assert world.rows.keys() == {key(number) for number in range(10) if number != 3}
    assert held(broker) == set()


async def test_an_empty_list_removes_nothing_of_what_lives() -> None:
    """Believed after a while, it still is not what single pods say."""
    world, broker = await started()
    world.tell(Kube.EMPTY)
    await lived(world, broker, 10)
    assert held(broker) == {"kubernetes_unread"}
    await lived(world, broker, 600)
    assert len(world.rows) == 10


async def test_the_last_pod_may_crash_too() -> None:
    """Its list is empty for good reason: believed, if single pods say the same."""
    world, broker = await started(pods=1)
    world.pods.clear()
    await lived(world, broker, 60)
    assert not world.rows


async def test_rows_of_a_lost_node_are_blocked_until_it_is_back() -> None:
    """A row that was blocked before, by whomever, stays as it is."""
    world, broker = await started(pods=2)
    world.rows[key(1)]["blocked"] = True
    world.rows[key(1)]["model_info"]["blocked"] = True
    await lived(world, broker, 100)
    world.nodes["node-0"] = False
    await lived(world, broker, BOUNDS.node_grace + 4)
    assert world.rows[key(0)]["model_info"]["registrar_reaper"] == "node_not_ready"
    assert world.rows[key(0)]["blocked"] is True
    world.nodes["node-0"] = True
    await lived(world, broker, 4)
    assert world.rows[key(0)]["model_info"]["registrar_reaper"] == ""
    assert [row["blocked"] for row in world.rows.values()] == [False, True]
    assert [said[:3] for said in broker.events.said] == [
        ("Pod", "pod-0", "node_not_ready"),
        ("Pod", "pod-0", "node_ready"),
    ]


async def test_a_row_that_a_person_unblocked_stays_so() -> None:
    """The reaper's word on it says whose block it was: it is not made again, and the word goes in the end."""
    world, broker = await started(pods=1)
    world.nodes["node-0"] = False
    await lived(world, broker, BOUNDS.node_grace + 4)
    world.rows[key(0)] |= {"blocked": False}
    world.rows[key(0)]["model_info"]["blocked"] = False
    await lived(world, broker, 300)
    assert world.rows[key(0)]["blocked"] is False
    world.nodes["node-0"] = True
    await lived(world, broker, 4)
    assert world.rows[key(0)]["model_info"]["registrar_reaper"] == ""


async def test_where_no_event_can_be_made_it_is_about_the_namespace() -> None:
    """A namespace that is being deleted takes none."""
    world, broker = await started()
    broker.events.refusing.add(NAMESPACE)
    del world.pods["pod-3"]
    await lived(world, broker, 60)
    assert [said[:3] for said in broker.events.said] == [("Namespace", NAMESPACE, "pod_gone")]
    assert "(pod pod-3)" in broker.events.said[0][3]


async def test_a_removal_is_told_though_its_reaper_leads_no_longer() -> None:
    """The term ends while LiteLLM deletes: the row is gone, and so somebody has to be told."""
    world, broker = await started()
    del world.pods["pod-3"]
    await lived(world, broker, BOUNDS.grace)
    broker.litellm.answering.clear()
    while key(3) in world.rows:
        world.time += 2
        look = asyncio.create_task(broker.look())
        await turns()
    assert broker.events.said == []
    look.cancel()
    with suppress(asyncio.CancelledError):
        await look
    broker.litellm.answering.set()
    await turns()
    assert [said[:3] for said in broker.events.said] == [("Pod", "pod-3", "pod_gone")]
