"""The chart as installed on the node: one release for most tests, others for what would disturb them.

Each looks after its own namespaces: the chart of the others is told to leave them out.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import httpx

from tests.cluster import creating
from tests.peers.admitted import injects
from tests.peers.cluster import JSON, Cluster, wait_until
from tests.peers.helm import IMAGES, Helm, broker_values, make_key
from tests.peers.proxy import LiteLLM
from webhook.broker.key_abilities import ROUTES

# Releases, each with how many namespaces it may have. All tests but those of the others use the first one.
MAIN: Final = "registrar"
BROKER_AWAY: Final = "broker-away"
LITELLM_AWAY: Final = "litellm-away"
DIRECT: Final = "direct"
_NAMESPACES: Final = {MAIN: 60, BROKER_AWAY: 2, LITELLM_AWAY: 2, DIRECT: 5}
# The two parts of the chart.
WEBHOOK: Final = "webhook"
BROKER: Final = "broker"
ONE_OF_EACH: Final[JSON] = {WEBHOOK: {"replicas": 1}, BROKER: {"replicas": 1}}
_HEALTH_PORT: Final = 8080


@dataclass(frozen=True)
class Release:
    """One release, in the namespace of its name; `proxy` is the LiteLLM that it is for."""

    cluster: Cluster
    proxy: LiteLLM
    name: str = MAIN
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def install(self, litellm_url: str, *values: JSON) -> None:
        """Install the chart as the README tells: with the narrowest key of LiteLLM's, then `helm test`.

        Without that a pod made a second after `helm install --wait` may lack its registrar: the API server
        does not reach a Service at once whose first pod is ready.
        """
        make_key(self.cluster, self.proxy.make_key(allowed_routes=[*ROUTES]), self.name)
        # a broker does not believe a LiteLLM without rows for half a minute
        self.proxy.create(f"beside-{self.name}", {"model": "openai/x", "api_key": "none"}, {})
        self._install(broker_values(litellm_url), *values)

    def install_direct(self) -> None:
        """Install the chart in direct mode, with which each namespace has a Secret of its own."""
        self._install(IMAGES, {"mode": "direct", **ONE_OF_EACH})

    def _install(self, *values: JSON) -> None:
        apart: JSON = {
            "admission": {"excludedNamespaces": self._foreign()},
            "test": {"namespace": self.new_namespace()},
        }
        if self.name != MAIN:  # the rows of one cluster are all releases' alike: one of them reaps
            apart["reaper"] = {"mode": "off"}
        helm = Helm(self.cluster, 4)
        helm.install(*values, apart, release=self.name, namespace=self.name)
        helm.test(release=self.name, namespace=self.name)

    def _foreign(self) -> list[str]:
        others = (name for name in _NAMESPACES if name != self.name)
        return [_namespace(name, number) for name in others for number in range(_NAMESPACES[name])]

    def new_namespace(self) -> str:
        """Make one of the namespaces that this release alone looks after."""
        number = next(self._numbers)
        assert number < _NAMESPACES[self.name], f"{self.name} has no more namespaces: give it some"
        return self.cluster.namespace(_namespace(self.name, number))

    def object(self, part: str) -> str:
        """Name the Deployment (Service, ServiceAccount) of a part."""
        return f"{self.name}-litellm-registrar-{part}"

    def kubectl(self, *args: str) -> str:
        """Run kubectl in the release's namespace."""
        return self.cluster.kubectl("-n", self.name, *args).out

    def pods(self, part: str) -> list[JSON]:
        """Read the pods of a part."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={part}"
        return self.cluster.list("pods", self.name, selector)

    def scale(self, part: str, replicas: int) -> None:
        """Have so many replicas of a part, and wait until it is so."""
        self.kubectl("scale", "deployment", self.object(part), f"--replicas={replicas}")
        self.kubectl("rollout", "status", "deployment", self.object(part), "--timeout=300s")
        wait_until(f"{replicas} pods of {part}", 180, lambda: len(self.pods(part)) == replicas)

    def until_injecting(self, namespace: str) -> None:
        """Wait until the API server calls the webhook for pods of a namespace; none is made."""
        wait_until(
            f"registrar in a pod of {namespace}",
            90,
            lambda: injects(self.cluster, creating.pod(labelled=True), namespace),
        )

    def log(self, part: str) -> str:
        """Give what all replicas of a part have said; nothing while one of them has just come or gone."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={part}"
        asked = ("logs", "-n", self.name, "-l", selector, "--tail=-1", "--prefix")
        return self.cluster.kubectl(*asked, check=False).out

    def resident_mib(self, part: str) -> list[float]:
        """Give the resident memory of each replica's process in MiB (VmRSS of proc(5), in kB)."""
        found = []
        for pod in self.pods(part):
            (container,) = pod["status"]["containerStatuses"]
            status = self.cluster.script(
                "in-node.sh", "cat", f"/proc/{first_process(self.cluster, container)}/status"
            )
            (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
            found.append(int(kilobytes) / 1024)
        return found

    def metric(self, part: str, name: str) -> float:
        """Give the sum of a metric (its whole name, with its labels) over the replicas of a part."""
        total = 0.0
        for pod in self.pods(part):
            address = f"http://{pod['status']['podIP']}:{_HEALTH_PORT}/metrics"
            lines = httpx.get(address, trust_env=False, timeout=30).text.splitlines()
            total += sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))
        return total


def _namespace(release: str, number: int) -> str:
    return f"{release}-{number}"


def first_process(cluster: Cluster, status: JSON) -> str:
    """Give the number of a container's first process, as the node counts; `status` is the container's."""
    container_id = status["containerID"].removeprefix("containerd://")
    tasks = cluster.script("in-node.sh", "ctr", "-n", "k8s.io", "task", "ls").splitlines()
    (pid,) = (line.split()[1] for line in tasks if line.startswith(container_id))
    return pid
