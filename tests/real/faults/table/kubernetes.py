"""Faults of the cluster: the API server, pods that end without a word, nodes, namespaces, leaders."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from tests.peers.cluster import wait_until
from tests.real.faults.fault import BROKER, Fault
from tests.real.faults.lives import OTHERS, Life
from tests.real.faults.meddler import Call
from tests.real.faults.world import World
from tests.real.kube.conftest import ApiServer


@contextmanager
def api_server_away(world: World) -> Iterator[None]:
    """Kill the API server, and start it again."""
    server = ApiServer(world.cluster)
    server.stop()
    yield
    server.start()


@contextmanager
def pod_killed(world: World) -> Iterator[None]:
    """Kill pods with their registrars, and force-delete their objects, at once."""
    gone = [world.other() for _ in range(2)]
    yield
    for life in gone:
        life.end()


@contextmanager
def pod_replaced(world: World) -> Iterator[None]:
    """Kill a pod; another one takes its name, as in a StatefulSet."""
    gone = world.other()
    yield
    gone.end()
    twin = world.other(name=gone.name)
    assert twin.uid != gone.uid


@contextmanager
def pod_ended(world: World) -> Iterator[None]:
    """Have a pod fail without a word, as by a node that reboots; its object stays."""
    failed = world.other()
    yield
    failed.lives = False
    failed.kill()
    patch = json.dumps({"status": {"phase": "Failed"}})
    where = ("pod", failed.name, "-n", failed.namespace, "--subresource=status", "--type=merge")
    world.cluster.kubectl("patch", *where, "-p", patch)


@contextmanager
def address_reused(world: World) -> Iterator[None]:
    """Kill a pod without a word; another one gets its IP and serves under another name there."""
    gone = world.other()
    yield
    gone.end()
    heir = world.other(OTHERS, gone.address)
    assert (heir.address, heir.model) != (gone.address, gone.model)


@contextmanager
def zombie(world: World) -> Iterator[None]:
    """Take a pod's object away while its registrar runs on, as on a node that is cut off; then it ends."""
    lost = world.other()
    yield
    lost.lives = False
    lost.remove()
    time.sleep(12)  # it goes on asking; the API server forgets its token
    lost.end()


@contextmanager
def namespace_deleted(world: World) -> Iterator[None]:
    """Delete a namespace with one pod that drains, and one whose registrar was killed."""
    name = world.namespace()
    drains, killed = world.other(name), world.other(name)
    yield
    killed.kill()
    world.cluster.kubectl("delete", "namespace", name, "--wait=false")
    drains.drain()
    killed.end()
    wait_until("drained pod", 200, drains.ended)
    gone = ("get", "namespace", name)
    # its controller looks again after half of the longest grace of a pod in it
    wait_until("end of the namespace", 240, lambda: world.cluster.kubectl(*gone, check=False).code, every=1)


@contextmanager
def node_not_ready(world: World) -> Iterator[None]:
    """Have the node not ready for a while: every row on it is blocked, and back when it is ready again."""
    world.node.become("Unknown")
    brokered = world.settle_blocked()
    yield
    assert brokered
    world.node.become("True")


@contextmanager
def node_lost(world: World) -> Iterator[None]:
    """Lose a node with a pod on it for good: its rows are blocked, then removed with the pod's object."""
    lost = world.other()
    lost.kill()
    world.node.become("Unknown")
    world.settle_blocked()
    yield
    lost.end()
    world.node.become("True")


@contextmanager
def leader_lost_at_reaping(world: World) -> Iterator[None]:
    """Kill the leader when its first removal is at LiteLLM, before it is done; the other one goes on."""
    gone = [world.other() for _ in range(2)]
    leader = world.leader()
    hit: list[threading.Thread] = []

    async def how(call: Call) -> web.StreamResponse:
        if any(call.row.startswith(life.prefix) for life in gone) and not hit:
            hit.append(threading.Thread(target=leader.kill))
            hit[0].start()
            return call.cut()
        return await call.forward()

    with world.meddling(how, "delete"):
        yield
        for life in gone:
            life.end()
        wait_until("removal", 120, lambda: hit)
        hit[0].join()
    leader.start()


@contextmanager
def two_leaders(world: World) -> Iterator[None]:
    """Stop the leader until another one leads, and let it go on with what it thinks is due."""
    gone = [world.other() for _ in range(2)]
    leader = world.leader()
    (other,) = (broker for broker in world.brokers if broker is not leader)
    for life in gone:
        life.end()
    os.kill(leader.pid, signal.SIGSTOP)
    try:
        wait_until("other leader", 180, lambda: world.leads(other))
        yield
    finally:
        os.kill(leader.pid, signal.SIGCONT)


@contextmanager
def created_late(world: World) -> Iterator[None]:
    """Have a pod's creation arrive once more when the pod has long gone, as a network may send it twice."""
    kept: list[Call] = []

    async def keep(call: Call) -> web.StreamResponse:
        kept.append(call)
        return await call.forward()

    with world.meddling(keep, "create"):
        gone = world.other()
        yield
    late = next(call for call in kept if call.row.startswith(gone.prefix))
    gone.mark_deleted()
    gone.drain()
    wait_until("drained pod", 200, gone.ended)
    answer = world.loop.run(late.forward())
    assert answer.status == 200, answer.text


@contextmanager
def blocked_by_hand(world: World) -> Iterator[None]:
    """Have somebody block a pod's row: it stays so, whatever reaper and registrar do."""
    life = world.other()
    for key in life.wanted():
        answer = world.proxy.call("POST", "/model/block", {"model_id": key})
        assert answer.status_code == 200, answer.text
    life.blocked = True
    yield


@contextmanager
def deleted_by_hand(world: World) -> Iterator[None]:
    """Have somebody delete a pod's row: its registrar makes it again at its next look, within 75 s."""
    life = world.other()
    for key in life.wanted():
        answer = world.proxy.call("POST", "/model/delete", {"id": key})
        assert answer.status_code == 200, answer.text
    yield


@contextmanager
def server_killed(world: World) -> Iterator[None]:
    """Kill a pod's model server: its rows are blocked; the kubelet starts it again."""
    life: Life = world.other()
    world.loop.run(life.server.kill())
    life.wait_for_state("blocked")
    yield
    world.loop.run(life.server.load())


FAULTS: Final = (
    Fault(
        "api_server_away",
        "The API server is killed, and starts again.",
        api_server_away,
        "broker_without_kubernetes",
        BROKER,
        8,
        bounded=True,
    ),
    Fault(
        "pod_killed",
        "Pods are killed with their registrars, and their objects are gone.",
        pod_killed,
        "pod_gone",
        BROKER,
        1,
        bounded=True,
        afterwards=True,
    ),
    Fault(
        "pod_replaced",
        "A pod is killed, and another one has its name.",
        pod_replaced,
        "pod_replaced",
        BROKER,
        1,
        afterwards=True,
    ),
    Fault(
        "pod_ended",
        "A pod has failed as a whole, with its registrar, and its object stays.",
        pod_ended,
        "pod_ended",
        BROKER,
        1,
        afterwards=True,
    ),
    Fault(
        "address_reused",
        "A pod is killed, and another one gets its IP.",
        address_reused,
        "pod_gone",
        BROKER,
        1,
        afterwards=True,
    ),
    Fault(
        "registrar_outlives_its_pod",
        "A pod's object is gone while its registrar still runs, on a node that is cut off.",
        zombie,
        "pod_gone",
        BROKER,
        1,
        afterwards=True,
    ),
    Fault(
        "namespace_deleted",
        "A namespace is deleted with all its pods.",
        namespace_deleted,
        "pod_gone",
        BROKER,
        1,
        afterwards=True,
    ),
    Fault(
        "node_not_ready",
        "The node is not ready for a while.",
        node_not_ready,
        "node_not_ready",
        BROKER,
        1,
    ),
    Fault(
        "node_lost",
        "The node is lost with a pod, whose object goes later.",
        node_lost,
        "node_not_ready",
        BROKER,
        1,
    ),
    Fault(
        "leader_lost_at_reaping",
        "The broker that leads is killed in the midst of a removal.",
        leader_lost_at_reaping,
        "pod_gone",
        BROKER,
        1,
        afterwards=True,
    ),
    Fault(
        "two_leaders",
        "The broker that leads stands still until another one leads, and goes on.",
        two_leaders,
        "pod_gone",
        BROKER,
        1,
        afterwards=True,
    ),
    Fault(
        "creation_arrives_late",
        "The network delivers a creation once more when its pod is gone.",
        created_late,
        "pod_gone",
        BROKER,
        1,
        afterwards=True,
    ),
    Fault(
        "blocked_by_hand",
        "Somebody blocks a pod's row.",
        blocked_by_hand,
        "",
        BROKER,
        8,
    ),
    Fault("deleted_by_hand", "Somebody deletes a pod's row.", deleted_by_hand, "", BROKER, 1),
    Fault(
        "server_killed",
        "A model server is killed, and starts again.",
        server_killed,
        "server_refused",
        BROKER,
        1,
    ),
)
