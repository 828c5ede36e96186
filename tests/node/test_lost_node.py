"""A node whose kubelet is silent: nobody is sent to its pods until it is back. A session's last test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from sidecar.row_contract import NODE_NOT_READY
from tests.node.manifests import OPENAI, container, deployment
from tests.node.world import World, kubelet_stopped
from tests.peers.cluster import JSON, wait_until
from webhook.listing.shapes import Difference

pytestmark = [pytest.mark.node, pytest.mark.timeout(1200)]

# Kubernetes calls a node NotReady 50 s after its last sign of life (--node-monitor-grace-period); the
# release's nodeGrace, and a busy machine.
LOST_SECONDS = 240
BACK_SECONDS = 180


def listed(world: World) -> list[Any]:
    """Run `litellm-registrar list` outside the cluster, as on a laptop: no kubelet, no exec."""
    command = [sys.executable, "-m", "webhook", "list", "--namespace", world.namespace, "--output", "json"]
    command += ["--kubeconfig", str(world.cluster.work / "kubeconfig")]
    command += ["--litellm-url", world.proxy.urls[0]]
    env = {**os.environ, "WEBHOOK_LITELLM_KEY": world.proxy.key}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    entries: list[Any] = json.loads(done.stdout)["entries"]
    return entries


def test_the_rows_of_a_lost_node_are_blocked_until_it_is_back(world: World) -> None:
    """Its pod's row is blocked, and unblocked when the kubelet is heard again; Events and list tell of it."""
    world.cluster.create(deployment(world.namespace, container(alias="stranded"), labels=OPENAI))
    (pod,) = world.ready_pods(1)
    (before,) = world.until_rows("stranded", 1)

    def blocked() -> list[bool]:
        return [bool(row["model_info"]["blocked"]) for row in world.rows("stranded")]

    with kubelet_stopped(world.cluster):
        wait_until("block", LOST_SECONDS, lambda: blocked() == [True], every=1)
        wait_until("refusal of chat", 60, lambda: world.proxy.chat("stranded").status_code == 403)
        (entry,) = listed(world)
        assert {Difference.BLOCKED_BY_REAPER, Difference.NODE_NOT_READY} <= {*entry["differs"]}
        wait_until("Event of the block", 90, lambda: NODE_NOT_READY in world.events_of(pod))
    wait_until("end of the block", BACK_SECONDS, lambda: blocked() == [False], every=1)
    (after,) = world.rows("stranded")
    assert _pod_and_id(after) == _pod_and_id(before)
    wait_until("Event of its end", 90, lambda: "node_ready" in world.events_of(pod))
    assert world.ready_pods(1, BACK_SECONDS) == [pod]
    wait_until("chat by both", 120, lambda: all(world.proxy.chat("stranded", n).is_success for n in (0, 1)))


def _pod_and_id(row: JSON) -> tuple[str, str]:
    info = row["model_info"]
    return info["registrar"]["pod_uid"], info["id"]
