"""Who reaches webhook and broker, and what models-only pods reach, by the chart's NetworkPolicies.

Held against a reading of networking.k8s.io/v1: no node of tests has a network plugin that enforces them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.chart.rendering import (
    JSON,
    NAMESPACE,
    RELEASE,
    matrix,
    of_kind,
    one,
    pod_templates,
    rendered,
    values,
)
from tests.chart.simulator import selects

pytestmark = pytest.mark.cluster


@dataclass(frozen=True)
class Peer:
    """Who is at the other end: a pod, by its namespace and labels, or an address outside."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""


API_SERVER: Final = Peer(address="10.0.0.4")
STRANGER: Final = Peer(address="203.0.113.9")
PROMETHEUS: Final = Peer("monitoring", {"app": "prometheus"})
TENANT: Final = Peer("team-a", {"app": "qwen"})
DNS: Final = Peer("kube-system", {"k8s-app": "kube-dns"})
NODE_DNS: Final = Peer(address="169.254.20.10")
BROKER: Final = Peer(
    NAMESPACE,
    {
        "app.kubernetes.io/name": "litellm-registrar",
        "app.kubernetes.io/instance": RELEASE,
        "app.kubernetes.io/component": "broker",
    },
)
WEBHOOK: Final = Peer(NAMESPACE, {**BROKER.labels, "app.kubernetes.io/component": "webhook"})


def passes(rules: Sequence[JSON], end: str, peer: Peer, port: int, protocol: str = "TCP") -> bool:
    """Tell whether one of the rules lets this peer through; `end` is `from` or `to`."""
    return any(
        (not rule.get(end) or any(_is(one_of, peer) for one_of in rule[end]))
        and any(each["port"] == port and each["protocol"] == protocol for each in rule["ports"])
        for rule in rules
    )


def _is(one_of: JSON, peer: Peer) -> bool:
    if "ipBlock" in one_of:
        network = ipaddress.ip_network(one_of["ipBlock"]["cidr"])
        return bool(peer.address) and ipaddress.ip_address(peer.address) in network
    namespace = {"kubernetes.io/metadata.name": peer.namespace}
    return (
        bool(peer.namespace)
        and selects(one_of["namespaceSelector"], namespace)
        and selects(one_of.get("podSelector"), peer.labels)
    )


def ingress(manifests: list[JSON], component: str) -> list[JSON]:
    """Give the rules of what comes in, of a component whose pods the policy does select."""
    spec = one(manifests, "NetworkPolicy", f"{RELEASE}-{component}")["spec"]
    pod = pod_templates(of_kind(manifests, "Deployment"))[f"Deployment/{RELEASE}-{component}"]
    assert selects(spec["podSelector"], pod["metadata"]["labels"])
    assert spec["policyTypes"] == ["Ingress"]
    rules: list[JSON] = spec["ingress"]
    return rules


def ports(manifests: list[JSON], component: str) -> dict[str, int]:
    """Give the ports that the component's container listens on."""
    pod = pod_templates(of_kind(manifests, "Deployment"))[f"Deployment/{RELEASE}-{component}"]
    (container,) = pod["spec"]["containers"]
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def test_without_addresses_reviews_come_from_everywhere() -> None:
    """Where the API server calls from is not known: only what is no port of ours is closed."""
    manifests = rendered(values(networkPolicy={"enabled": True}))
    rules, known = ingress(manifests, "webhook"), ports(manifests, "webhook")
    for peer in (API_SERVER, STRANGER, TENANT):
        assert passes(rules, "from", peer, known["https"])
        assert passes(rules, "from", peer, known["health"])
    assert not passes(rules, "from", TENANT, 22)


def test_with_addresses_reviews_come_from_there_alone() -> None:
    """Tenants' pods do not reach the reviews; whoever reads metrics is a pod, and kubelets have addresses."""
    given = {"enabled": True, "apiServerCIDRs": ["10.0.0.0/16", "fd00::/64"]}
    manifests = rendered(values(networkPolicy=given, webhook={"port": 9443, "healthPort": 9080}))
    rules, known = ingress(manifests, "webhook"), ports(manifests, "webhook")
    assert known == {"https": 9443, "health": 9080}
    assert [passes(rules, "from", peer, 9443) for peer in (API_SERVER, STRANGER, TENANT)] == [
        True,
        False,
        False,
    ]
    health = [passes(rules, "from", peer, 9080) for peer in (API_SERVER, STRANGER, PROMETHEUS)]
    assert health == [True, False, True]


def test_every_registrar_reaches_the_broker() -> None:
    """From any namespace, and from nodes' addresses: pods with hostNetwork have those."""
    given = {"enabled": True, "apiServerCIDRs": ["10.0.0.0/16"]}
    manifests = rendered(values(networkPolicy=given))
    rules, known = ingress(manifests, "broker"), ports(manifests, "broker")
    assert all(passes(rules, "from", peer, known["https"]) for peer in (TENANT, Peer(address="192.0.2.8")))
    assert not passes(rules, "from", STRANGER, known["health"])


def egress(namespace: str, mode: str = "broker") -> list[JSON]:
    """Give the rules of what goes out of models-only pods, where the chart is told of namespaces."""
    policy = {
        "modelsOnlyNamespaces": ["team-a", "team-b"],
        "modelsOnlyTo": matrix("full-values")["networkPolicy"]["modelsOnlyTo"],
    }
    found = [
        each["spec"]
        for each in of_kind(rendered(values(mode=mode, networkPolicy=policy)), "NetworkPolicy")
        if each["metadata"]["namespace"] == namespace
    ]
    (spec,) = found
    assert spec["policyTypes"] == ["Egress"]
    assert selects(spec["podSelector"], {"litellm-registrar.io/egress": "models-only"})
    assert not selects(spec["podSelector"], {"app": "qwen"})
    rules: list[JSON] = spec["egress"]
    return rules


@pytest.mark.parametrize("namespace", ["team-a", "team-b"])
def test_models_only_pods_reach_names_and_the_broker(namespace: str) -> None:
    """The cluster's DNS and a node's, the broker, what the values name besides; nothing else."""
    rules = egress(namespace)
    for protocol in ("TCP", "UDP"):
        assert passes(rules, "to", DNS, 53, protocol)
        assert passes(rules, "to", NODE_DNS, 53, protocol)
        assert passes(rules, "to", Peer("openshift-dns"), 5353, protocol)
    assert passes(rules, "to", BROKER, 8443)
    assert not any(passes(rules, "to", peer, 443) for peer in (STRANGER, TENANT, DNS, BROKER, API_SERVER))
    assert not passes(rules, "to", STRANGER, 53, "UDP")
    assert not passes(rules, "to", TENANT, 53, "UDP")
    assert not passes(rules, "to", WEBHOOK, 8443)
    assert not passes(rules, "to", Peer("team-a", BROKER.labels), 8443)


def test_the_ports_of_the_broker_are_those_of_its_pods() -> None:
    """A network plugin sees a Service's packets as they come out: at the pod's port, not the Service's."""
    assert ports(rendered(values()), "broker") == {"https": 8443, "health": 8080}


def test_direct_mode_opens_no_way_to_a_broker() -> None:
    """There is none; the way to LiteLLM is the values' to name."""
    assert not passes(egress("team-a", "direct"), "to", BROKER, 8443)


def test_without_a_word_there_is_no_policy() -> None:
    """A first policy for a pod closes everything else to it: none is made that nobody asked for."""
    assert of_kind(rendered(values()), "NetworkPolicy") == []
