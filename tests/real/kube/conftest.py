"""A real control plane of its own, whose API server may be stopped and started."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.peers.broker import NAMESPACE
from tests.peers.cluster import SCRIPTS, Cluster, wait_until
from tests.real.clusters import granted
from webhook.kube.api import Api

_numbers = itertools.count()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a control plane, with the project's ServiceAccounts and their rights."""
    with granted(tmp_path_factory.mktemp("kube-own")) as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Give the test a namespace of its own."""
    name = cluster.namespace(f"test-{next(_numbers)}")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


class Connections:
    """Connections to the cluster; all of them are closed at the end."""

    def __init__(self, cluster: Cluster, folder: Path, stack: AsyncExitStack) -> None:
        self._cluster = cluster
        self._folder = folder
        self._stack = stack

    async def admin(self) -> Api:
        """Connect as who may do everything."""
        return await self.by(self._cluster.work / "kubeconfig")

    async def by(self, kubeconfig: Path) -> Api:
        """Connect by a kubeconfig."""
        api = await Api.connect(str(kubeconfig))
        self._stack.push_async_callback(api.close)
        return api

    async def account(self, name: str, namespace: str = NAMESPACE) -> Api:
        """Connect by a token of a ServiceAccount."""
        return await self.by(self.kubeconfig(f"{namespace}-{name}", self.token(name, namespace)))

    def token(self, name: str, namespace: str = NAMESPACE) -> str:
        """Give a new token of a ServiceAccount."""
        return self._cluster.kubectl("create", "token", name, "-n", namespace).out.strip()

    def kubeconfig(self, name: str, token: str) -> Path:
        """Write a kubeconfig with a token, and give its path."""
        path = self._folder / name
        path.write_text((self._cluster.work / "kubeconfig").read_text())
        self._cluster.kubectl(
            "config", "set-credentials", "bearer", f"--token={token}", f"--kubeconfig={path}"
        )
        self._cluster.kubectl("config", "set-context", "test", "--user=bearer", f"--kubeconfig={path}")
        return path


@pytest.fixture
async def connections(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Connections]:
    """Give the means to connect."""
    async with AsyncExitStack() as stack:
        yield Connections(cluster, tmp_path, stack)


class ApiServer:
    """The API server's process: killed in the midst of a session, and started again as it was."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pid = cluster.work / "pids" / "kube-apiserver"
        self._command: list[str] = []

    def stop(self) -> None:
        """Kill it, so that no connection is left to be waited for, and wait for its end."""
        pid = self._pid.read_text().split()[0]
        self._command = Path("/proc", pid, "cmdline").read_text().split("\0")[:-1]
        self._script('kill -KILL "$(pid_of kube-apiserver)"; stop kube-apiserver')

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._script('start kube-apiserver "$@"', *self._command)
        ready = ("get", "--raw", "/readyz")
        wait_until("API server", 180, lambda: self._cluster.kubectl(*ready, check=False).out == "ok")

    def _script(self, commands: str, *args: str) -> None:
        """Have the functions do it by which the scripts start and stop processes."""
        script = f'. "$0"; WORK=$1; shift; {commands}'
        subprocess.run(
            ["bash", "-euc", script, SCRIPTS / "lib.sh", self._cluster.work, *args], check=True, timeout=60
        )


@pytest.fixture
def api_server(cluster: Cluster) -> ApiServer:
    """Give the API server's process."""
    return ApiServer(cluster)
