"""Rules over what a pod may do to its node."""

from __future__ import annotations

from typing import Any

import pytest

from tests.restricted import violations
from tests.rules import check, subject, told
from webhook.policy.pod_security import PARTS
from webhook.policy.subject import Subject

KINDS = ("initContainers", "containers", "ephemeralContainers")
BASELINE = tuple(
    part
    for part in PARTS
    if part
    not in {
        *("hostUsers", "shareProcessNamespace"),
        *("privilegeEscalation", "runAsRoot", "noSeccomp", "keepCapabilities"),
    }
)
PROFILES = "RuntimeDefault or Localhost"
RESTRICTED: dict[str, Any] = {
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "privileged": False,
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "x"},
        "seLinuxOptions": {"type": "container_t", "level": "s0:c1"},
        "procMount": "Default",
    },
    "ports": [{"containerPort": 8000, "hostPort": 0}],
    "livenessProbe": {"httpGet": {"port": 8000}},
    "lifecycle": {"preStop": {"httpGet": {"path": "/drain", "port": 9000}}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_restricted_container_passes_every_part(kind: str) -> None:
    """What the standard's strictest profile takes is taken, if the pod has user namespaces as well."""
    raw = {"spec": {"hostUsers": False, kind: [{"name": "a", **RESTRICTED}]}}
    assert check("podSecurity.deny", list(PARTS), subject(raw)) == []


def test_an_ordinary_pod_passes_the_baseline() -> None:
    """A pod that says nothing is fine by the baseline, and not by the restricted profile."""
    judged = subject({"spec": {"containers": [{"name": "a"}]}})
    assert check("podSecurity.deny", list(BASELINE), judged) == []
    assert [item.part for item in check("podSecurity.deny", list(PARTS), judged)] == [
        *("hostUsers", "privilegeEscalation", "runAsRoot", "noSeccomp", "keepCapabilities")
    ]


@pytest.mark.parametrize(
    ("part", "spec", "found"),
    [
        ("hostNetwork", {"hostNetwork": True}, "hostNetwork: true -> false"),
        ("hostPID", {"hostPID": True}, "hostPID: true -> false"),
        ("hostIPC", {"hostIPC": True}, "hostIPC: true -> false"),
        ("hostIPC", {"hostIPC": "true"}, "hostIPC: 'true' -> false"),
        ("hostIPC", {"hostIPC": False}, None),
        ("shareProcessNamespace", {"shareProcessNamespace": True}, "shareProcessNamespace: true -> false"),
        ("hostUsers", {}, "hostUsers: nothing -> false"),
        ("hostUsers", {"hostUsers": True}, "hostUsers: true -> false"),
        ("hostUsers", {"hostUsers": False}, None),
        (
            "hostPath",
            {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/var/run"}}]},
            "volumes[1].hostPath: '/var/run' -> another kind of volume",
        ),
        (
            "hostPath",
            {"volumes": [{"name": "b", "hostPath": {}}]},
            "volumes[0].hostPath: nothing -> another kind of volume",
        ),
        ("hostPath", {"volumes": [{"name": "b", "hostPath": None, "emptyDir": {}}]}, None),
        (
            "unsafeSysctls",
            {
                "securityContext": {
                    "sysctls": [{"name": "net.ipv4.tcp_syncookies"}, {"name": "kernel.msgmax"}]
                }
            },
            "securityContext.sysctls[1].name: 'kernel.msgmax' -> only those the kubelet calls safe",
        ),
        (
            "unconfinedSeccomp",
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            f"securityContext.seccompProfile.type: 'Unconfined' -> {PROFILES}",
        ),
        (
            "unconfinedAppArmor",
            {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
            f"securityContext.appArmorProfile.type: 'Unconfined' -> {PROFILES}",
        ),
        (
            "runAsRoot",
            {"securityContext": {"runAsNonRoot": False}, "containers": [{"name": "a"}]},
            "securityContext.runAsNonRoot: false -> true",
        ),
        (
            "runAsRoot",
            {"securityContext": {"runAsUser": 0}},
            "securityContext.runAsUser: 0 -> another user",
        ),
        (
            "hostProcess",
            {"securityContext": {"windowsOptions": {"hostProcess": True}}},
            "securityContext.windowsOptions.hostProcess: true -> false",
        ),
    ],
)
def test_parts_of_the_pod(part: str, spec: dict[str, Any], found: str | None) -> None:
    """Each part that is about the whole pod, with its path."""
    expected = [f"spec.template.spec.{found}"] if found else []
    judged = subject({"spec": spec}, path="spec.template.spec")
    assert told("podSecurity.deny", [part], judged) == expected
    assert {item.part for item in check("podSecurity.deny", [part], judged)} == ({part} if found else set())


@pytest.mark.parametrize(
    ("part", "container", "found"),
    [
        ("privileged", {"privileged": True}, "privileged: true -> false"),
        ("privileged", {"privileged": None}, None),
        ("procMount", {"procMount": "Unmasked"}, "procMount: 'Unmasked' -> Default"),
        (
            "addCapabilities",
            {"capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}},
            "capabilities.add[1]: 'SYS_ADMIN' -> none beyond a runtime's default",
        ),
        (
            "addCapabilities",
            {"capabilities": {"add": ["chown"]}},
            "capabilities.add[0]: 'chown' -> none beyond a runtime's default",
        ),
        (
            "addCapabilities",
            {"capabilities": {"add": ["ALL"]}},
            "capabilities.add[0]: 'ALL' -> none beyond a runtime's default",
        ),
        ("addCapabilities", {"capabilities": {"add": "ALL"}}, None),
        (
            "addCapabilities",
            {"capabilities": {"add": ["CHOWN"] * 101}},
            "capabilities.add: 101 of them -> none beyond a runtime's default",
        ),
        ("keepCapabilities", {"capabilities": {"drop": ["KILL"]}}, "capabilities.drop: not ALL -> ALL"),
        ("keepCapabilities", {}, "capabilities.drop: not ALL -> ALL"),
        (
            "keepCapabilities",
            {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}},
            "capabilities.add: 'CHOWN' -> at most NET_BIND_SERVICE",
        ),
        (
            "unconfinedSeccomp",
            {"seccompProfile": {"type": "Unconfined"}},
            f"seccompProfile.type: 'Unconfined' -> {PROFILES}",
        ),
        (
            "noSeccomp",
            {"seccompProfile": {"type": "Unconfined"}},
            "seccompProfile.type: 'Unconfined' -> RuntimeDefault or Localhost",
        ),
        (
            "seLinuxOptions",
            {"seLinuxOptions": {"type": "spc_t"}},
            (
                "seLinuxOptions.type: 'spc_t' -> container_t or container_init_t or "
                "container_kvm_t or container_engine_t"
            ),
        ),
        (
            "seLinuxOptions",
            {"seLinuxOptions": {"user": "system_u"}},
            "seLinuxOptions.user: 'system_u' -> no such field",
        ),
        (
            "hostProcess",
            {"windowsOptions": {"hostProcess": True}},
            "windowsOptions.hostProcess: true -> false",
        ),
        (
            "privilegeEscalation",
            {"allowPrivilegeEscalation": True},
            "allowPrivilegeEscalation: true -> false",
        ),
        ("runAsRoot", {"runAsNonRoot": False}, "runAsNonRoot: false -> true, here or for the pod"),
        ("runAsRoot", {"runAsNonRoot": True, "runAsUser": 0}, "runAsUser: 0 -> another user"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_containers(kind: str, part: str, container: dict[str, Any], found: str | None) -> None:
    """Each part that is about a security context, in containers of every kind."""
    raw = {"spec": {kind: [{"name": "a", "securityContext": container}]}}
    expected = [f"spec.{kind}[0].securityContext.{found}"] if found else []
    assert told("podSecurity.deny", [part], subject(raw)) == expected


@pytest.mark.parametrize(
    ("container", "parts"),
    [
        ({}, set()),
        ({"runAsNonRoot": False}, {"runAsRoot"}),
        ({"runAsUser": 0}, {"runAsRoot"}),
        ({"seccompProfile": {"type": "Unconfined"}}, {"noSeccomp"}),
    ],
)
def test_what_the_pod_says_counts_where_the_container_says_nothing(
    container: dict[str, Any], parts: set[str]
) -> None:
    """User and seccomp profile of the pod are every container's that has none of its own."""
    of_pod = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    raw = {"spec": {"securityContext": of_pod, "containers": [{"name": "a", "securityContext": container}]}}
    found = check("podSecurity.deny", ["runAsRoot", "noSeccomp"], subject(raw))
    assert {item.part for item in found} == parts


@pytest.mark.parametrize(
    ("container", "found"),
    [
        ({"ports": [{"containerPort": 80}, {"hostPort": 80}]}, ["ports[1].hostPort: 80 -> none"]),
        ({"ports": [{"hostPort": 0}]}, []),
        (
            {"readinessProbe": {"httpGet": {"host": "10.0.0.1", "port": 1}}},
            ["readinessProbe.httpGet.host: '10.0.0.1' -> none: the pod itself is asked"],
        ),
        (
            {"lifecycle": {"postStart": {"tcpSocket": {"host": "a"}}, "preStop": {"httpGet": {"host": "b"}}}},
            [
                "lifecycle.postStart.tcpSocket.host: 'a' -> none: the pod itself is asked",
                "lifecycle.preStop.httpGet.host: 'b' -> none: the pod itself is asked",
            ],
        ),
    ],
)
def test_ports_and_probes_of_the_host(container: dict[str, Any], found: list[str]) -> None:
    """No container takes a port of the node, or makes the kubelet ask somebody else."""
    raw = {"spec": {"containers": [{"name": "a", **container}]}}
    assert told("podSecurity.deny", ["hostPorts", "hostProbes"], subject(raw)) == [
        f"spec.containers[0].{line}" for line in found
    ]


def test_ports_the_api_server_fills_in_are_hostnetworks() -> None:
    """In the host's network it writes a hostPort beside each port of a pod, and of no template."""
    ports = [{"containerPort": 8000, "hostPort": 8000}, {"containerPort": 1, "hostPort": 2}]
    raw = {"spec": {"hostNetwork": True, "containers": [{"name": "a", "ports": ports}]}}
    assert told("podSecurity.deny", ["hostPorts", "hostNetwork"], subject(raw)) == [
        "spec.hostNetwork: true -> false",
        "spec.containers[0].ports[1].hostPort: 2 -> none",
    ]


def test_apparmor_by_annotation() -> None:
    """The older way to say it counts until a field does."""
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    values = {"a": "unconfined", "b": "runtime/default", "c": "localhost/x", "d": ""}
    raw = {"metadata": {"annotations": {prefix + name: value for name, value in values.items()}}, "spec": {}}
    assert told("podSecurity.deny", ["unconfinedAppArmor"], subject(raw)) == [
        f"metadata.annotations[{prefix}a]: 'unconfined' -> runtime/default"
    ]


def test_a_part_that_is_not_denied_is_not_looked_for() -> None:
    """Each part is by itself."""
    raw = {"spec": {"hostNetwork": True, "hostPID": True, "containers": [{"name": "a"}]}}
    assert [item.part for item in check("podSecurity.deny", ["hostPID"], subject(raw))] == ["hostPID"]


@pytest.mark.parametrize(
    "context",
    [
        {"privileged": True},
        {"procMount": "Unmasked"},
        {"appArmorProfile": {"type": "Unconfined"}},
        {"seLinuxOptions": {"type": "spc_t"}},
        {"seLinuxOptions": {"role": "sysadm_r"}},
        {"windowsOptions": {"hostProcess": True}},
        {"allowPrivilegeEscalation": True},
        {"runAsNonRoot": False},
        {"runAsUser": 0},
        {"seccompProfile": {"type": "Unconfined"}},
        {"seccompProfile": None},
        {"capabilities": {"drop": ["NET_RAW"]}},
        {"capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}},
        {},
    ],
)
def test_it_agrees_with_the_standard_written_down_elsewhere(context: dict[str, Any]) -> None:
    """The tests' own reading of the standard finds something exactly where the rule does."""
    container = {**RESTRICTED, "securityContext": {**RESTRICTED["securityContext"], **context}}
    judged = subject({"spec": {"hostUsers": False, "containers": [{"name": "a", **container}]}})
    assert bool(check("podSecurity.deny", list(PARTS), judged)) == bool(violations(container))


def projected(name: str, **token: Any) -> dict[str, Any]:
    """Give a projected volume with a token behind something else."""
    sources = [
        {"configMap": {"name": "kube-root-ca.crt"}},
        {"serviceAccountToken": {"path": "token", **token}},
    ]
    return {"name": name, "projected": {"sources": sources}}


AUTOMOUNT = "spec.automountServiceAccountToken: nothing -> false"
BY_HAND = (
    "spec.volumes[0].projected.sources[1].serviceAccountToken: a token for the Kubernetes API"
    " -> no token, or one for another audience"
)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"automountServiceAccountToken": False}, []),
        ({}, [AUTOMOUNT]),
        ({"automountServiceAccountToken": True}, [AUTOMOUNT.replace("nothing", "true")]),
        # the volume that the API server adds goes with the field
        ({"volumes": [projected("kube-api-access-x2x4z")]}, [AUTOMOUNT]),
        (
            {"automountServiceAccountToken": False, "volumes": [projected("kube-api-access-x2x4z")]},
            [BY_HAND],
        ),
        ({"automountServiceAccountToken": False, "volumes": [projected("token")]}, [BY_HAND]),
        (
            {"automountServiceAccountToken": False, "volumes": [projected("token", audience="kubernetes")]},
            [BY_HAND],
        ),
        (
            {
                "automountServiceAccountToken": False,
                "volumes": [projected("aws-iam-token", audience="sts.amazonaws.com")],
            },
            [],
        ),
        (
            {
                "automountServiceAccountToken": False,
                "volumes": [projected("litellm-registrar-token", audience="litellm-registrar.io")],
            },
            [],
        ),
    ],
)
def test_tokens_for_the_api_server(spec: dict[str, Any], found: list[str]) -> None:
    """A token is found if it is mounted unasked or by hand, but not one for a cloud or for our broker."""
    assert told("podSecurity.serviceAccountToken", "warn", subject({"spec": spec})) == found


def test_another_audience_of_the_broker() -> None:
    """Whom the registrars' tokens are for is what the webhook was told; then no other name stands for it."""
    for audience, expected in (("us", []), ("litellm-registrar.io", [BY_HAND])):
        spec = {
            "automountServiceAccountToken": False,
            "volumes": [projected("litellm-registrar-token", audience=audience)],
        }
        judged = Subject({"spec": spec}, own_audience="us")
        assert told("podSecurity.serviceAccountToken", "warn", judged) == expected
