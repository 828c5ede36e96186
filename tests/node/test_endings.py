"""How pods end on a real node, and what is told LiteLLM before their servers are stopped."""

import asyncio
import math
import time

import pytest

from tests.load import Load, examples
from tests.node import kubelet_log
from tests.node.checks import check_ending, check_log, drain_began
from tests.node.manifests import OPENAI, container, deployment
from tests.node.manifests import pod as lone_pod
from tests.node.world import World
from tests.peers.cluster import JSON, wait_until

pytestmark = [pytest.mark.node, pytest.mark.timeout(1500)]

# Seconds: longer than a registrar and LiteLLM take for a row on any machine; and longer than that again.
OWN_HOOK = 15
OWN_DRAIN = 30
OWN_PRE_STOP = {"exec": {"command": ["sleep", str(OWN_HOOK)]}}
# Within which LiteLLM begins to answer.
BEGUN_SECONDS = 60


def slow_request(world: World, seconds: float) -> JSON:
    """Give a streamed chat request that takes the slow model about that long on this machine now.

    A token takes longer the more are before it: n of them each * n + growth * n^2, found by two answers.
    """
    few, many = 300, 1500
    of_few, of_many = (answer_time(world, tokens) / tokens for tokens in (few, many))
    growth = max(1e-9, (of_many - of_few) / (many - few))
    each = max(0.0, of_few - growth * few)
    tokens = (math.sqrt(each**2 + 4 * growth * seconds) - each) / (2 * growth)
    return {"max_tokens": min(8000, int(tokens))}


def answer_time(world: World, tokens: int) -> float:
    """Measure the seconds in which the slow model writes so many tokens."""
    begun = time.monotonic()
    answer = world.proxy.chat("slow", max_tokens=tokens, stream=True)
    assert answer.status_code == 200, answer.text
    return time.monotonic() - begun


async def test_request_in_flight_holds_the_drain(world: World) -> None:
    """A request of more than 60 s that is in flight when its pod is deleted ends well; then comes SIGTERM."""
    # more time than the default, for the machine may get slower in the midst of it
    manifest = deployment(world.namespace, container("slow"), labels=OPENAI, drain_timeout="600")
    world.cluster.create(manifest)
    (pod,) = await asyncio.to_thread(world.ready_pods, 1)
    await asyncio.to_thread(world.until_rows, "slow", 1)
    # and longer than it has to be, for the machine may get faster, too
    body = await asyncio.to_thread(slow_request, world, 150)

    url, key = world.proxy.urls[0], world.proxy.key
    load = Load((url,), "slow", key, rate=1, stream_every=1, limit=1, stream_body=body)
    running = asyncio.create_task(load.run())
    await asyncio.wait_for(load.streaming.wait(), BEGUN_SECONDS)
    deleted = time.time()
    await asyncio.to_thread(world.kubectl, "delete", "pod", pod, "--wait=false")
    tally = await running
    ended = time.time()
    print(f"{body['max_tokens']} tokens: {ended - deleted:.0f} s after the deletion")
    assert tally.failed() == 0, examples(tally.lost)
    assert ended - deleted >= 60, f"the request took only {ended - deleted:.1f} s more"

    world.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=240s")
    steps = world.ending(pod)
    check_ending(steps, at_least=60)
    # LiteLLM may be late with the last word; the drain's own timeout is far from over
    assert ended - 10 <= kubelet_log.when(steps, "server", "SIGTERM") < ended + 120


async def test_a_short_grace_cuts_and_says_so(world: World) -> None:
    """`kubectl delete --grace-period` shorter than the drain: the row is gone, the log tells what was cut.

    The drain is over before the kubelet would cut it.
    """
    world.cluster.create(deployment(world.namespace, container("slow", alias="short"), labels=OPENAI))
    (pod,) = await asyncio.to_thread(world.ready_pods, 1)
    (row,) = await asyncio.to_thread(world.until_rows, "short", 1)
    load = Load(
        (world.proxy.urls[0],),
        "short",
        world.proxy.key,
        rate=1,
        stream_every=1,
        limit=1,
        stream_body={"max_tokens": 8000},
    )
    running = asyncio.create_task(load.run())
    await asyncio.wait_for(load.streaming.wait(), BEGUN_SECONDS)
    await asyncio.to_thread(world.kubectl, "delete", "pod", pod, "--grace-period=24")
    tally = await running
    assert tally.failed() == 1
    assert row["model_info"]["id"] not in {one["model_info"]["id"] for one in world.rows("short")}
    steps = world.ending(pod)
    assert not [step for step in steps if step.what in {"hook failed", "hook cut"}], steps
    # the server goes on with its request until it is killed: there is no order after the grace
    assert kubelet_log.when(steps, "server", "hook ends") <= kubelet_log.when(steps, "server", "SIGTERM")
    log = world.registrars.whole_log(pod)
    said, removed, gone = (log.index(word) for word in ("reason=grace_shortened", " REMOVED ", " GONE "))
    assert max(said, removed) < gone
    assert "grace=24" in log
    assert "cut=1" in log
    check_log(log, (world.proxy.key,))


def test_a_pre_stop_of_ones_own_is_kept(world: World) -> None:
    """Who applies it is told that no drain holds the server then; the row is gone before it stops."""
    server = {**container(alias="own-hook"), "lifecycle": {"preStop": OWN_PRE_STOP}}
    answer = world.cluster.create(
        lone_pod(world.namespace, "own-hook", server, OPENAI, propagation=str(OWN_DRAIN))
    )
    assert [line for line in answer.warnings if "own_pre_stop_kept" in line], answer.err
    (pod,) = world.ready_pods(1)
    (row,) = world.until_rows("own-hook", 1)
    (found,) = (one for one in world.pods()[0]["spec"]["containers"] if one["name"] == "server")
    assert found["lifecycle"]["preStop"] == OWN_PRE_STOP

    world.kubectl("delete", "pod", pod, "--wait=false")
    wait_until("removal of the row", 60, lambda: all(_id(row) != _id(one) for one in world.rows("own-hook")))
    removed = time.time()
    world.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=240s")
    steps = world.ending(pod)
    begin, end, stop = (kubelet_log.when(steps, "server", s) for s in ("hook begins", "hook ends", "SIGTERM"))
    assert removed <= stop
    assert begin + OWN_HOOK <= end <= stop
    # its own drain takes longer, and nobody waits for it but itself
    assert stop < kubelet_log.when(steps, "registrar", "hook ends")
    assert kubelet_log.when(steps, "registrar", "hook ends") <= kubelet_log.when(
        steps, "registrar", "SIGTERM"
    )
    check_log(world.registrars.whole_log(pod), (world.proxy.key,))


def test_ordinary_container_holds_the_server_too(world: World) -> None:
    """In container mode the kubelet keeps no order; still no container gets SIGTERM before the drain ends."""
    manifest = deployment(
        world.namespace, container(alias="beside"), labels=OPENAI, inject_mode="container", propagation="5"
    )
    world.cluster.create(manifest)
    (pod,) = world.ready_pods(1)
    world.until_rows("beside", 1)
    world.kubectl("delete", "pod", pod)
    steps = world.ending(pod)
    begin = drain_began(steps)
    for name in ("server", "registrar"):
        end, stop = (kubelet_log.when(steps, name, s) for s in ("hook ends", "SIGTERM"))
        assert end - begin >= 5, steps
        assert end <= stop, steps


def test_a_forced_deletion_leaves_no_row(world: World) -> None:
    """`kubectl delete --force` removes the pod from the API at once; its row goes all the same."""
    world.cluster.create(deployment(world.namespace, container(alias="forced"), labels=OPENAI))
    (pod,) = world.ready_pods(1)
    (row,) = world.until_rows("forced", 1)
    world.kubectl("delete", "pod", pod, "--force", "--grace-period=0")
    (successor,) = world.ready_pods(1)
    wait_until("removal of the row", 120, lambda: all(_id(row) != _id(one) for one in world.rows("forced")))
    (after,) = world.until_rows("forced", 1)
    assert after["model_info"]["registrar"]["pod"] == successor
    world.chat_everywhere("forced")


def test_a_pod_that_its_kubelet_evicts_leaves_no_row(world: World) -> None:
    """One that fills its disk is given a second to end, by the kubelet alone; that is enough for its row."""
    server = container(alias="evicted")
    server["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]
    manifest = deployment(world.namespace, server, labels=OPENAI)
    volume = {"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}
    manifest["spec"]["template"]["spec"]["volumes"] = [volume]
    world.cluster.create(manifest)
    (pod,) = world.ready_pods(1)
    (row,) = world.until_rows("evicted", 1)
    world.kubectl(
        "exec", pod, "-c", "server", "--", "dd", "if=/dev/zero", "of=/scratch/x", "bs=1M", "count=8"
    )
    # the kubelet looks at volumes once a minute (volumeStatsAggPeriod), at limits every ten seconds
    wait_until("eviction", 300, lambda: "Evicted" in world.events_of(pod), every=0.5)
    wait_until("removal of the row", 90, lambda: all(_id(row) != _id(one) for one in world.rows("evicted")))
    log = world.registrars.whole_log(pod)
    assert " REMOVED " in log, "the reaper was first"
    check_log(log, (world.proxy.key,))


def _id(row: JSON) -> str:
    return str(row["model_info"]["id"])
