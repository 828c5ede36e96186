"""A real control plane and the webhook in front of it, both for the whole session."""

import itertools
from collections.abc import Iterator

import pytest

from tests.peers.cluster import CONTROL_PLANE, CONTROL_PLANE_PROGRAMS, Cluster, control_plane, missing
from tests.peers.require import require
from tests.peers.scripts import HOW_TO_GET
from tests.peers.webhook import Webhook
from tests.real.apiserver.manifests import REQUIRE_LABEL, policy_file

_numbers = itertools.count()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a control plane with its controllers."""
    require(HOW_TO_GET, missing(CONTROL_PLANE, CONTROL_PLANE_PROGRAMS))
    with control_plane(tmp_path_factory.mktemp("kube")) as running:
        yield running


@pytest.fixture(scope="session")
def webhook(cluster: Cluster) -> Iterator[Webhook]:
    """Serve admission to the cluster as the README says, with a policy for `policed-` namespaces."""
    policy = cluster.work / "policy.yaml"
    policy.write_text(policy_file())
    process = Webhook(cluster, "127.0.0.1", "--policy", str(policy))
    process.start()
    process.configure()
    yield process
    process.stop()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Give the test a namespace of its own, in which pods can be made."""
    name = cluster.namespace(f"test-{next(_numbers)}")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def policed(cluster: Cluster) -> Iterator[str]:
    """Give the test a namespace in which the policy forbids things, and no model server lacks its label."""
    name = cluster.namespace(f"policed-{next(_numbers)}", **{REQUIRE_LABEL: "true"})
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
