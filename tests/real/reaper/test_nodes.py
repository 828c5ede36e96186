"""Rows of pods on a node that is lost are blocked, and unblocked when it is back."""

from __future__ import annotations

import pytest

from tests.peers.cluster import Cluster
from tests.peers.proxy import LiteLLM
from tests.real.reaper.conftest import Pods, Start, events, figure, ready, until

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(900)]


def test_rows_of_a_lost_node_are_blocked_until_it_is_back(
    cluster: Cluster, namespace: str, start: Start, pods: Pods, proxy: LiteLLM
) -> None:
    """Only what the reaper has blocked itself is unblocked: a row that a person has blocked stays so."""
    broker = start("--node-grace", "2")
    ready(cluster, is_ready=True)
    pod = pods.serving(broker, "qwen", "ours", "persons")
    ours, persons = pods.id(pod, "ours"), pods.id(pod, "persons")
    proxy.call("PATCH", f"/model/{persons}/update", {"blocked": True, "model_info": {"id": persons}})
    ready(cluster, is_ready=False)
    until("blocked", lambda: figure(broker, "reaper_blocked_total") == 1)
    row = proxy.own_rows()[ours]
    assert (row["blocked"], row["model_info"]["registrar_reaper"]) == (True, "node_not_ready")
    until("Event", lambda: ("qwen", "node_not_ready") in events(cluster, namespace))
    ready(cluster, is_ready=True)
    until("unblocked", lambda: figure(broker, "reaper_unblocked_total") == 1)
    rows = proxy.own_rows()
    assert (rows[ours]["blocked"], rows[ours]["model_info"]["registrar_reaper"]) == (False, "")
    assert rows[persons]["blocked"] is True
    assert not rows[persons]["model_info"].get("registrar_reaper")
    until("Event", lambda: ("qwen", "node_ready") in events(cluster, namespace))
