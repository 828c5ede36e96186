"""What a test of the node has at hand: a namespace, LiteLLM, and what the registrars say."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.node import kubelet_log
from tests.node.release import Release, first_process
from tests.peers.cluster import JSON, TOOLS, Cluster, wait_until


class Registrars:
    """Follows the logs of the registrars of a namespace, so that they outlive their pods."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._folder = folder
        self._followers: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def follow(self, pod: str) -> None:
        """Begin to follow one pod's registrar; once is enough."""
        if pod in self._followers:
            return
        path = self._folder / f"{self._namespace}-{pod}.log"
        kubectl = [str(TOOLS / "bin" / "kubectl"), "--kubeconfig", str(self._cluster.work / "kubeconfig")]
        command = [*kubectl, "logs", "-f", "-n", self._namespace, pod, "-c", "registrar"]
        with path.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        self._followers[pod] = (process, path)
        # one that is still on its way when the pod ends finds nothing any more
        wait_until(f"word of {pod}'s registrar", 60, lambda: path.stat().st_size)

    def pods(self) -> list[str]:
        """Name the pods that were followed."""
        return list(self._followers)

    def log(self, pod: str) -> str:
        """Give what a pod's registrar has said since it was followed, in whole lines."""
        text = self._followers[pod][1].read_text()
        return text[: text.rfind("\n") + 1]

    def whole_log(self, pod: str) -> str:
        """Give all that the registrar of a pod that is gone has said, the last of which is late."""
        process, _ = self._followers[pod]
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        return self.log(pod)

    def story(self) -> str:
        """Give what every registrar has said."""
        return "\n".join(f"--- registrar of {pod}\n{self.log(pod)}" for pod in self._followers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, _ in self._followers.values():
            process.terminate()
            process.wait()


class World:
    """One test's namespace on the node, the release that looks after it, and LiteLLM outside of it."""

    def __init__(self, release: Release, namespace: str, registrars: Registrars) -> None:
        self.release = release
        self.cluster = release.cluster
        self.proxy = release.proxy
        self.namespace = namespace
        self.registrars = registrars

    def kubectl(self, *args: str) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *args).out

    def pods(self) -> list[JSON]:
        """Read the pods that are not being deleted."""
        found = self.cluster.list("pods", self.namespace, "app=server")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, count: int, seconds: float = 180) -> list[str]:
        """Wait for exactly so many pods, all ready; give their names and follow their registrars."""

        def check() -> list[str]:
            pods = self.pods()
            names = [pod["metadata"]["name"] for pod in pods]
            return names if len(pods) == count and all(map(is_ready, pods)) else []

        names = wait_until(f"{count} ready pods", seconds, check)
        for name in names:
            self.registrars.follow(name)
        return names

    def story(self) -> str:
        """Tell what happened here: pods, Events, and what every registrar has said."""
        return self.kubectl("get", "pods,events", "-o", "wide") + self.registrars.story()

    def rows(self, model: str) -> list[JSON]:
        """Read the rows of a model name of this namespace from the replica that registrars write to."""
        return [row for row in self.proxy.rows(model) if self.owns(row)]

    def owns(self, row: JSON) -> bool:
        """Tell whether a row is of a pod of this namespace."""
        return bool(row["model_info"].get("registrar", {}).get("namespace") == self.namespace)

    def until_rows(self, model: str, count: int, seconds: float = 90) -> list[JSON]:
        """Wait until a model name has so many rows."""

        def check() -> list[list[JSON]]:
            rows = self.rows(model)
            return [rows] if len(rows) == count else []

        # a look costs LiteLLM more than a request
        return wait_until(f"{count} rows of {model}", seconds, check, every=0.5)[0]

    def chat_everywhere(self, model: str, **body: Any) -> None:
        """Ask the model by name through each replica; each must answer."""
        for replica in range(len(self.proxy.urls)):
            answer = self.proxy.chat(model, replica, **body)
            assert answer.status_code == 200, answer.text

    def status(self, pod: str, container: str) -> JSON:
        """Read the status of a container or native sidecar."""
        status = self.cluster.get("pod", pod, self.namespace)["status"]
        every = (*status.get("initContainerStatuses", ()), *status["containerStatuses"])
        (found,) = (one for one in every if one["name"] == container)
        return dict(found)

    def signal(self, pod: str, container: str, name: str) -> None:
        """Send a signal to the first process of a container, from the node."""
        pid = first_process(self.cluster, self.status(pod, container))
        self.cluster.script("in-node.sh", "kill", f"-{name}", pid)

    def events_of(self, pod: str) -> set[str]:
        """Give the reasons of the Events on a pod."""
        told = self.cluster.list("events", self.namespace)
        return {one["reason"] for one in told if one["involvedObject"].get("name") == pod}

    def ending(self, pod: str, since: float = 0) -> list[kubelet_log.Step]:
        """Read what the kubelet did to end a pod's containers, since then (seconds since the epoch)."""
        log = (self.cluster.work / "log" / "kubelet.log").read_text()
        return [step for step in kubelet_log.steps(log, self.namespace, pod) if step.at >= since]


@contextmanager
def new_world(release: Release, folder: Path) -> Iterator[World]:
    """Make a namespace; at the end print what happened in it (pytest shows that of a failure)."""
    namespace = release.new_namespace()
    with Registrars(release.cluster, namespace, folder) as registrars:
        world = World(release, namespace, registrars)
        yield world
        print(world.story())
    release.cluster.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


@contextmanager
def kubelet_stopped(cluster: Cluster) -> Iterator[None]:
    """Stop the node's kubelet in its tracks; its containers go on. At the end it goes on too."""
    pid = (cluster.work / "pids" / "in-node.kubelet").read_text().strip()
    cluster.script("in-node.sh", "kill", "-STOP", pid)
    try:
        yield
    finally:
        cluster.script("in-node.sh", "kill", "-CONT", pid)


def is_ready(pod: JSON) -> bool:
    """Tell whether a pod's Ready condition is true."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
