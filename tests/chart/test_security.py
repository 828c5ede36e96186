"""What the pods of the chart may do on their nodes: what the restricted Pod Security Standard lets them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendering import JSON, MATRIX, matrix, merged, pod_templates, rendered, values
from tests.peers.cluster import Cluster
from tests.restricted import violations

pytestmark = pytest.mark.cluster

# The cluster's own choice where the values say null: the standard asks only that it is not 0.
OPEN_USER = "Running as Non-root user: runAsUser must be set to a non-zero value"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def containers(template: JSON) -> list[JSON]:
    """Give the containers of a pod, each with what the pod's security context says for all of them."""
    spec = template["spec"]
    every = [*spec.get("initContainers", ()), *spec["containers"]]
    shared = spec.get("securityContext", {})
    return [{**one, "securityContext": merged(shared, one.get("securityContext", {}))} for one in every]


@pytest.mark.parametrize("name", MATRIX)
def test_every_container_is_restricted(name: str) -> None:
    """All of the standard's controls of containers hold: webhook, broker, hooks and tests."""
    given = matrix(name)
    open_user = {OPEN_USER} if given.get("runAsUser", 0) is None else set()
    for where, template in pod_templates(rendered(given)).items():
        for container in containers(template):
            assert set(violations(container)) <= open_user, (where, container["name"])


@pytest.mark.parametrize("name", MATRIX)
def test_no_container_writes_to_its_image_or_runs_without_bounds(name: str) -> None:
    """Root is read-only, memory is limited, cpu and memory are asked for."""
    for where, template in pod_templates(rendered(matrix(name))).items():
        for container in containers(template):
            label = where, container["name"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, label
            resources = container.get("resources", {})
            assert "memory" in resources.get("limits", {}), label
            assert {"cpu", "memory"} <= resources.get("requests", {}).keys(), label


def test_user_and_group_are_the_clusters_choice_where_the_values_say_so() -> None:
    """OpenShift gives each namespace its own users: with null no uid or gid is rendered anywhere."""
    open_values = values(runAsUser=None, runAsGroup=None, registrar={"runAsUser": None})
    for where, template in pod_templates(rendered(open_values)).items():
        for container in containers(template):
            assert not {"runAsUser", "runAsGroup"} & container["securityContext"].keys(), where


def test_the_group_goes_with_the_user() -> None:
    """Of an image's `USER 65534:65534` a kubelet passes on only the uid: the group would be root."""
    for where, template in pod_templates(rendered(values())).items():
        for container in containers(template):
            context = container["securityContext"]
            assert (context["runAsUser"], context["runAsGroup"]) == (65534, 65534), where


def allowed(cluster: Cluster, where: str, template: JSON, namespace: str) -> str:
    """Give what the API server's own Pod Security admission says against a pod; empty if nothing."""
    # ServiceAccounts are looked for by another plugin, which is not what this is about
    spec: dict[str, Any] = {**template["spec"], "serviceAccountName": "default"}
    metadata = {"name": where.lower().replace("/", "-")[:60], "namespace": namespace}
    metadata["labels"] = template["metadata"].get("labels", {})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return cluster.create(pod, "--dry-run=server", check=False).err


@pytest.fixture(scope="module")
def strict(cluster: Cluster) -> str:
    """Give a namespace that takes restricted pods only."""
    return cluster.namespace("strict", **RESTRICTED)


@pytest.mark.parametrize("name", MATRIX)
def test_a_strict_namespace_takes_all_pods(cluster: Cluster, strict: str, name: str) -> None:
    """The API server's own admission has nothing against them but hostNetwork where values ask for it."""
    given = matrix(name)
    on_host = (given.get("webhook") or {}).get("hostNetwork", False)
    for where, template in pod_templates(rendered(given)).items():
        complaint = allowed(cluster, where, template, strict)
        if on_host and where.endswith("-webhook"):
            assert "host namespaces" in complaint
            template["spec"] = {**template["spec"], "hostNetwork": False, "dnsPolicy": "ClusterFirst"}
            complaint = allowed(cluster, where, template, strict)
        assert complaint == "", where


def test_a_strict_namespace_refuses_what_is_not_restricted(cluster: Cluster, strict: str) -> None:
    """The namespace of the test above does refuse: a pod of ours without its security context."""
    where, template = next(iter(pod_templates(rendered(values())).items()))
    template["spec"].pop("securityContext")
    assert "violates PodSecurity" in allowed(cluster, where, template, strict)
