"""A real Kubernetes for tests: the scripts of `tests/peers/kubernetes` as Python objects."""

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

SCRIPTS = Path(__file__).parent / "kubernetes"
TOOLS = Path(
    os.environ.get("KUBE_TOOLS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "litellm-registrar" / "kubernetes"
)

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kubectl")
NODE = (*CONTROL_PLANE, "kube-scheduler", "kubelet", "kube-proxy", "coredns", "pause")
# Debian's, installed by the same script.
CONTROL_PLANE_PROGRAMS = ("etcd",)
NODE_PROGRAMS = (*CONTROL_PLANE_PROGRAMS, "containerd", "runc", "nft", "buildah", "debootstrap")

JSON = dict[str, Any]
T = TypeVar("T")


def machine_address() -> str:
    """Give this machine's address as the node and its pods see it."""
    return f"{os.environ.get('NODE_NET') or '10.99'}.1.1"


def missing(tools: tuple[str, ...], programs: tuple[str, ...]) -> list[str]:
    """Name the tools that `build.sh` has not built here, and the programs it has not installed."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return [
        *(tool for tool in tools if not os.access(TOOLS / "bin" / tool, os.X_OK)),
        *(program for program in programs if not shutil.which(program, path=path)),
    ]


def wait_until(what: str, seconds: float, check: Callable[[], T], every: float = 0.1) -> T:
    """Call `check` until it gives something true, and give that. Raises AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {seconds} s")
        time.sleep(every)
    return found


@dataclass(frozen=True)
class Answer:
    """What kubectl said."""

    code: int
    out: str
    err: str

    @property
    def warnings(self) -> list[str]:
        """The warnings of admission, as kubectl shows them."""
        return [
            line.removeprefix("Warning: ") for line in self.err.splitlines() if line.startswith("Warning: ")
        ]


class Cluster:
    """One running API server and its administrator's kubectl."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.env = {**os.environ, "WORK": str(work)}
        self.audit_log = work / "audit.log"

    def script(self, name: str, *args: str, **env: str) -> str:
        """Run one of the scripts for this cluster; give what it prints for its caller."""
        done = subprocess.run(
            [SCRIPTS / name, *args],
            env={**self.env, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{name} {shlex.join(args)} failed:\n{done.stderr}")
        return done.stdout

    def kubectl(self, *args: str, stdin: object = None, check: bool = True) -> Answer:
        """Run kubectl; `stdin` is a manifest, as JSON. Raises AssertionError when it fails unasked."""
        done = subprocess.run(
            [TOOLS / "bin" / "kubectl", "--kubeconfig", self.work / "kubeconfig", *args],
            env={**self.env, "KUBECACHEDIR": str(self.work / "kcache")},
            input=None if stdin is None else json.dumps(stdin),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {shlex.join(args)}: {done.stderr}")
        return Answer(done.returncode, done.stdout, done.stderr)

    def get(self, kind: str, name: str, namespace: str = "default") -> JSON:
        """Read one object."""
        answer: JSON = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json").out)
        return answer

    def list(self, kind: str, namespace: str, selector: str = "") -> list[JSON]:
        """Read the objects of a kind."""
        args = ["-l", selector] if selector else []
        items: list[JSON] = json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json", *args).out)[
            "items"
        ]
        return items

    def create(self, manifest: JSON, *args: str, check: bool = True) -> Answer:
        """Create one object."""
        return self.kubectl("create", "-f", "-", *args, stdin=manifest, check=check)

    def apply(self, manifest: JSON, *args: str, check: bool = True) -> Answer:
        """Apply one object, client-side unless asked otherwise."""
        return self.kubectl("apply", "-f", "-", *args, stdin=manifest, check=check)

    def namespace(self, name: str, **labels: str) -> str:
        """Make a namespace in which pods can be made."""
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        # the controllers come back to an API server that was away after up to a minute
        wait_until(
            f"ServiceAccount in {name}",
            180,
            lambda: self.kubectl("get", "serviceaccount", "default", "-n", name, check=False).code == 0,
        )
        return name

    def fake_node(self, labels: dict[str, str]) -> None:
        """Make a Node without a kubelet, anew: DaemonSets make a pod for it until it counts as dead, 40 s."""
        self.kubectl("delete", "node", "fake", "--ignore-not-found")
        self.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fake", "labels": labels}})

    def kubeconfig_of(self, namespace: str, account: str) -> Path:
        """Give a kubeconfig with a token of that ServiceAccount, which outlives any run of tests."""
        token = self.kubectl("create", "token", account, "-n", namespace, "--duration=12h").out.strip()
        config = json.loads(self.kubectl("config", "view", "--raw", "-o", "json").out)
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        path = self.work / f"kubeconfig-{namespace}-{account}"
        path.write_text(json.dumps(config))
        return path

    def certificate(self, name: str, names: str) -> tuple[Path, Path, Path]:
        """Issue a certificate from the cluster's CA; give paths of certificate, key and CA."""
        cert, key, ca = self.script("cert.sh", name, names).split()
        return Path(cert), Path(key), Path(ca)


# What the audit log tells: who asked for what, with what admission wrote beside it.
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "verbs": ["create", "update", "patch"]}, {"level": "None"}],
}


@contextmanager
def control_plane(work: Path) -> Iterator[Cluster]:
    """Run etcd, kube-apiserver, which keeps an audit log, and the controllers; no pod of it ever runs."""
    cluster = Cluster(work)
    work.mkdir(parents=True, exist_ok=True)
    policy = work / "audit-policy.yaml"
    policy.write_text(json.dumps(_AUDIT))
    flags = f"--audit-policy-file={policy} --audit-log-path={cluster.audit_log}"
    cluster.script("up.sh", "--controllers", APISERVER_FLAGS=flags)
    try:
        yield cluster
    finally:
        cluster.script("down.sh")


@contextmanager
def node(work: Path) -> Iterator[Cluster]:
    """Run a whole Kubernetes on one node, in namespaces of its own. `work` not below /var or /run."""
    cluster = Cluster(work)
    # with 3 the kubelet writes when a hook begins and ends
    cluster.script("node-up.sh", KUBELET_V="3")
    try:
        yield cluster
    finally:
        cluster.script("node-down.sh")
