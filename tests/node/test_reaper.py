"""What a crash on a real node leaves in LiteLLM is taken away, and told where operators look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sidecar.broker_contract import State
from tests.node.manifests import OPENAI, container, deployment
from tests.node.manifests import pod as lone_pod
from tests.node.release import BROKER
from tests.node.world import World, kubelet_stopped
from tests.peers.cluster import JSON, wait_until
from tests.peers.proxy import RELOAD_SECONDS
from webhook.reaper.shapes import Reason
from webhook.registered import registered

pytestmark = [pytest.mark.node, pytest.mark.timeout(1200)]

# The chart's grace, until LiteLLM is read again after it, and a busy machine.
REAP_SECONDS = 180


@contextmanager
def crashing(world: World, pod: str) -> Iterator[None]:
    """Kill a pod's processes and remove its object while its kubelet can do nothing about either."""
    with kubelet_stopped(world.cluster):
        for name in ("registrar", "server"):
            world.signal(pod, name, "KILL")
        yield
        world.kubectl("delete", "pod", pod, "--force", "--grace-period=0")


def until_gone(world: World, row: JSON) -> None:
    """Wait until neither replica knows a row, and check that the broker's log says who took it and why."""
    key, name = row["model_info"]["id"], row["model_name"]
    for replica, seconds in enumerate((REAP_SECONDS, 4 * RELOAD_SECONDS)):
        wait_until(
            f"removal of the row on replica {replica}",
            seconds,
            lambda n=replica: all(one["model_info"]["id"] != key for one in world.proxy.rows(name, n)),  # type: ignore[misc]
        )

    def said() -> list[str]:
        lines = world.release.log(BROKER).splitlines()
        return [line for line in lines if " REMOVED " in line and key in line]

    (line,) = wait_until("word of the removal", 60, said)
    assert f"reason={Reason.POD_GONE}" in line


def test_a_pod_that_is_killed_with_its_registrar_leaves_no_row(world: World) -> None:
    """The reaper removes its row alone, and an Event on the pod says so; its successor's row stays."""
    world.cluster.create(deployment(world.namespace, container(alias="crashed"), labels=OPENAI))
    (pod,) = world.ready_pods(1)
    (row,) = world.until_rows("crashed", 1)
    with crashing(world, pod):
        pass
    until_gone(world, row)
    wait_until("Event of the removal", 60, lambda: Reason.POD_GONE in world.events_of(pod))
    assert " GONE " not in world.registrars.log(pod)
    (successor,) = world.ready_pods(1)
    (after,) = world.until_rows("crashed", 1)
    assert after["model_info"]["registrar"]["pod"] == successor
    world.chat_everywhere("crashed")


def test_a_namespace_that_is_deleted_in_a_crash_leaves_no_row(world: World) -> None:
    """It takes no Event any more: one on the namespace itself, among those of `default`, says so."""
    world.cluster.create(lone_pod(world.namespace, "razed", container(alias="razed"), OPENAI))
    world.ready_pods(1)
    (row,) = world.until_rows("razed", 1)
    with crashing(world, "razed"):
        world.cluster.kubectl("delete", "namespace", world.namespace, "--wait=false")
    until_gone(world, row)

    def about_it() -> list[str]:
        told = world.cluster.list("events", "default")
        return [one["reason"] for one in told if one["involvedObject"].get("name") == world.namespace]

    wait_until("Event of the removal", 60, lambda: Reason.POD_GONE in about_it())


def test_a_pod_is_shown_as_it_is(world: World) -> None:
    """By its condition, an Event, and `litellm-registrar list`, run in the broker's container."""
    world.cluster.create(deployment(world.namespace, container(alias="shown"), labels=OPENAI))
    (pod,) = world.ready_pods(1)
    world.until_rows("shown", 1)

    def is_routable() -> bool:
        told = registered(world.cluster.get("pod", pod, world.namespace))
        return told is not None and told.routable

    wait_until("condition of the pod", 90, is_routable)
    wait_until("Event of the pod", 90, lambda: State.SERVING in world.events_of(pod))
    command = ("litellm-registrar", "list", "--namespace", world.namespace, "--output", "json")

    def listed() -> list[tuple[str, str, list[str]]]:
        where = ("exec", f"deploy/{world.release.object(BROKER)}", "-n", world.release.name, "--")
        said = world.cluster.kubectl(*where, *command, check=False).out  # fails while something differs
        return [
            (one["pod"], one["model"], one["differs"]) for one in json.loads(said or "{}").get("entries", ())
        ]

    wait_until("list of what is so", 60, lambda: listed() == [(pod, "shown", [])])
