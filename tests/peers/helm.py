"""Helm 3 and 4 as objects, with the project's chart and the images of tests."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.peers.cluster import JSON, TOOLS, Answer, Cluster

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "charts" / "litellm-registrar"
# By major version, the program that tests/peers/kubernetes/build.sh builds.
PROGRAMS: Final = {3: "helm3", 4: "helm"}
# The images of tests/peers/images, which a node of tests has loaded.
IMAGES: Final[JSON] = {
    "image": {"repository": "litellm-registrar/webhook", "tag": "test"},
    "registrar": {"image": {"repository": "litellm-registrar/sidecar", "tag": "test"}},
}
NAMESPACE: Final = "litellm-registrar"
RELEASE: Final = "registrar"
SECRET: Final = "litellm-key"
# For one call of Helm, in its own notation.
TIMEOUT: Final = "400s"


class Helm:
    """One major version of Helm, asking one cluster as its administrator.

    Values are given as objects; of several the later ones win, key by key, as with several `--values`. What
    Helm keeps for itself (plugins, caches, what an API server knows) is in the cluster's folder, not in the
    home of whoever runs tests, where clusters of one address would meet.
    """

    def __init__(self, cluster: Cluster, major: int) -> None:
        self.cluster = cluster
        self.major = major
        self.program = TOOLS / "bin" / PROGRAMS[major]
        home = cluster.work / f"helm{major}"
        kinds = ("CACHE", "CONFIG", "DATA")
        self._env = {
            **os.environ,
            "KUBECONFIG": str(cluster.work / "kubeconfig"),
            "KUBECACHEDIR": str(home / "kube"),
            **{f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in kinds},
        }

    def __repr__(self) -> str:
        return f"helm{self.major}"

    def run(self, *args: str, stdin: str | None = None, check: bool = True) -> Answer:
        """Run Helm with these words. Raises AssertionError when it fails unasked."""
        done = subprocess.run(
            [self.program, *args], env=self._env, input=stdin, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{self!r} {shlex.join(args)}: {done.stderr}\n{done.stdout}")
        return Answer(done.returncode, done.stdout, done.stderr)

    def install(
        self,
        *values: JSON,
        flags: tuple[str, ...] = ("--wait",),
        release: str = RELEASE,
        namespace: str = NAMESPACE,
        chart: Path = CHART,
        check: bool = True,
    ) -> Answer:
        """Install the chart, making its namespace if need be; by default wait until it is ready."""
        where = ("--namespace", namespace, "--create-namespace", "--timeout", TIMEOUT)
        given = self._values(values)
        return self.run("install", release, str(chart), *where, *given, *flags, check=check)

    def upgrade(
        self,
        *values: JSON,
        flags: tuple[str, ...] = ("--wait",),
        release: str = RELEASE,
        namespace: str = NAMESPACE,
        chart: Path = CHART,
        check: bool = True,
    ) -> Answer:
        """Upgrade the release to these values; what they leave out is as the chart has it, not as before."""
        where = ("--namespace", namespace, "--timeout", TIMEOUT)
        given = self._values(values)
        return self.run("upgrade", release, str(chart), *where, *given, *flags, check=check)

    def rollback(
        self,
        revision: int = 0,
        *,
        flags: tuple[str, ...] = ("--wait",),
        release: str = RELEASE,
        namespace: str = NAMESPACE,
        check: bool = True,
    ) -> Answer:
        """Go back to a revision; 0 is the one before the last."""
        where = ("--namespace", namespace, "--timeout", TIMEOUT)
        return self.run("rollback", release, str(revision), *where, *flags, check=check)

    def uninstall(
        self,
        *,
        flags: tuple[str, ...] = ("--wait",),
        release: str = RELEASE,
        namespace: str = NAMESPACE,
        check: bool = True,
    ) -> Answer:
        """Uninstall the release; by default wait until all of it is gone."""
        where = ("--namespace", namespace, "--timeout", TIMEOUT)
        return self.run("uninstall", release, *where, *flags, check=check)

    def test(
        self,
        *,
        release: str = RELEASE,
        namespace: str = NAMESPACE,
        flags: tuple[str, ...] = (),
        check: bool = True,
    ) -> Answer:
        """Run the chart's tests; what they say is printed by their annotation (`--logs` of Helm 3 fails)."""
        where = ("--namespace", namespace, "--timeout", TIMEOUT)
        return self.run("test", release, *where, *flags, check=check)

    def template(
        self,
        *values: JSON,
        flags: tuple[str, ...] = (),
        release: str = RELEASE,
        namespace: str = NAMESPACE,
        chart: Path = CHART,
        check: bool = True,
    ) -> Answer:
        """Render the chart without asking the cluster."""
        given = self._values(values)
        return self.run(
            "template", release, str(chart), "--namespace", namespace, *given, *flags, check=check
        )

    def _values(self, values: tuple[JSON, ...]) -> list[str]:
        """Write each object into a file that Helm reads, and give the flags that name them."""
        folder = self.cluster.work / "values"
        folder.mkdir(exist_ok=True)
        flags = []
        for one in values:
            # two releases may be installed at a time
            with tempfile.NamedTemporaryFile("w", suffix=".json", dir=folder, delete=False) as file:
                json.dump(one, file)
            flags += ["--values", file.name]
        return flags


def broker_values(litellm_url: str) -> JSON:
    """Give the values of a release in broker mode: our images, and LiteLLM there (see `make_key`)."""
    return {**IMAGES, "litellm": {"url": litellm_url, "existingSecret": SECRET}}


def make_key(cluster: Cluster, key: str, namespace: str = NAMESPACE) -> None:
    """Make the Secret with LiteLLM's key that `broker_values` names, and its namespace."""
    if cluster.kubectl("get", "namespace", namespace, check=False).code:
        cluster.namespace(namespace)
    metadata = {"name": SECRET, "namespace": namespace}
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": key}})
