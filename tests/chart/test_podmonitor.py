"""Whom a real Prometheus reads that follows the chart's PodMonitor.

Debian's Prometheus cannot ask Kubernetes: what it would find of pods is made here; the rules are its own.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from sidecar.contract import CONTAINER_NAME, LABEL_CARRIED, LABEL_SERVER
from sidecar.endpoint import Endpoint
from sidecar.metrics import Metrics
from tests.chart.rendering import JSON, one, rendered, values
from tests.injected import injected
from tests.peers.scripts import free_port

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ADDRESS: Final = "127.0.0.1"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Let a registrar's own endpoint listen, for all pods of the test."""

    async def no_drain() -> Mapping[str, Any]:
        return {}

    endpoint = Endpoint(
        "nonce",
        drain=no_drain,
        ready=lambda: True,
        status=dict,
        metrics=Metrics().page,
        wrong_nonce=lambda _: None,
    )
    yield await endpoint.start(ADDRESS, 0)
    await endpoint.stop()


def pod(
    name: str,
    port: int,
    *,
    label: str = LABEL_SERVER,
    container: str = CONTAINER_NAME,
    phase: str = "Running",
) -> JSON:
    """Give an injected pod with that label, whose registrar is called so and listens there."""
    made = injected("team-a", name)
    made["metadata"]["labels"] = {label: "vllm"}
    (registrar,) = made["spec"]["initContainers"]
    registrar["name"], registrar["ports"][0]["containerPort"] = container, port
    return {**made, "status": {"phase": phase}}


def discovered(pod: JSON) -> list[JSON]:
    """Give the targets that Prometheus finds in a pod, before any rule.

    `buildPod` in github.com/prometheus/prometheus, discovery/kubernetes/pod.go; init containers are among
    them since its pull request 5598.
    """
    metadata, spec, phase = pod["metadata"], pod["spec"], pod["status"]["phase"]
    common = {"pod_name": metadata["name"], "pod_phase": phase} | {
        f"pod_labelpresent_{re.sub('[^a-zA-Z0-9_]', '_', key)}": "true" for key in metadata["labels"]
    }
    targets = []
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        for port in container.get("ports", ()):
            found = {
                "pod_container_name": container["name"],
                "pod_container_port_name": port.get("name", ""),
            }
            meta = {f"__meta_kubernetes_{name}": value for name, value in (common | found).items()}
            targets.append({"targets": [f"{ADDRESS}:{port['containerPort']}"], "labels": meta})
    return targets


def scrape_config(monitor: JSON, pods: Iterable[JSON]) -> JSON:
    """Give what the Prometheus Operator makes of a PodMonitor, as far as it tells whom to ask.

    `generatePodMonitorConfig` in github.com/prometheus-operator/prometheus-operator v0.85,
    pkg/prometheus/promcfg.go.
    """
    spec = monitor["spec"]
    assert (spec["namespaceSelector"], spec["selector"]) == ({"any": True}, {})
    (endpoint,) = spec["podMetricsEndpoints"]
    own = [
        {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key): value for key, value in rule.items()}
        for rule in endpoint["relabelings"]
    ]
    ended = {
        "action": "drop",
        "source_labels": ["__meta_kubernetes_pod_phase"],
        "regex": "(Failed|Succeeded)",
    }
    named = {
        "action": "keep",
        "source_labels": ["__meta_kubernetes_pod_container_port_name"],
        "regex": endpoint["port"],
    }
    told = {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"}
    return {
        "job_name": "registrars",
        "scrape_interval": "1s",
        "static_configs": [target for pod in pods for target in discovered(pod)],
        "relabel_configs": [ended, named, told, *own],
    }


@contextmanager
def prometheus(config: JSON, folder: Path) -> Iterator[str]:
    """Run Prometheus with one scrape config; give its address."""
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": [config]}))
    address = f"{ADDRESS}:{free_port(ADDRESS)}"
    words = [f"--config.file={file}", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address={address}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["prometheus", *words], stdout=log, stderr=subprocess.STDOUT)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(60)


async def read(url: str) -> set[str]:
    """Wait until every pod that Prometheus asks has answered; give their names."""
    async with asyncio.timeout(200), httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        while True:
            await asyncio.sleep(0.5)
            try:
                asked = await client.get("/api/v1/targets", params={"state": "active"})
                told = await client.get("/api/v1/query", params={"query": "litellm_registrar_info == 1"})
            except httpx.TransportError:  # it has just been started
                continue
            if not (asked.is_success and told.is_success):
                continue
            targets = {target["labels"]["pod"] for target in asked.json()["data"]["activeTargets"]}
            if targets and targets == {one["metric"]["pod"] for one in told.json()["data"]["result"]}:
                return targets


async def test_prometheus_reads_registrars_and_nobody_else(port: int, tmp_path: Path) -> None:
    """Injected pods, labelled themselves or by their workload; not ended ones, not others' `registrar`s."""
    pods = (
        pod("labelled", port),
        pod("carried", port, label=LABEL_CARRIED),
        pod("somebody-elses", port, label="app"),
        pod("another-container", port, container="other"),
        pod("ended", port, phase="Failed"),
    )
    monitor = one(rendered(values(metrics={"podMonitor": {"enabled": True}})), "PodMonitor")
    with prometheus(scrape_config(monitor, pods), tmp_path) as url:
        assert await read(url) == {"labelled", "carried"}
