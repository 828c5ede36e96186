"""What tests of the chart need: Helm 3 and 4, kubeconform, promtool, and an API server that judges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import schemas as openapi
from tests.peers.cluster import (
    CONTROL_PLANE,
    CONTROL_PLANE_PROGRAMS,
    TOOLS,
    Cluster,
    control_plane,
    missing,
    wait_until,
)
from tests.peers.helm import NAMESPACE, PROGRAMS
from tests.peers.require import require

INSTALL = "`make test-cluster` installs it (tests/peers/kubernetes/build.sh control-plane chart)"
CRDS = TOOLS / "crds"
# Of the release, and those that the values of the matrix name.
NAMESPACES = (NAMESPACE, "team-a", "team-b")


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    """Have what all of these tests need."""
    absent = missing(
        (*CONTROL_PLANE, *PROGRAMS.values(), "kubeconform"),
        (*CONTROL_PLANE_PROGRAMS, "promtool", "prometheus"),
    )
    require(INSTALL, [*absent, *([] if CRDS.is_dir() else ["crds"])])


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a control plane that knows the custom resources of Prometheus Operator and cert-manager."""
    with control_plane(tmp_path_factory.mktemp("kube-chart")) as running:
        # not apply: its annotation would hold the whole schema, which is larger than an annotation may be
        running.kubectl("create", "-f", str(CRDS))
        running.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=180s")
        for name in NAMESPACES:
            running.namespace(name)
        yield running


@pytest.fixture(scope="session")
def schemas(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the JSON schema of every kind that the API server knows."""
    folder = tmp_path_factory.mktemp("schemas")

    def said() -> dict[str, Any]:
        document: dict[str, Any] = json.loads(cluster.kubectl("get", "--raw", "/openapi/v2").out)
        return document if custom <= openapi.kinds(document) else {}

    custom = {
        one["spec"]["names"]["kind"]
        for file in CRDS.glob("*.yaml")
        for one in yaml.safe_load_all(file.read_text())
        if one
    }
    # custom resources are published one after the other, a moment after they are established
    openapi.write(wait_until(f"schemas of {custom}", 180, said, every=1), folder)
    return folder
