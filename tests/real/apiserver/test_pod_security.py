"""The parts of `podSecurity.deny` against the API server's own PodSecurity admission."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from tests.peers.cluster import Cluster
from tests.rules import check, subject
from webhook.policy.pod_security import PARTS

pytestmark = pytest.mark.kube

ADDED = {"hostUsers", "shareProcessNamespace"}  # in no profile
ONLY_RESTRICTED = {"privilegeEscalation", "runAsRoot", "noSeccomp", "keepCapabilities"}
PROFILES = {
    "baseline": [part for part in PARTS if part not in ADDED | ONLY_RESTRICTED],
    "restricted": [part for part in PARTS if part not in ADDED],
}
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
# One field each, on the pod's security context or a container's.
ANYWHERE: list[dict[str, Any]] = [
    {},
    *({"seccompProfile": {"type": kind}} for kind in ("Unconfined", "RuntimeDefault")),
    *({"appArmorProfile": {"type": kind}} for kind in ("Unconfined", "RuntimeDefault")),
    *({"seLinuxOptions": {"type": kind}} for kind in ("", "spc_t", "container_t", "container_engine_t")),
    *({"seLinuxOptions": {field: "x"}} for field in ("user", "role", "level")),
    *({"runAsNonRoot": value} for value in (True, False)),
    *({"runAsUser": value} for value in (0, 1000)),
]
ON_THE_POD = [
    {"sysctls": [{"name": name, "value": "1"}]}
    for name in (
        *("kernel.shm_rmid_forced", "kernel.msgmax", "net.core.somaxconn", "net.ipv4.tcp_syncookies"),
        *("net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_fin_timeout"),
        *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net.ipv4.tcp_mem"),
    )
]
ON_CONTAINERS: list[dict[str, Any]] = [
    {"privileged": True, "allowPrivilegeEscalation": True},
    {"privileged": False},
    {"allowPrivilegeEscalation": True},
    {"capabilities": {"drop": ["NET_RAW"]}},
    *(
        {"capabilities": {"drop": ["ALL"], "add": [name]}}
        for name in (
            "CHOWN",
            "chown",
            "CAP_CHOWN",
            "NET_BIND_SERVICE",
            "NET_RAW",
            "SYS_ADMIN",
            "ALL",
            "MKNOD",
        )
    ),
]
FIELDS: list[dict[str, Any]] = [
    {"ports": [{"containerPort": 80, "hostPort": 81}]},
    {"ports": [{"containerPort": 80, "hostPort": 0}]},
    *({"readinessProbe": {"httpGet": {"port": 1, "host": host}}} for host in ("", "127.0.0.1", "a")),
    {"lifecycle": {"postStart": {"tcpSocket": {"port": 1, "host": "a"}}}},
    {"lifecycle": {"preStop": {"httpGet": {"port": 1}}}},
]
SPECS: list[dict[str, Any]] = [
    *({field: value} for field in ("hostNetwork", "hostPID", "hostIPC") for value in (True, False)),
    {"volumes": [{"name": "a", "hostPath": {"path": "/a"}}]},
    {"volumes": [{"name": "a", "emptyDir": {}}]},
]


def pods() -> list[dict[str, Any]]:
    """Give pods, restricted ones and others, with one field of the pod or its container changed, or both."""
    contexts = [
        *itertools.product(ANYWHERE, [{}, *ANYWHERE]),
        *(({}, own) for own in ON_CONTAINERS),
        *((own, {}) for own in ON_THE_POD),
    ]
    made: list[dict[str, Any]] = [
        {"securityContext": of_pod, "containers": [{"securityContext": base | own}]}
        for of_pod, own in contexts
        for base in ({}, RESTRICTED)
    ]
    made += [{"containers": [{"securityContext": RESTRICTED, **field}]} for field in FIELDS]
    made += [{"containers": [{"securityContext": RESTRICTED}], **spec} for spec in SPECS]
    for spec in made:
        spec["containers"][0] |= {"name": "server", "image": "x"}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{index}"}, "spec": spec}
        for index, spec in enumerate(made)
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_parts_are_the_standard(cluster: Cluster, profile: str) -> None:
    """What the API server refuses by a profile is what the rule finds with the profile's parts."""
    label = {"pod-security.kubernetes.io/enforce": profile}
    namespace = cluster.namespace(f"standard-{profile}", **label)
    items = pods()
    manifest = {"apiVersion": "v1", "kind": "List", "items": items}
    answer = cluster.kubectl(
        "create", "--dry-run=server", "-n", namespace, "-f", "-", stdin=manifest, check=False
    )
    taken = set(re.findall(r"^pod/(pod-\d+) created", answer.out, re.MULTILINE))
    refused = set(re.findall(r'pods "(pod-\d+)" is forbidden: violates PodSecurity', answer.err))
    assert len(taken) + len(refused) == len(items), answer.err[-1000:]
    found = {
        item["metadata"]["name"]
        for item in items
        if check("podSecurity.deny", PROFILES[profile], subject(item))
    }
    assert found == refused
