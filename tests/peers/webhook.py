"""The webhook as a process of its own, known to a real API server by URL."""

import base64
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.peers.cluster import Cluster, wait_until
from tests.peers.learned import configurations
from tests.peers.scripts import free_port

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "examples" / "webhook-configuration.yaml"
CLUSTER_ID = "test-cluster"
IMAGE = "litellm-registrar/sidecar:test"
# For an answer of its health port, and for its start and end.
_ANSWER = 30
_SECONDS = 120


def change_ca(kubeconfig: Path, namespace: str, secret: str) -> str:
    """Ask for another CA as a person would, and give what the command says."""
    command = [sys.executable, "-m", "webhook", "tls", "change-ca", "--secret", secret]
    command += ["--namespace", namespace, "--kubeconfig", str(kubeconfig)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class ServeProcess:
    """`python -m webhook serve` with these flags on free ports; its output is appended to `log`."""

    def __init__(self, log: Path, address: str, *flags: str) -> None:
        self.address = address
        self.port = free_port(address)
        self.log = log
        self._health = f"{address}:{free_port(address)}"
        self._command = [sys.executable, "-m", "webhook", "serve", *flags]
        self._command += ["--listen-address", address, "--port", str(self.port), "--stop-delay", "0"]
        self._command += ["--health-port", self._health.rpartition(":")[2]]
        self._command += ["--cluster-id", CLUSTER_ID, "--registrar-image", IMAGE]
        self._process: subprocess.Popen[bytes] | None = None
        # Whether it has been ready, and not been ended since.
        self.runs = False

    @property
    def url(self) -> str:
        """Where it answers reviews."""
        return f"https://{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self, until: str = "ok") -> None:
        """Start it, and wait until /readyz says so: `ok`, or why it is not ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log)
        self.wait(until)
        self.runs = True

    def wait(self, until: str = "ok") -> None:
        """Wait until /readyz says so."""
        wait_until(f"webhook whose /readyz says {until}", _SECONDS, lambda: self._readiness() == until)

    def _readiness(self) -> str:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the webhook has ended:\n{self.log.read_text()}")
        try:
            answer = httpx.get(f"http://{self._health}/readyz", trust_env=False, timeout=_ANSWER)
        except httpx.HTTPError:
            return ""
        assert (answer.status_code == 200) == (answer.text == "ok\n")
        return answer.text.strip()

    def metric(self, name: str) -> float:
        """Give one of its metrics, by its whole name with its labels; NaN if there is none yet."""
        text = httpx.get(f"http://{self._health}/metrics", trust_env=False, timeout=_ANSWER).text
        values = (line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} "))
        return float(next(values, "nan"))

    def kill(self) -> None:
        """End it as a crash does."""
        assert self._process is not None
        self.runs = False
        self._process.kill()
        self._process.wait(_SECONDS)
        self._process = None

    def stop(self) -> None:
        """End it as the kubelet would, and check that it ended well."""
        if self._process is None:
            return
        self.runs = False
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(_SECONDS)
        self._process = None
        assert code == 0, f"the webhook ended with {code}:\n{self.log.read_text()}"


class WebhookProcess(ServeProcess):
    """A webhook with this certificate and key."""

    def __init__(self, cert: Path, key: Path, log: Path, address: str = "127.0.0.1", *flags: str) -> None:
        super().__init__(log, address, "--tls-cert", str(cert), "--tls-key", str(key), *flags)


class Webhook(WebhookProcess):
    """The webhook of one cluster, listening on `address`, where its API server finds it."""

    def __init__(self, cluster: Cluster, address: str = "127.0.0.1", *flags: str) -> None:
        self.cluster = cluster
        cert, key, _ = cluster.certificate("webhook", f"IP:{address}")
        super().__init__(cert, key, cluster.work / "log" / "webhook.log", address, *flags)

    def configure(self) -> None:
        """Apply the configuration that the README names, with URL and CA filled in, until it counts."""
        ca = (self.cluster.work / "pki" / "ca.crt").read_bytes()
        manifest = CONFIGURATION.read_text().replace("${WEBHOOK_URL}", self.url)
        manifest = manifest.replace("${CA_BUNDLE}", base64.b64encode(ca).decode())
        path = self.cluster.work / "webhook-configuration.yaml"
        path.write_text(manifest)
        self.cluster.kubectl("apply", "-f", str(path))
        configurations(self.cluster)

    def calls(self, webhook: str, kind: str = "admit") -> int:
        """Give how often the API server has called one of our webhooks, by its own count.

        `kind` is `admit` for mutating and `validating` for validating webhooks.
        """
        metrics = self.cluster.kubectl("get", "--raw", "/metrics").out
        wanted = ("apiserver_admission_webhook_request_total{", f'name="{webhook}"', f'type="{kind}"')
        lines = (line for line in metrics.splitlines() if all(part in line for part in wanted))
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)
