"""The registrar's container: what is in it, and how it is recognised."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import contract
from sidecar.contract import Credentials, Engine, PodIdentity, ReadyCheck, Settings
from tests.kubelet import container_process, expand
from tests.restricted import violations
from webhook import access, container
from webhook.container import Installed

SETTINGS = Settings(cluster="c", engine=Engine.VLLM, port=8000, nonce="n0nce", listen_port=9470)
RESOURCES = {"requests": {"cpu": "20m"}, "limits": {"cpu": "250m"}}


def built(settings: Settings = SETTINGS, **changes: Any) -> dict[str, Any]:
    """Build a container with some of its parts changed."""
    parts: dict[str, Any] = {
        "image": "registry.example.com/sidecar:1",
        "access": access.by_secret("litellm"),
        "api_key": None,
        "resources": RESOURCES,
        "ids": (65534, 65534),
        "native": True,
    }
    return container.registrar(settings, **{**parts, **changes})


def variables(pod_container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the container's variables by name."""
    return {entry["name"]: entry for entry in pod_container["env"]}


@pytest.mark.parametrize("native", [True, False])
def test_restricted(native: bool) -> None:  # noqa: FBT001 - both values of the parameter
    """The container passes the restricted Pod Security Standard by itself, in both modes."""
    assert violations(built(native=native)) == []


@pytest.mark.parametrize(
    ("path", "value", "control"),
    [
        (("securityContext", "privileged"), True, "Privileged Containers"),
        (("securityContext", "allowPrivilegeEscalation"), None, "Privilege Escalation"),
        (("securityContext", "runAsNonRoot"), None, "Running as Non-root:"),
        (("securityContext", "runAsUser"), 0, "Running as Non-root user"),
        (("securityContext", "runAsUser"), None, "Running as Non-root user"),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}, "Seccomp"),
        (("securityContext", "seccompProfile"), None, "Seccomp"),
        (("securityContext", "capabilities"), {"drop": ["NET_RAW"]}, "Capabilities: ALL"),
        (("securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_PTRACE"]}, "Capabilities: only"),
        (("securityContext", "procMount"), "Unmasked", "/proc Mount Type"),
        (("securityContext", "appArmorProfile"), {"type": "Unconfined"}, "AppArmor"),
        (("securityContext", "seLinuxOptions"), {"type": "spc_t"}, "SELinux"),
        (("securityContext", "seLinuxOptions"), {"role": "sysadm_r"}, "SELinux"),
        (("securityContext", "windowsOptions"), {"hostProcess": True}, "HostProcess"),
        (("ports",), [{"containerPort": 1, "hostPort": 1}], "Host Ports"),
        (("readinessProbe",), {"httpGet": {"port": 1, "host": "h"}}, "Host Probes"),
        (("lifecycle",), {"preStop": {"tcpSocket": {"port": 1, "host": "h"}}}, "Host Probes"),
    ],
)
def test_the_checker_can_fail(path: tuple[str, ...], value: Any, control: str) -> None:
    """Each control of the standard is one that the checker tells broken."""
    broken = built()
    broken["securityContext"] = dict(broken["securityContext"])
    holder = broken
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    assert [found for found in violations(broken) if found.startswith(control)]
    assert len(violations(broken)) == 1


def test_native_sidecar_or_container() -> None:
    """Only the native sidecar has a restartPolicy: it stands among the init containers."""
    assert built(native=True)["restartPolicy"] == "Always"
    assert "restartPolicy" not in built(native=False)


def test_no_probe_can_restart_it() -> None:
    """It has a readinessProbe only: a restart of its own would run its preStop and drain a healthy server."""
    ours = built()
    assert "livenessProbe" not in ours
    assert "startupProbe" not in ours
    assert ours["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 9470, "scheme": "HTTP"}


def test_its_own_hook_drains() -> None:
    """Its preStop asks for the same drain as the server's, by the pod's address and with the nonce."""
    hook = built()["lifecycle"]["preStop"]
    assert hook == container.drain_hook(9470, "n0nce")
    assert hook["httpGet"]["path"] == "/drain"
    assert "host" not in hook["httpGet"]
    assert hook["httpGet"]["httpHeaders"] == [{"name": contract.NONCE_HEADER, "value": "n0nce"}]


def test_the_image_is_pulled_as_the_cluster_says() -> None:
    """No imagePullPolicy is set, the end is told by the log, and the process is the contract's command."""
    ours = built()
    assert "imagePullPolicy" not in ours
    assert ours["image"] == "registry.example.com/sidecar:1"
    assert ours["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert ours["command"] == list(contract.COMMAND)
    assert ours["ports"] == [{"name": "registrar", "containerPort": 9470}]


def test_resources() -> None:
    """Resources are those given; a pod with resources of its own as a whole gives none."""
    assert built()["resources"] == RESOURCES
    assert "resources" not in built(resources=None)


def test_no_gpu() -> None:
    """The container runtime is told to show it no GPU."""
    assert variables(built())["NVIDIA_VISIBLE_DEVICES"]["value"] == "void"


def test_every_reference_is_optional() -> None:
    """A Secret or ConfigMap that is missing never keeps the pod from starting, the server's key's neither."""
    for kind in ("secretKeyRef", "configMapKeyRef"):
        key = {"valueFrom": {kind: {"name": "x", "key": "k", "optional": False}}}
        references = [
            reference
            for entry in built(api_key=key)["env"]
            for where, reference in entry.get("valueFrom", {}).items()
            if where != "fieldRef"
        ]
        assert len(references) == len(contract.SECRET_FIELDS) + 1
        assert all(reference["optional"] is True for reference in references)
        assert key["valueFrom"][kind]["optional"] is False, "the server's own reference is not ours to change"


def test_other_keys() -> None:
    """A field of the pod, which has no `optional`, is copied as it is; a literal is written as one."""
    field = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['key']"}}}
    for body, expected in ((field, field), ({"value": "sk-$1"}, {"value": "sk-$$1"})):
        entry = variables(built(api_key=body))[contract.ENV_SERVER_API_KEY]
        assert entry == {"name": contract.ENV_SERVER_API_KEY, **expected}


def test_no_key_no_variable() -> None:
    """A server without a key leaves the variable out."""
    assert contract.ENV_SERVER_API_KEY not in variables(built())


def test_the_registrar_reads_what_was_written() -> None:
    """By way of a kubelet, the registrar gets the very settings, identity and credentials."""
    settings = Settings(
        cluster="$(REGISTRAR_POD)",
        engine=Engine.OLLAMA,
        port=11434,
        nonce="abc",
        name_template="$$(x)$y{model}$",
        server_ready=ReadyCheck(port=1, path="/$(REGISTRAR_NONCE)", headers=(("A", "$$"),)),
        include="-awq$",
        aliases=(contract.Alias("$(REGISTRAR_NONCE)"),),
        model_info={"$(REGISTRAR_NONCE)": ["$(REGISTRAR_LITELLM_KEY)", "$$"]},
        litellm_params={"tags": ["$(REGISTRAR_LITELLM_KEY)"]},
        overrides=(contract.Override("$", {"note": "$(REGISTRAR_LITELLM_KEY)"}),),
    )
    pod = {
        "metadata": {"name": "pod-1", "namespace": "team-a"},
        "spec": {"initContainers": [built(settings, api_key={"value": "k$1"})], "containers": []},
    }
    secrets = {"litellm": {"url": "http://litellm:4000", "key": "sk-1"}}
    argv, env = container_process(pod, "registrar", pod_ip="10.0.0.9", uid="u-1", node="n", secrets=secrets)
    assert argv[1:] == ["-m", "sidecar"]
    assert Settings.from_env(env) == settings
    assert PodIdentity.from_env(env) == PodIdentity("team-a", "pod-1", "u-1", "10.0.0.9", "n")
    assert Credentials.from_env(env) == Credentials("http://litellm:4000", "sk-1", None, "k$1")


@given(st.text(st.sampled_from("$()aB_{}"), max_size=12))
def test_literals_survive_the_kubelet(text: str) -> None:
    """Whatever a literal holds, the kubelet's expansion gives it back."""
    assert expand(access.literal(text), {"a": "WRONG", "B": "WRONG"}) == text


def test_ours_is_recognised() -> None:
    """A registrar that is there already tells its nonce and its port."""
    assert container.installed(built()) == Installed("n0nce", 9470)


def test_recognised_after_others_changed_it() -> None:
    """A mount, another variable or another image do not make it foreign."""
    ours = built(image="mirror.example.com/sidecar@sha256:0")
    ours["volumeMounts"] = [{"name": "kube-api-access-x", "mountPath": "/var/run/secrets"}]
    ours["env"] = [{"name": "HTTP_PROXY", "value": "http://proxy"}, *ours["env"]]
    assert container.installed(ours) == Installed("n0nce", 9470)


@pytest.mark.parametrize(
    "env",
    [
        None,
        [],
        "env",
        ["REGISTRAR_CONTRACT", "REGISTRAR_NONCE"],
        [{"name": "REGISTRAR_CONTRACT", "value": "1"}],
        [{"name": "REGISTRAR_NONCE", "value": "n"}],
        [{"name": "REGISTRAR_CONTRACT", "value": "1"}, {"name": "REGISTRAR_NONCE", "value": ""}],
        [{"name": "REGISTRAR_CONTRACT", "value": "1"}, {"name": "REGISTRAR_NONCE", "valueFrom": {}}],
    ],
)
def test_foreign_containers(env: Any) -> None:
    """Without the contract's version and a nonce in its environment, a container is not ours."""
    assert container.installed({"name": "registrar", "env": env}) is None


def test_port_of_a_damaged_one() -> None:
    """A registrar of ours whose port cannot be read is taken to be on the default port."""
    ours = built()
    ours["env"] = [entry for entry in ours["env"] if entry["name"] != "REGISTRAR_LISTEN_PORT"]
    assert container.installed(ours) == Installed("n0nce", contract.DEFAULT_PORT)


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (container.drain_hook(9470, "old"), True),
        ({"httpGet": {"path": "/drain", "port": 1}}, False),
        ({"httpGet": {"path": "/", "httpHeaders": [{"name": contract.NONCE_HEADER, "value": "x"}]}}, False),
        ({"exec": {"command": ["/drain"]}}, False),
        ({"sleep": {"seconds": 5}}, False),
        (None, False),
        ({"httpGet": []}, False),
    ],
)
def test_drain_hooks_are_recognised(handler: Any, expected: bool) -> None:  # noqa: FBT001 - a column
    """A hook of ours is told by its path and its header, whatever nonce and port it has."""
    assert container.is_drain_hook(handler) is expected
