"""The tests' own kubelet resolves a pod as the real one does."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.kubelet import CreateContainerConfigError, container_process, expand, pre_stop, readiness


def pod(*env: dict[str, Any], **container: Any) -> dict[str, Any]:
    """Give a pod with a plain server and a native sidecar with that environment."""
    registrar = {"name": "registrar", "command": ["python", "-m", "sidecar"], "env": list(env), **container}
    return {
        "metadata": {"name": "qwen-0", "namespace": "models", "labels": {"app": "qwen"}},
        "spec": {
            "terminationGracePeriodSeconds": 165,
            "initContainers": [registrar],
            "containers": [{"name": "server", "image": "vllm/vllm-openai"}],
        },
    }


def env_of(*entries: dict[str, Any]) -> dict[str, str]:
    """Resolve these entries with one Secret at hand."""
    secrets = {"litellm-registrar": {"key": "sk-1"}}
    return container_process(
        pod(*entries), "registrar", pod_ip="127.0.0.2", uid="u-1", node="n", secrets=secrets
    )[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)/v1", "one/v1"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("$(A", "$(A"),
        ("$A $$", "$A $"),
        ("$$$(A)", "$one"),
    ],
)
def test_expansion_is_the_kubelets(text: str, expected: str) -> None:
    """Only `$(NAME)` of a known name is replaced, and `$$` is one dollar."""
    assert expand(text, {"A": "one"}) == expected


def test_environment_is_read_in_order() -> None:
    """A literal may refer to what stands before it, not to what comes after."""
    entries = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "3"}]
    assert env_of(*entries) == {"A": "1", "B": "1$(C)", "C": "3"}


def test_downward_api() -> None:
    """Fields of the pod become values."""

    def field(name: str, path: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    got = env_of(
        field("IP", "status.podIP"),
        field("UID", "metadata.uid"),
        field("NODE", "spec.nodeName"),
        field("APP", "metadata.labels['app']"),
    )
    assert got == {"IP": "127.0.0.2", "UID": "u-1", "NODE": "n", "APP": "qwen"}
    with pytest.raises(CreateContainerConfigError, match=r"spec\.nothing"):
        env_of(field("X", "spec.nothing"))


def test_secret_references() -> None:
    """A key becomes its value; an optional missing one no variable, any other missing one an error."""

    def secret(key: str, **more: Any) -> dict[str, Any]:
        return {"name": "S", "valueFrom": {"secretKeyRef": {"name": "litellm-registrar", "key": key, **more}}}

    assert env_of(secret("key")) == {"S": "sk-1"}
    assert env_of(secret("nothing", optional=True)) == {}
    with pytest.raises(CreateContainerConfigError, match="nothing"):
        env_of(secret("nothing"))


def test_command() -> None:
    """The first word python is this interpreter, arguments are expanded; no command, no process."""
    patched = pod({"name": "A", "value": "1"}, args=["--a=$(A)"])
    argv, _ = container_process(patched, "registrar", pod_ip="127.0.0.2", uid="u-1", node="n", secrets={})
    assert argv == [sys.executable, "-m", "sidecar", "--a=1"]
    with pytest.raises(CreateContainerConfigError, match="no command"):
        container_process(patched, "server", pod_ip="127.0.0.2", uid="u-1", node="n", secrets={})


def test_calls() -> None:
    """Hook and probe go to the pod's address, a named port is looked up, headers are kept."""
    patched = pod(
        ports=[{"name": "drain", "containerPort": 9469}],
        lifecycle={
            "preStop": {
                "httpGet": {"path": "/drain", "port": "drain", "httpHeaders": [{"name": "N", "value": "x"}]}
            }
        },
        readinessProbe={"httpGet": {"path": "/ready", "port": 9469}, "timeoutSeconds": 2},
    )
    hook = pre_stop(patched, "registrar", "127.0.0.2")
    assert hook is not None
    assert (hook.url, hook.headers["N"], hook.timeout) == ("http://127.0.0.2:9469/drain", "x", 165)
    probe = readiness(patched, "registrar", "fd00::1")
    assert probe is not None
    assert (probe.url, probe.timeout) == ("http://[fd00::1]:9469/ready", 2)
    assert pre_stop(patched, "server", "127.0.0.2") is None
