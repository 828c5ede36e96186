"""RBAC of the chart: what the code calls, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.chart.calls import About, Right, Site, needed, sites, workloads
from tests.chart.rendering import JSON, MATRIX, NAMESPACE, RELEASE, matrix, merged, of_kind, rendered, values
from tests.chart.simulator import KINDS
from tests.peers.helm import CHART

pytestmark = pytest.mark.cluster

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "rbac.yaml"
WEBHOOK, BROKER, TEST = f"{RELEASE}-webhook", f"{RELEASE}-broker", f"{RELEASE}-test"
UNINSTALL, CLEAN_UP = f"{RELEASE}-uninstall", f"{RELEASE}-clean-up"
LEASES, HOOKS = "coordination.k8s.io", "admissionregistration.k8s.io"
TEST_IN = "where-tests-are"


def configurations(account: str, only_with: str) -> list[About]:
    """Both webhook configurations of the release."""
    kinds = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    return [About(account, HOOKS, kind, f"admission.{RELEASE}", only_with=only_with) for kind in kinds]


def own(account: str, group: str, resource: str, name: str = "", only_with: str = "") -> About:
    """Something in the release's namespace."""
    return About(account, group, resource, name, NAMESPACE, only_with)


# What each place in the code that calls the API calls it about. `webhook check` and `webhook tls` are run by
# people, by rights of their own; `litellm-registrar list` by the broker's too (`kubectl exec`).
ABOUT: Final[dict[Site, Sequence[About]]] = {
    ("broker/claims", "list"): [own(BROKER, LEASES, "leases", only_with="broker")],
    ("broker/claims", "get"): [own(BROKER, LEASES, "leases", only_with="broker")],
    ("broker/claims", "replace"): [own(BROKER, LEASES, "leases", only_with="broker")],
    ("broker/claims", "create"): [own(BROKER, LEASES, "leases", only_with="broker")],
    ("broker/claims", "delete"): [own(BROKER, LEASES, "leases", only_with="broker")],
    ("broker/pods", "get"): [About(BROKER, "", "pods", only_with="broker")],
    ("broker/reports", "strategic"): [About(BROKER, "", "pods/status", only_with="broker")],
    ("broker/server", "Events"): [About(BROKER, "", "events", only_with="broker")],
    ("broker/tokens", "create"): [About(BROKER, "authentication.k8s.io", "tokenreviews", only_with="broker")],
    ("gate", "Followed"): configurations(WEBHOOK, "gate"),
    ("gate", "patch"): configurations(WEBHOOK, "gate"),
    ("gate", "rehearse"): [own(WEBHOOK, LEASES, "leases", only_with="gate")],
    ("installation/selftest", "rehearse"): [About(TEST, "", "pods", namespace=TEST_IN)],
    ("installation/uninstall", "list"): [
        About(UNINSTALL, "", "pods", only_with="uninstall"),
        own(CLEAN_UP, "", "pods", only_with="clean-up"),
        own(CLEAN_UP, LEASES, "leases", only_with="clean-up"),
    ],
    ("installation/uninstall", "delete"): [
        *configurations(UNINSTALL, "uninstall"),
        own(CLEAN_UP, "", "secrets", BROKER + "-tls", "clean-up"),
        own(CLEAN_UP, "", "secrets", WEBHOOK + "-tls", "own clean-up"),
        own(CLEAN_UP, "", "configmaps", BROKER + "-ca", "clean-up"),
        own(CLEAN_UP, LEASES, "leases", only_with="clean-up"),
    ],
    ("kube/identity", "get"): [
        About(WEBHOOK, "", "namespaces", "kube-system", only_with="asked id"),
        About(BROKER, "", "namespaces", "kube-system", only_with="asked id broker"),
        About(CLEAN_UP, "", "namespaces", "kube-system", only_with="asked id clean-up"),
    ],
    ("listing/reading", "get"): [About(BROKER, "", "pods", only_with="broker")],
    ("listing/reading", "pages"): [
        About(BROKER, "", "pods", only_with="broker"),
        About(BROKER, "", "nodes", only_with="broker"),
    ],
    ("living/caretaker", "Events"): [About(WEBHOOK, "", "events")],
    ("living/pod_watch", "Collection"): [About(WEBHOOK, "", "pods")],
    ("living/server_survey", "list"): [About(WEBHOOK, "", "namespaces", only_with="policy")],
    ("living/server_survey", "pages"): [
        About(WEBHOOK, group, plural, only_with="policy") for group, plural in workloads()
    ],
    ("node_modes", "Collection"): [About(WEBHOOK, "", "nodes", only_with="auto")],
    ("reaper/hands", "get"): [
        About(BROKER, "", "pods", only_with="broker"),
        About(BROKER, "", "nodes", only_with="broker"),
        About(BROKER, "", "namespaces", "kube-system", only_with="broker"),
    ],
    ("kube/terms", "Leader"): [
        own(WEBHOOK, LEASES, "leases", WEBHOOK),
        # its role has every Lease already, for the names of models
        own(BROKER, LEASES, "leases", only_with="broker"),
    ],
    ("reaper/ledger", "get"): [own(BROKER, LEASES, "leases", only_with="broker")],
    ("reaper/ledger", "replace"): [own(BROKER, LEASES, "leases", only_with="broker")],
    ("reaper/watch", "Collection"): [
        About(BROKER, "", "pods", only_with="broker"),
        About(BROKER, "", "nodes", only_with="broker"),
    ],
    ("server", "Followed"): [own(WEBHOOK, "", "configmaps", BROKER + "-ca", "broker")],
    ("tls/change_ca", "get"): [],
    ("tls/change_ca", "merge"): [],
    ("tls/own", "Followed"): [
        own(WEBHOOK, "", "secrets", WEBHOOK + "-tls", "own"),
        own(BROKER, "", "secrets", BROKER + "-tls", "broker"),
    ],
    ("tls/own", "Leader"): [
        own(WEBHOOK, LEASES, "leases", WEBHOOK + "-tls", "own"),
        # its role has every Lease already, for the names of models
        own(BROKER, LEASES, "leases", only_with="broker"),
    ],
    ("tls/own", "create"): [
        own(WEBHOOK, "", "secrets", only_with="own"),
        own(BROKER, "", "secrets", only_with="broker"),
    ],
    ("tls/own", "replace"): [
        own(WEBHOOK, "", "secrets", WEBHOOK + "-tls", "own"),
        own(BROKER, "", "secrets", BROKER + "-tls", "broker"),
    ],
    ("tls/publish", "Followed"): [
        *configurations(WEBHOOK, "own"),
        own(BROKER, "", "configmaps", BROKER + "-ca", "broker"),
    ],
    ("tls/publish", "patch"): [
        *configurations(WEBHOOK, "own"),
        own(BROKER, "", "configmaps", BROKER + "-ca", "broker"),
    ],
    # configurations are the installer's to make
    ("tls/publish", "create"): [own(BROKER, "", "configmaps", only_with="broker")],
}


def conditions(given: JSON, manifests: Sequence[JSON]) -> set[str]:
    """Name what these values switch on, of what a right may be there for."""
    full = merged(yaml.safe_load((CHART / "values.yaml").read_text()), given)
    held = [
        webhook
        for configuration in of_kind(manifests, *KINDS)
        for webhook in configuration["webhooks"]
        if webhook["failurePolicy"] == "Fail"
    ]
    on = {
        "own": full["certificates"]["source"] == "own",
        "broker": full["mode"] == "broker",
        "policy": full["policy"]["enabled"],
        "auto": full["registrar"]["injectMode"] == "auto",
        "gate": bool(held),
        "uninstall": full["uninstallHook"]["enabled"],
        "clean-up": full["cleanupOnUninstall"],
        "asked id": not full["clusterId"],
    }
    together = {f"{one} {other}" for one in on for other in on if on[one] and on[other]}
    return {one for one, is_on in on.items() if is_on} | together


def granted(manifests: Sequence[JSON]) -> set[Right]:
    """Give every right that a binding gives to an account, once for each verb, kind and name."""
    roles = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each["rules"]
        for each in of_kind(manifests, "Role", "ClusterRole")
    }
    found = set()
    for binding in of_kind(manifests, "RoleBinding", "ClusterRoleBinding"):
        namespace = binding["metadata"].get("namespace", "")
        (subject,) = binding["subjects"]
        assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", NAMESPACE)
        for rule in roles.pop((binding["roleRef"]["kind"], namespace, binding["roleRef"]["name"])):
            assert rule.keys() <= {"apiGroups", "resources", "resourceNames", "verbs"}
            found |= {
                Right(subject["name"], namespace, group, resource, name, verb)
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for name in rule.get("resourceNames", [""])
                for verb in rule["verbs"]
            }
    assert not roles, "bound to nobody"
    return found


def test_every_call_of_the_api_is_accounted_for() -> None:
    """Each place in the code that calls the Kubernetes API is in the table, and no other."""
    assert set(sites()) == set(ABOUT)


@pytest.mark.parametrize("name", MATRIX)
def test_rights_are_those_that_the_code_needs(name: str) -> None:
    """Each account may do what its process calls with these values, and has no right that nobody uses."""
    given = merged(matrix(name), {"test": {"namespace": TEST_IN}})
    manifests = rendered(given)
    assert granted(manifests) == needed(ABOUT, conditions(given, manifests))


@pytest.mark.parametrize("name", MATRIX)
def test_nobody_may_do_everything(name: str) -> None:
    """No right holds for all groups, kinds or verbs, and nobody may read Secrets without naming one."""
    for right in granted(rendered(matrix(name))):
        assert "*" not in (right.group, right.resource, right.verb)
        assert not (right.resource == "secrets" and right.verb in {"get", "list", "watch"} and not right.name)


def test_every_process_has_an_account_of_its_own() -> None:
    """No two of webhook, broker, hooks and tests share rights, and none has those of the default account."""
    manifests = rendered(matrix("full-values"))
    accounts = {each["metadata"]["name"] for each in of_kind(manifests, "ServiceAccount")}
    specs = [each["spec"]["template"]["spec"] for each in of_kind(manifests, "Deployment", "Job")]
    specs += [each["spec"] for each in of_kind(manifests, "Pod")]
    used = [spec["serviceAccountName"] for spec in specs if spec.get("automountServiceAccountToken", True)]
    assert sorted(used) == sorted(accounts)


def test_the_example_grants_what_the_chart_does() -> None:
    """`examples/rbac.yaml`, by which the processes are tried on a real API server, is the chart's RBAC."""
    example = granted(list(yaml.safe_load_all(EXAMPLE.read_text())))
    gated = rendered(values(admission={"mutateFailurePolicy": "Fail"}))
    ours = {right for right in granted(gated) if right.account in {WEBHOOK, BROKER}}
    as_there = {
        Right(*(RELEASE if part == f"admission.{RELEASE}" else part for part in vars(right).values()))
        for right in ours
    }
    assert example == as_there
