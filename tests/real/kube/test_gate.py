"""What has failurePolicy Fail, on a real API server: in force once that reaches the webhook, not before."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.broker import NAMESPACE
from tests.peers.cluster import JSON, Cluster, wait_until
from tests.peers.learned import configurations
from tests.peers.webhook import ServeProcess
from webhook.held_rules import ANNOTATION, LABEL, SELFTEST

pytestmark = pytest.mark.kube

NAME = "litellm-registrar"
PODS = "server.pods.litellm-registrar.io"
SERVER = "litellm-registrar.io/server"
KIND = "validatingwebhookconfiguration"
RULE = {"apiVersions": ["v1"], "operations": ["CREATE"], "scope": "Namespaced"}
RULES = [{**RULE, "apiGroups": [""], "resources": ["pods"]}]
LEASES = [{**RULE, "apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}]
# One that was killed leaves a Lease that another has to wait for.
_SECONDS = 180

Gated = Callable[[str], ServeProcess]


def entry(name: str, url: str, path: str, ca: bytes, **more: object) -> JSON:
    """Give a webhook as the chart would, but by URL; without `ca` its bundle is somebody else's to write."""
    client = {"url": f"{url}{path}"} | ({"caBundle": base64.b64encode(ca).decode()} if ca else {})
    return {
        "name": name,
        "clientConfig": client,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 5,
        **more,
    }


def configuration(url: str, ca: bytes, policy: str, rules: list[JSON] = RULES) -> JSON:
    """Give the validating configuration with this failurePolicy, as the chart renders it."""
    fails = policy == "Fail"
    pods = entry(PODS, url, "/validate", ca, failurePolicy=policy, **({} if fails else {"rules": rules}))
    pods["objectSelector"] = {"matchExpressions": [{"key": SERVER, "operator": "Exists"}]}
    probe = entry(SELFTEST, url, "/selftest", ca, failurePolicy="Ignore", rules=LEASES)
    probe["objectSelector"] = {"matchExpressions": [{"key": LABEL, "operator": "Exists"}]}
    note = {"annotations": {ANNOTATION: json.dumps({PODS: rules})}} if fails else {}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME, **note},
        "webhooks": [pods, probe] if fails else [pods],
    }


class World:
    """A webhook of one source of certificates, and the configuration that somebody installs for it."""

    def __init__(self, cluster: Cluster, source: str, folder: Path) -> None:
        self.cluster = cluster
        kubeconfig = cluster.kubeconfig_of(NAMESPACE, "litellm-registrar-webhook")
        flags = ["--gated-configurations", NAME, "--namespace", NAMESPACE, "--kubeconfig", str(kubeconfig)]
        self.ca = b""
        if source == "own":
            flags += ["--tls-secret", "litellm-registrar-webhook-tls", "--tls-names", "127.0.0.1"]
        else:
            cert, key, ca = cluster.certificate("gated", "IP:127.0.0.1")
            flags += ["--tls-cert", str(cert), "--tls-key", str(key)]
            self.ca = ca.read_bytes()
        self.process = ServeProcess(folder / "webhook.log", "127.0.0.1", *flags)

    def install(self, policy: str, rules: list[JSON] = RULES, *, force: bool = False) -> int:
        """Apply it server-side as Helm 4 does; give kubectl's exit code."""
        manifest = configuration(self.process.url, self.ca, policy, rules)
        how = ("--server-side", "--field-manager", "helm", *(["--force-conflicts"] if force else []))
        return self.cluster.apply(manifest, *how, check=False).code

    def rules(self) -> list[JSON]:
        """Give the rules of the webhook of pods, as they are now."""
        webhooks = self.cluster.get(KIND, NAME)["webhooks"]
        found: list[JSON] = next(each for each in webhooks if each["name"] == PODS).get("rules", [])
        return found

    def make(self, namespace: str, *labels: str) -> str:
        """Make a pod with these labels as a dry run; give what kubectl complains of."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a-pod", "labels": dict.fromkeys(labels, "openai")},
            "spec": {"containers": [{"name": "server", "image": "server:1"}]},
        }
        return self.cluster.create(pod, "-n", namespace, "--dry-run=server", check=False).err


@pytest.fixture(params=["own", "files"])
def world(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Iterator[World]:
    """Give a webhook that does not run yet, by its own certificates and by files'."""
    found = World(cluster, request.param, tmp_path)
    yield found
    if found.process.runs:
        found.process.stop()
    cluster.kubectl("delete", KIND, NAME, "--ignore-not-found")
    print((tmp_path / "webhook.log").read_text())


def test_nothing_is_refused_before_the_webhook_is_reached_and_everything_after(
    world: World, namespace: str
) -> None:
    """Installed before the webhook runs, it stops no pod; when it has run, it stops what it is to stop.

    The webhook does that with the rights of examples/rbac.yaml.
    """
    assert world.install("Fail") == 0
    assert world.make(namespace, SERVER) == ""
    world.process.start()
    wait_until("rules", _SECONDS, lambda: world.rules() == RULES)
    configurations(world.cluster)
    assert world.make(namespace, SERVER) == ""
    world.process.stop()
    assert PODS in world.make(namespace, SERVER)
    assert world.make(namespace) == ""


def test_upgrades_that_change_the_failure_policy_have_no_conflict(world: World, namespace: str) -> None:
    """Ignore, Fail, the same again, and Ignore: applied server-side the chart owns none of what we write."""
    assert world.install("Ignore") == 0
    world.process.start()
    for policy in ("Fail", "Fail", "Ignore", "Fail"):
        assert world.install(policy) == 0
        wait_until(f"rules with {policy}", _SECONDS, lambda: world.rules() == RULES)
    configurations(world.cluster)
    assert world.make(namespace, SERVER) == ""


def test_rules_of_the_next_version_come_by_the_annotation(world: World) -> None:
    """What is in force changes with the chart.

    One thing is a conflict: other rules and, at the same time, no Fail any more; then --force-conflicts.
    """
    other = [{**RULES[0], "operations": ["CREATE", "UPDATE"]}]
    world.process.start()
    assert world.install("Fail") == 0
    wait_until("rules", _SECONDS, lambda: world.rules() == RULES)
    assert world.install("Fail", other) == 0
    wait_until("other rules", _SECONDS, lambda: world.rules() == other)
    assert world.install("Ignore", RULES) != 0
    assert world.install("Ignore", RULES, force=True) == 0
    assert world.rules() == RULES
