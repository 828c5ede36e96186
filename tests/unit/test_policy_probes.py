"""Rules over the probes of the model server."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.contract import Engine
from tests.rules import subject, told

VLLM = {"name": "server", "image": "vllm/vllm-openai:v1", "args": ["--model", "a/b"]}
PROXY = {"name": "istio-proxy", "image": "istio/proxyv2:1"}
REGISTRAR = {"name": "registrar", "image": "example.com/registrar:1"}


def pod(*containers: Any, **metadata: Any) -> dict[str, Any]:
    """Give a pod."""
    return {"metadata": metadata, "spec": {"containers": list(containers)}}


@pytest.mark.parametrize(
    ("probes", "lacking"),
    [
        ({}, ["readiness", "startup"]),
        ({"readinessProbe": {"httpGet": {"port": 8000}}}, ["startup"]),
        ({"readinessProbe": {"exec": {}}, "startupProbe": {"grpc": {"port": 1}}}, []),
        ({"readinessProbe": {}, "startupProbe": {"periodSeconds": 1}}, ["readiness", "startup"]),
        ({"readinessProbe": None, "startupProbe": "yes"}, ["readiness", "startup"]),
        ({"livenessProbe": {"tcpSocket": {"port": 1}}}, ["readiness", "startup"]),
    ],
)
def test_the_server_must_have_probes(probes: dict[str, Any], lacking: list[str]) -> None:
    """Each kind that is asked for, with something to do; sidecars and the registrar need none."""
    judged = subject(pod(PROXY, {**VLLM, **probes}, REGISTRAR))
    assert told("probes.require", ["readiness", "startup"], judged) == [
        f"spec.containers[1].{kind}Probe: none -> a {kind} probe of the server" for kind in lacking
    ]


def test_the_annotation_says_which_container_it_is() -> None:
    """The server is the one that injection takes."""
    judged = subject(pod(VLLM, PROXY, annotations={"litellm-registrar.io/container": "istio-proxy"}))
    assert [line.partition(":")[0] for line in told("probes.require", ["liveness"], judged)] == [
        "spec.containers[1].livenessProbe"
    ]


def test_where_it_cannot_be_told_each_that_serves_is_meant() -> None:
    """Of two servers neither escapes; a sidecar stays out of it."""
    judged = subject(pod(VLLM, {**VLLM, "name": "second"}, PROXY))
    assert [line.partition(":")[0] for line in told("probes.require", ["readiness"], judged)] == [
        "spec.containers[0].readinessProbe",
        "spec.containers[1].readinessProbe",
    ]


def test_a_pod_without_our_label() -> None:
    """Behind the door for unlabelled pods any engine's server is looked for."""
    judged = subject(pod({"name": "a", "image": "ollama/ollama"}, PROXY), engine=None)
    assert len(told("probes.require", ["readiness"], judged)) == 1
    assert told("probes.require", ["readiness"], subject(pod(PROXY), engine=None)) == []


def test_workers_of_a_group_serve_nobody() -> None:
    """Only the leader of a LeaderWorkerSet answers requests."""
    label = "leaderworkerset.sigs.k8s.io/worker-index"
    assert told("probes.require", ["readiness"], subject(pod(VLLM, labels={label: "1"}))) == []
    assert len(told("probes.require", ["readiness"], subject(pod(VLLM, labels={label: "0"})))) == 1


def test_no_pod_is_too_big_to_be_looked_at() -> None:
    """Beyond what is read of a pod every container is meant."""
    judged = subject(pod(*({"name": f"a{index}"} for index in range(600))), engine=Engine.AUTO)
    assert len(told("probes.require", ["readiness"], judged)) == 600
