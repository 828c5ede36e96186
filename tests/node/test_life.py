"""One pod's life on a real node: labelled, routable, rolled under load, drained, restarted, completed."""

import asyncio
import time

import httpx
import pytest

from tests.load import Load, examples
from tests.node import kubelet_log
from tests.node.checks import check_ending, check_log
from tests.node.manifests import ILL, LABEL, OPENAI, UNTIL_ILL, container, deployment, job
from tests.node.world import World
from tests.peers.cluster import JSON, wait_until

pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]

PROPAGATION = 35.0


async def test_label_chat_and_restart_under_load(world: World) -> None:
    """Labelling a Deployment makes its models routable, and a rollout under load loses no request.

    Each old pod is drained before the kubelet stops its server.
    """
    world.cluster.create(deployment(world.namespace, container(), replicas=2))
    world.kubectl("rollout", "status", "deployment", "server", "--timeout=60s")
    world.kubectl("label", "deployment", "server", LABEL)
    world.kubectl("rollout", "status", "deployment", "server", "--timeout=60s")
    old = world.ready_pods(2)

    rows = world.until_rows("chat", 2)
    addresses = {pod["status"]["podIP"] for pod in world.pods()}
    assert {httpx.URL(row["litellm_params"]["api_base"]).host for row in rows} == addresses
    world.chat_everywhere("chat")
    world.chat_everywhere("chat", stream=True)

    # few tokens: LiteLLM spends about a millisecond on each, and two replicas share the cores with the node
    body: JSON = {"max_tokens": 8}
    streamed: JSON = {"max_tokens": 40}
    load = Load(world.proxy.urls, "chat", world.proxy.key, rate=8, body=body, stream_body=streamed)
    running = asyncio.create_task(load.run())
    try:
        new = await asyncio.to_thread(world.restart, old)
    finally:
        load.stopping.set()
        tally = await running
    print(f"{tally.sent} requests during the rollout, {tally.failed()} lost: {examples(tally.lost)}")
    assert tally.failed() == 0, examples(tally.lost)
    assert tally.answered > 300
    assert {row["model_info"]["registrar"]["pod"] for row in world.until_rows("chat", 2)} == set(new)
    for pod in old:
        check_ending(world.ending(pod), at_least=PROPAGATION)
        check_log(world.registrars.log(pod), (world.proxy.key,))


def slow_request(world: World, seconds: float) -> JSON:
    """Give a streamed chat request that takes the slow model about that long on this machine now."""
    begun = time.monotonic()
    answer = world.proxy.chat("slow", max_tokens=300, stream=True)
    assert answer.status_code == 200, answer.text
    per_second = 300 / (time.monotonic() - begun)
    return {"max_tokens": min(8000, int(seconds * per_second))}


async def test_request_in_flight_holds_the_drain(world: World) -> None:
    """A request of more than 60 s that is in flight when its pod is deleted ends well; then comes SIGTERM."""
    # more time than the default, for the machine may get slower in the midst of it
    manifest = deployment(world.namespace, container("slow"), labels=OPENAI, drain_timeout="240")
    world.cluster.create(manifest)
    (pod,) = await asyncio.to_thread(world.ready_pods, 1)
    body = await asyncio.to_thread(slow_request, world, 75)

    url, key = world.proxy.urls[0], world.proxy.key
    load = Load((url,), "slow", key, rate=1, stream_every=1, limit=1, stream_body=body)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(2)
    deleted = time.time()
    world.kubectl("delete", "pod", pod, "--wait=false")
    tally = await running
    ended = time.time()
    assert tally.failed() == 0, examples(tally.lost)
    assert ended - deleted >= 60, f"the request took only {ended - deleted:.1f} s more"

    world.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=60s")
    steps = world.ending(pod)
    check_ending(steps, at_least=60)
    assert kubelet_log.when(steps, "server", "SIGTERM") >= ended
    assert kubelet_log.when(steps, "server", "SIGTERM") - ended < 15


def test_liveness_failure_drains_restarts_and_serves_again(world: World) -> None:
    """A server that fails its liveness probe is drained, restarted and routable again as the same one row."""
    server = {**container(), "livenessProbe": UNTIL_ILL}
    world.cluster.create(deployment(world.namespace, server, labels=OPENAI, propagation="3"))
    (pod,) = world.ready_pods(1)
    (before,) = world.until_rows("chat", 1)

    world.kubectl("exec", pod, "-c", "server", "--", "touch", ILL)
    world.until_rows("chat", 0, seconds=20)
    (after,) = world.until_rows("chat", 1, seconds=60)
    assert after["model_info"]["id"] == before["model_info"]["id"]
    wait_until("routable again", 5, lambda: world.proxy.chat("chat").status_code == 200)
    assert [p["metadata"]["name"] for p in world.pods()] == [pod]
    assert world.status(pod, "server")["restartCount"] == 1
    assert world.status(pod, "registrar")["restartCount"] == 0
    steps = world.ending(pod)
    assert kubelet_log.when(steps, "server", "hook ends") <= kubelet_log.when(steps, "server", "SIGTERM")
    check_log(world.registrars.log(pod), (world.proxy.key,))


def test_hung_server_is_not_held(world: World) -> None:
    """A server that hangs is taken out at once, killed by the kubelet, routable again after its restart."""
    server = container()
    server["livenessProbe"] = {
        "httpGet": {"path": "/health", "port": 8080},
        "periodSeconds": 1,
        "failureThreshold": 2,
        "terminationGracePeriodSeconds": 15,
    }
    world.cluster.create(deployment(world.namespace, server, labels=OPENAI))
    (pod,) = world.ready_pods(1)
    (before,) = world.until_rows("chat", 1)

    world.signal(pod, "server", "STOP")
    world.until_rows("chat", 0, seconds=20)
    (after,) = world.until_rows("chat", 1, seconds=60)
    assert after["model_info"]["id"] == before["model_info"]["id"]
    wait_until("routable again", 5, lambda: world.proxy.chat("chat").status_code == 200)
    check_log(world.registrars.log(pod), (world.proxy.key,))


def test_registrar_killed_takes_its_row_over(world: World) -> None:
    """A registrar that is killed is started again beside its running server, and keeps its one row."""
    # A name of its own: the second replica may still know pods of the tests before by the name they share.
    server = container(alias="taken-over")
    world.cluster.create(deployment(world.namespace, server, labels=OPENAI))
    (pod,) = world.ready_pods(1)
    before = world.until_rows("taken-over", 1)
    world.signal(pod, "registrar", "KILL")
    restarted = "restarted registrar"
    wait_until(restarted, 20, lambda: world.status(pod, "registrar")["restartCount"] == 1)
    wait_until(
        f"{restarted} that serves",
        20,
        lambda: "SERVING" in world.kubectl("logs", pod, "-c", "registrar"),
    )
    assert world.rows("taken-over") == before
    assert world.status(pod, "server")["restartCount"] == 0
    world.chat_everywhere("taken-over")


async def test_short_grace_period_cuts_and_says_so(world: World) -> None:
    """`kubectl delete --grace-period` shorter than the drain: the row is gone, the log tells what was cut."""
    world.cluster.create(deployment(world.namespace, container("slow"), labels=OPENAI))
    (pod,) = await asyncio.to_thread(world.ready_pods, 1)
    load = Load(
        (world.proxy.urls[0],),
        "slow",
        world.proxy.key,
        rate=1,
        stream_every=1,
        limit=1,
        stream_body={"max_tokens": 8000},
    )
    running = asyncio.create_task(load.run())
    await asyncio.sleep(2)
    (row,) = world.rows("slow")
    world.kubectl("delete", "pod", pod, "--grace-period=6")
    tally = await running
    assert tally.failed() == 1
    assert row["model_info"]["id"] not in {r["model_info"]["id"] for r in world.rows("slow")}
    assert "cut=1" in world.registrars.log(pod)
    check_log(world.registrars.log(pod), (world.proxy.key,))


def test_ordinary_container_holds_the_server_too(world: World) -> None:
    """In container mode the kubelet keeps no order; still no container gets SIGTERM before the drain ends."""
    manifest = deployment(
        world.namespace, container(), labels=OPENAI, inject_mode="container", propagation="5"
    )
    world.cluster.create(manifest)
    (pod,) = world.ready_pods(1)
    world.until_rows("chat", 1)
    world.kubectl("delete", "pod", pod)
    steps = world.ending(pod)
    for name in ("server", "registrar"):
        begin, end, stop = (kubelet_log.when(steps, name, s) for s in ("hook begins", "hook ends", "SIGTERM"))
        assert end - begin >= 5, steps
        assert end <= stop, steps


def test_job_with_a_registrar_completes(world: World) -> None:
    """A Job whose server ends by itself completes although it has a registrar, and leaves no row."""
    server = container("chat", "timeout", "--preserve-status", "15")
    world.cluster.create(job(world.namespace, server, OPENAI))
    (pod,) = world.ready_pods(1)
    world.until_rows("chat", 1)
    world.kubectl("wait", "--for=condition=Complete", "job/server", "--timeout=60s")
    assert world.rows("chat") == []
    check_log(world.registrars.log(pod), (world.proxy.key,))


def test_missing_secret_does_not_stop_the_server(world: World) -> None:
    """Without LiteLLM's Secret the server runs and answers, the pod gets ready, the registrar says why."""
    world.kubectl("delete", "secret", "litellm-registrar")
    world.cluster.create(deployment(world.namespace, container(), labels=OPENAI, ready_timeout="3"))
    (pod,) = world.ready_pods(1, seconds=30)
    address = world.cluster.get("pod", pod, world.namespace)["status"]["podIP"]
    assert httpx.get(f"http://{address}:8080/v1/models", trust_env=False).status_code == 200
    assert world.rows("chat") == []
    wait_until("word of the Secret", 5, lambda: "Secret" in world.registrars.log(pod))
    check_log(world.registrars.log(pod), ())
