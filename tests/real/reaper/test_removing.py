"""What a crash leaves is removed, and nothing else."""

from __future__ import annotations

import pytest

from tests.peers.broker import ACCOUNT, NAMESPACE
from tests.peers.cluster import Cluster
from tests.peers.learned import rights
from tests.peers.proxy import LiteLLM
from tests.real.reaper.conftest import LEASE, Pods, Start, events, figure, leads, until
from webhook.reaper.share import LEAVE, WRITTEN

pytestmark = [pytest.mark.real, pytest.mark.kube, pytest.mark.timeout(900)]


def test_rows_of_a_pod_that_is_gone_are_removed(
    cluster: Cluster, namespace: str, start: Start, pods: Pods
) -> None:
    """Each is told by a log line, an Event and a count of one reason; another pod's row stays."""
    broker = start()
    stays = pods.serving(broker, "stays")
    gone = pods.serving(broker, "gone", "gone-a", "gone-b")
    gone.delete()
    until("rows removed", lambda: pods.rows() == {pods.id(stays, "stays")})
    until("counted", lambda: figure(broker, 'reaper_removed_total{reason="pod_gone"}') == 2)
    removed = [line for line in broker.lines() if line["event"] == "removed"]
    assert {line["id"] for line in removed} == {pods.id(gone, "gone-a"), pods.id(gone, "gone-b")}
    assert {line["reason"] for line in removed} == {"pod_gone"}
    until("Events", lambda: events(cluster, namespace).count(("gone", "pod_gone")) == 2)


def test_a_pod_of_the_same_name_keeps_its_own_rows(start: Start, pods: Pods) -> None:
    """A StatefulSet's next pod is not the one before it: rows are told apart by the uid."""
    broker = start("--reap-grace", "10")  # the next pod is there before it has passed
    before = pods.serving(broker, "qwen-0", "old")
    before.delete()
    after = pods.serving(broker, "qwen-0", "new")
    until("row removed", lambda: pods.rows() == {pods.id(after, "new")})
    until("counted", lambda: figure(broker, 'reaper_removed_total{reason="pod_replaced"}') == 1)


def test_rows_of_a_pod_that_has_ended_are_removed(
    cluster: Cluster, namespace: str, start: Start, pods: Pods
) -> None:
    """Evicted or run to its end: nothing of it answers any more, though the pod is still there."""
    broker = start()
    pods.serving(broker, "stays")
    pods.serving(broker, "evicted")
    status = '{"status": {"phase": "Failed", "reason": "Evicted"}}'
    patch = ("--subresource=status", "--type=merge", "-p", status)
    cluster.kubectl("patch", "pod", "evicted", "-n", namespace, *patch)
    until("row removed", lambda: len(pods.rows()) == 1)
    until("counted", lambda: figure(broker, 'reaper_removed_total{reason="pod_ended"}') == 1)
    until("Event", lambda: ("evicted", "pod_ended") in events(cluster, namespace))


def test_a_pod_that_has_lost_its_label_keeps_its_rows(
    cluster: Cluster, namespace: str, start: Start, pods: Pods
) -> None:
    """The watch has it no more, the API server still does: only what that says counts."""
    broker = start()
    pods.serving(broker, "marker")
    kept = pods.serving(broker, "kept")
    cluster.kubectl("label", "pod", "kept", "-n", namespace, "litellm-registrar.io/server-")
    gone = pods.serving(broker, "gone")
    gone.delete()
    until("the other pod's row removed", lambda: pods.id(gone, "gone") not in pods.rows())
    until("counted", lambda: figure(broker, 'reaper_removed_total{reason="pod_gone"}') == 1)
    assert pods.id(kept, "kept") in pods.rows()


def test_rows_of_a_namespace_that_is_gone_are_removed(
    cluster: Cluster, namespace: str, start: Start, pods: Pods
) -> None:
    """With the namespace goes the place for Events: the Event is about the namespace then."""
    broker = start()
    pods.serving(broker, "qwen").delete()
    cluster.kubectl("delete", "namespace", namespace)
    until("row removed", lambda: not pods.rows())
    until("Event", lambda: (namespace, "pod_gone") in events(cluster, "default"))


def test_dry_run_says_what_would_be_removed(
    cluster: Cluster, namespace: str, start: Start, pods: Pods, proxy: LiteLLM
) -> None:
    """And removes nothing."""
    broker = start("--reap", "dry-run")
    pods.serving(broker, "stays")
    gone = pods.serving(broker, "gone")
    gone.delete()
    until("Event", lambda: ("gone", "pod_gone") in events(cluster, namespace))
    (line,) = [line for line in broker.lines() if line["event"] == "dry-run"]
    assert (line["id"], line["message"]) == (pods.id(gone, "gone"), "Row would be removed: its pod is gone.")
    assert pods.id(gone, "gone") in proxy.stored()
    assert figure(broker, 'reaper_removed_total{reason="pod_gone"}') == 0


def test_more_than_the_share_waits_for_a_person(cluster: Cluster, start: Start, pods: Pods) -> None:
    """Three rows of four are due and one may go: none goes, until a person says so, as the Event tells."""
    before = start()
    stays, *gone = (pods.serving(before, name) for name in ("stays", "a", "b", "c"))
    before.stop()
    for pod in gone:
        pod.delete()
    # it finds all three at once: of three that go one after the other the first might go alone
    broker = start("--reap-at-least", "1")
    until("brake", lambda: figure(broker, 'reaper_held{brake="share"}') == 1)
    assert len(pods.rows()) == 4
    (line,) = [line for line in broker.lines() if line.get("brake") == "share"]
    command = f"kubectl annotate lease -n {NAMESPACE} {LEASE} {LEAVE}=3"
    assert command in line["message"]
    until("Event", lambda: (LEASE, "share") in events(cluster, NAMESPACE))
    cluster.kubectl(*command.split()[1:])
    until("rows removed", lambda: pods.rows() == {pods.id(stays, "stays")})
    annotations = cluster.get("lease", LEASE, NAMESPACE)["metadata"]["annotations"]
    assert LEAVE not in annotations
    assert WRITTEN in annotations


def test_two_brokers_have_one_reaper(start: Start, pods: Pods) -> None:
    """The second takes over when the first is killed, and removes what went meanwhile."""
    first = start()
    until("the first leads", lambda: leads(first))
    second = start(replica=1)
    stays = pods.serving(second, "stays")
    gone = pods.serving(second, "gone")
    assert not leads(second)
    first.kill()
    gone.delete()
    until("row removed", lambda: pods.rows() == {pods.id(stays, "stays")})
    until("the second leads", lambda: leads(second))


def test_an_api_server_that_cannot_be_read_holds_the_reaper(
    cluster: Cluster, start: Start, pods: Pods
) -> None:
    """Without its right to list pods nothing is removed; once it has it again, what is due goes."""
    broker = start()
    until("the broker leads", lambda: leads(broker))
    stays, gone = pods.serving(broker, "stays"), pods.serving(broker, "gone")
    role = ("clusterrolebinding", "litellm-registrar-broker")
    saved = cluster.get(*role)
    cluster.kubectl("delete", *role)
    may = ("list", "pods", "--all-namespaces")
    try:
        rights(cluster, NAMESPACE, ACCOUNT, *may, has=False)
        gone.delete()
        until("brake", lambda: figure(broker, 'reaper_held{brake="kubernetes_unread"}') == 1)
        assert pods.rows() == {pods.id(stays, "stays"), pods.id(gone, "gone")}
    finally:
        kept = {key: saved["metadata"][key] for key in ("name", "labels") if key in saved["metadata"]}
        cluster.create({**saved, "metadata": kept})
        rights(cluster, NAMESPACE, ACCOUNT, *may)
    until("row removed", lambda: pods.rows() == {pods.id(stays, "stays")})
