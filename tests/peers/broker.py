"""The broker as a process of its own, with its own ServiceAccount and certificates, and pods that call it."""

from __future__ import annotations

import base64
import json
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sidecar.broker_contract import CONTRACT_HEADER, DEFAULT_AUDIENCE
from sidecar.contract import CONTRACT_VERSION
from sidecar.row_contract import NO_KEY, row_id
from tests.injected import CLUSTER, injected
from tests.peers.admitted import registrars
from tests.peers.cluster import Cluster, wait_until
from tests.peers.learned import rights
from tests.peers.scripts import free_port

ROOT: Final = Path(__file__).parents[2]
RIGHTS: Final = ROOT / "examples" / "rbac.yaml"
NAMESPACE: Final = "litellm-registrar"
ACCOUNT: Final = "litellm-registrar-broker"
CA: Final = "litellm-registrar-broker-ca"
SECRET: Final = "litellm-registrar-broker-tls"
ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
NODE: Final = "fake"

# For an answer of its health port, and for its start and end.
_ANSWER: Final = 30
_SECONDS: Final = 120

JSON = dict[str, Any]


def grant(cluster: Cluster) -> None:
    """Make the project's namespace, its ServiceAccounts and their rights, which they have then."""
    if cluster.kubectl("get", "namespace", NAMESPACE, check=False).code:
        cluster.namespace(NAMESPACE)
    cluster.kubectl("apply", "-f", str(RIGHTS))
    # by the last Role of the file and its binding, and by the last ClusterRole
    rights(cluster, NAMESPACE, ACCOUNT, "create", "leases.coordination.k8s.io", "-n", NAMESPACE)
    rights(cluster, NAMESPACE, ACCOUNT, "create", "tokenreviews.authentication.k8s.io")


class BrokerProcess:
    """`python -m webhook broker` before a LiteLLM, by the rights of `examples/rbac.yaml` (see `grant`).

    Its output is appended to `folder`/broker.log. Several of one cluster are replicas of each other.
    """

    def __init__(
        self,
        cluster: Cluster,
        litellm: str,
        key: str,
        folder: Path,
        *flags: str,
        address: str = "127.0.0.1",
        module: str = "webhook",
    ) -> None:
        self.cluster = cluster
        self.log = folder / "broker.log"
        self.key_file = folder / "key"
        self.key_file.write_text(key)
        self.address = address
        self.port = free_port(address)
        self._health = f"{address}:{free_port(address)}"
        self._process: subprocess.Popen[bytes] | None = None
        kubeconfig = cluster.kubeconfig_of(NAMESPACE, ACCOUNT)
        self._command = [sys.executable, "-m", module, "broker", "--cluster-id", CLUSTER]
        self._command += ["--litellm-url", litellm, "--litellm-key-file", str(self.key_file)]
        self._command += ["--kubeconfig", str(kubeconfig), "--namespace", NAMESPACE, "--stop-delay", "0"]
        self._command += ["--listen-address", address, "--port", str(self.port), "--log-format", "json"]
        self._command += ["--health-port", self._health.rpartition(":")[2]]
        self._command += ["--tls-secret", SECRET, "--ca-configmap", CA, "--tls-names", address]
        self._command += flags

    @property
    def url(self) -> str:
        """Where it answers registrars."""
        return f"https://{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log)
        try:
            wait_until("ready broker", _SECONDS, self._is_ready)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.log.read_text()}") from None

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the broker has ended:\n{self.log.read_text()}")
        try:
            return self.health("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        """End it as the kubelet would, and check that it ended well."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(_SECONDS)
        self._process = None
        assert code == 0, f"the broker ended with {code}:\n{self.log.read_text()}"

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def health(self, path: str) -> httpx.Response:
        """Ask its health port."""
        return httpx.get(f"http://{self._health}{path}", trust_env=False, timeout=_ANSWER)

    def bundle(self) -> str:
        """Give the certificates that pods are given to verify it by, as the webhook reads them."""
        return str(self.cluster.get("configmap", CA, NAMESPACE)["data"]["ca-bundle.crt"])

    def client(self) -> httpx.Client:
        """Give a client that trusts only these."""
        trust = ssl.create_default_context(cadata=self.bundle())
        return httpx.Client(base_url=self.url, verify=trust, trust_env=False, timeout=180)

    def lines(self) -> list[JSON]:
        """Give what it has logged so far, without a line that it is just writing."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]


@dataclass
class Caller:
    """A pod of a real cluster that calls a broker; nobody runs it."""

    cluster: Cluster
    namespace: str
    name: str
    uid: str
    address: str
    port: int = 8000
    token: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What its registrar sends with every call."""
        return {"Authorization": f"Bearer {self.token}", CONTRACT_HEADER: str(CONTRACT_VERSION)}

    def new_token(self, *args: str, audience: str = DEFAULT_AUDIENCE) -> str:
        """Have the API server make a token of the pod's ServiceAccount; `args` bind it to something else."""
        bound = args or ("--bound-object-kind=Pod", f"--bound-object-name={self.name}")
        if not args:
            bound = (*bound, f"--bound-object-uid={self.uid}")
        made = self.cluster.kubectl(
            "create", "token", "default", "-n", self.namespace, f"--audience={audience}", *bound
        )
        return made.out.strip()

    def expired_token(self) -> str:
        """Sign a token of this pod that has ended a minute ago, with the cluster's own key."""
        now = int(time.time())
        claims = json.loads(_unpadded(self.token.split(".")[1]))
        return signed(self.cluster, {**claims, "iat": now - 700, "nbf": now - 700, "exp": now - 60})

    def id(self, model: str) -> str:
        """Give the id of its row of a model."""
        return row_id(CLUSTER, self.namespace, self.uid, model)

    def row(self, model: str, **params: Any) -> JSON:
        """Give the body of a creation, as its registrar writes it; `params` replace some of its own."""
        owner = {"server": "vllm", "version": "0.32", "model": model, "owner": "vllm", "unknown": []}
        return {
            "model_name": model,
            "litellm_params": {
                "model": f"hosted_vllm/{model}",
                "api_base": f"http://{self.address}:{self.port}/v1",
                "api_key": NO_KEY,
                "extra_headers": {},
                **params,
            },
            "model_info": {"id": self.id(model), "mode": "chat", "registrar": owner},
        }

    def environ(self, url: str, ca: str, token: Path, listen: int) -> dict[str, str]:
        """Give the environment of its registrar, as the webhook and the kubelet make it, for `listen`."""
        (ours,) = registrars(self.cluster.get("pod", self.name, self.namespace))
        token.write_text(self.token)
        return {
            **{each["name"]: each["value"] for each in ours["env"] if "value" in each},
            "REGISTRAR_NAMESPACE": self.namespace,
            "REGISTRAR_POD": self.name,
            "REGISTRAR_POD_UID": self.uid,
            "REGISTRAR_POD_IP": self.address,
            "REGISTRAR_LISTEN_PORT": str(listen),
            "REGISTRAR_LITELLM_URL": url,
            "REGISTRAR_LITELLM_CA": ca,
            "REGISTRAR_TOKEN_FILE": str(token),
            "REGISTRAR_PROPAGATION": "4",
        }

    def call(
        self,
        client: httpx.Client,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Ask the broker."""
        return client.request(method, path, json=body, headers={**self.headers, **(headers or {})})

    def delete(self, grace: int | None = None) -> None:
        """Delete the pod; with a grace the API server waits for a kubelet, which there is none of."""
        how = (
            ("--force", "--grace-period=0") if grace is None else (f"--grace-period={grace}", "--wait=false")
        )
        self.cluster.kubectl("delete", "pod", self.name, "-n", self.namespace, *how)


def caller(cluster: Cluster, manifest: JSON, address: str, port: int = 8000) -> Caller:
    """Make a pod, have it run on a node that nobody looks after, with this IP, and give it a token."""
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    cluster.create({**manifest, "spec": {**manifest["spec"], "nodeName": NODE}})
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "192.0.2.1"}
    patch = json.dumps({"status": {**status, "hostIPs": [{"ip": "192.0.2.1"}]}})
    cluster.kubectl(
        "patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch
    )
    uid = cluster.get("pod", name, namespace)["metadata"]["uid"]
    made = Caller(cluster, namespace, name, uid, address, port)
    made.token = made.new_token()
    return made


def injected_caller(
    cluster: Cluster, namespace: str, name: str, address: str, port: int = 8000, **annotations: str
) -> Caller:
    """Make a pod as the webhook injects it (see `caller`)."""
    return caller(cluster, injected(namespace, name, port, **annotations), address, port)


def signed(cluster: Cluster, claims: Mapping[str, Any]) -> str:
    """Sign a token as the API server does (RS256, RFC 7515), whatever is in it."""
    key = load_pem_private_key((cluster.work / "pki" / "sa.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    genuine = cluster.kubectl("create", "token", "default", "-n", "default").out.split(".")[0]
    head = f"{genuine}.{_padless(json.dumps(claims).encode())}"
    return f"{head}.{_padless(key.sign(head.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _padless(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
