"""The webhook as a process of its own, known to a real API server by URL."""

import base64
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.peers.cluster import Cluster, wait_until

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "examples" / "webhook-configuration.yaml"
CLUSTER_ID = "test-cluster"
IMAGE = "litellm-registrar/sidecar:test"


def free_port(address: str) -> int:
    """Find a TCP port that nothing listens on."""
    with socket.socket() as s:
        s.bind((address, 0))
        port: int = s.getsockname()[1]
    return port


class Webhook:
    """`python -m webhook serve` for one cluster, listening on `address`, where its API server finds it."""

    def __init__(self, cluster: Cluster, address: str = "127.0.0.1", *flags: str) -> None:
        self.cluster = cluster
        self.address = address
        self.port = free_port(address)
        self.health_port = free_port(address)
        self.flags = flags
        self.log = cluster.work / "log" / "webhook.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        cert, key, _ = self.cluster.certificate("webhook", f"IP:{self.address}")
        command = [sys.executable, "-m", "webhook", "serve", "--tls-cert", str(cert), "--tls-key", str(key)]
        command += ["--listen-address", self.address, "--port", str(self.port)]
        command += ["--health-port", str(self.health_port), "--stop-delay", "0"]
        command += ["--cluster-id", CLUSTER_ID, "--registrar-image", IMAGE, *self.flags]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        wait_until("ready webhook", 15, self._ready)

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the webhook has ended:\n{self.log.read_text()}")
        try:
            return httpx.get(f"http://{self.address}:{self.health_port}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        """End it as the kubelet would, and check that it ended well."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process = None
        assert code == 0, f"the webhook ended with {code}:\n{self.log.read_text()}"

    def configure(self) -> None:
        """Apply the configuration that the README names, with the URL and the CA filled in."""
        ca = (self.cluster.work / "pki" / "ca.crt").read_bytes()
        manifest = CONFIGURATION.read_text().replace("${WEBHOOK_URL}", f"https://{self.address}:{self.port}")
        manifest = manifest.replace("${CA_BUNDLE}", base64.b64encode(ca).decode())
        path = self.cluster.work / "webhook-configuration.yaml"
        path.write_text(manifest)
        self.cluster.kubectl("apply", "-f", str(path))

    def calls(self, webhook: str, kind: str = "admit") -> int:
        """Give how often the API server has called one of our webhooks, by its own count.

        `kind` is `admit` for mutating and `validating` for validating webhooks.
        """
        metrics = self.cluster.kubectl("get", "--raw", "/metrics").out
        wanted = ("apiserver_admission_webhook_request_total{", f'name="{webhook}"', f'type="{kind}"')
        lines = (line for line in metrics.splitlines() if all(part in line for part in wanted))
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)
