"""What Helm runs for a moment: each has the rights that its command needs, and leaves nothing of itself."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.rendering import JSON, NAMESPACE, of_kind, one, rendered, values
from tests.peers import learned
from tests.peers.cluster import Cluster
from tests.peers.webhook import ROOT

pytestmark = pytest.mark.cluster

RIGHTS = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
# Nobody listens here: what comes after LiteLLM's rows is tried all the same.
LITELLM = "http://127.0.0.1:9"
VALUES = values(cleanupOnUninstall=True, litellm={"url": LITELLM})
# What the command of each says.
HOOKS = {
    "uninstall": ["Removed: mutatingwebhookconfigurations/", "Removed: validating", "No injected pod"],
    "clean-up": ["was not sent", "Removed: secrets/", "Removed: configmaps/", "Removed: leases/name-0"],
    "test": ["comes back without a registrar"],
}


def of_hook(name: str) -> list[JSON]:
    """Give the objects of a hook, as the chart renders them."""
    component = "app.kubernetes.io/component"
    return [each for each in rendered(VALUES) if each["metadata"].get("labels", {}).get(component) == name]


def named(api_version: str, kind: str, name: str, **metadata: object) -> JSON:
    """Give an object that holds nothing."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}}


def listed(items: list[JSON]) -> JSON:
    """Give them as one manifest."""
    return {"apiVersion": "v1", "kind": "List", "items": items}


ADMISSION, CLAIM = "admissionregistration.k8s.io/v1", {"litellm-registrar.io/claim": "name"}
# What webhook and broker would have made, and the configurations.
TO_REMOVE = [
    named("v1", "Secret", "litellm-registrar-broker-tls", namespace=NAMESPACE),
    named("v1", "Secret", "litellm-registrar-webhook-tls", namespace=NAMESPACE),
    named("v1", "ConfigMap", "litellm-registrar-broker-ca", namespace=NAMESPACE),
    named("coordination.k8s.io/v1", "Lease", "name-0", namespace=NAMESPACE, labels=CLAIM),
    named(ADMISSION, "MutatingWebhookConfiguration", "admission.litellm-registrar"),
    named(ADMISSION, "ValidatingWebhookConfiguration", "admission.litellm-registrar"),
]


class Hook:
    """The command of a hook, run with rights of its ServiceAccount."""

    def __init__(self, cluster: Cluster, name: str, folder: Path) -> None:
        self._cluster = cluster
        self.name = name
        self._key = folder / "key"
        self._key.write_text("sk-key")
        self.manifests = of_hook(name)
        account = one(self.manifests, "ServiceAccount")
        cluster.apply(account)
        self._account = account["metadata"]["name"]
        self._kubeconfig = cluster.kubeconfig_of(NAMESPACE, self._account)

    def run(self) -> str:
        """Have something there to remove, run the command with its rights, and give what it said."""
        self._cluster.apply(listed([*of_kind(self.manifests, *RIGHTS), *TO_REMOVE]))
        for role in of_kind(self.manifests, "Role", "ClusterRole"):
            self._until_given(role)
        command = [*self._command(), "--kubeconfig", str(self._kubeconfig)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        assert "usage:" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def _until_given(self, role: JSON) -> None:
        """Wait until the API server has heard of a role's rules, and of who has them."""
        where = role["metadata"].get("namespace")
        scope = ("-n", where) if where else ("--all-namespaces",)
        for rule in role["rules"]:
            names = [f"/{name}" for name in rule.get("resourceNames", ())] or [""]
            for group, kind, name, verb in itertools.product(
                rule["apiGroups"], rule["resources"], names, rule["verbs"]
            ):
                what = f"{kind}.{group}" if group else kind
                learned.rights(self._cluster, NAMESPACE, self._account, verb, what + name, *scope)

    def _command(self) -> list[str]:
        kinds = ("Job", "Pod")
        (manifest,) = of_kind(self.manifests, *kinds)
        spec = manifest["spec"] if manifest["kind"] == "Pod" else manifest["spec"]["template"]["spec"]
        args = [
            f"--litellm-key-file={self._key}" if arg.startswith("--litellm-key-file=") else arg
            for arg in spec["containers"][0]["args"]
        ]
        return [sys.executable, "-m", "webhook", *args]


@pytest.fixture(params=sorted(HOOKS))
def hook(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Iterator[Hook]:
    """Give each of the hooks; its rights are gone afterwards."""
    found = Hook(cluster, request.param, tmp_path)
    yield found
    rights = of_kind(found.manifests, *RIGHTS)
    cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=listed([*rights, *TO_REMOVE]))


def test_a_hook_may_do_what_its_command_does(hook: Hook) -> None:
    """With the rights that the chart gives it nothing is forbidden, and it says what it did."""
    said = hook.run()
    assert "orbidden" not in said
    assert [text for text in HOOKS[hook.name] if text not in said] == [], said


def test_what_helm_runs_for_a_moment_leaves_nothing_of_itself() -> None:
    """Every object of it is a hook, and is removed when it has succeeded and when it has failed."""
    for name in HOOKS:
        for manifest in of_hook(name):
            notes = manifest["metadata"]["annotations"]
            assert notes["helm.sh/hook"] in {"pre-delete", "post-delete", "test"}
            policy = notes["helm.sh/hook-delete-policy"]
            assert policy == "before-hook-creation,hook-succeeded,hook-failed"


def test_no_pod_of_a_hook_can_hold_up_helm() -> None:
    """Each has an end before Helm's own patience has one (`--timeout`, five minutes)."""
    pods = [each for each in of_kind(rendered(VALUES), "Job", "Pod") if "annotations" in each["metadata"]]
    assert len(pods) == 4
    assert all(each["spec"]["activeDeadlineSeconds"] < 300 for each in pods)
