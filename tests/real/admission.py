"""The real webhook as a process, asked over TLS as the API server asks it."""

from __future__ import annotations

import base64
import itertools
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.certificates import make_ca, make_leaf
from tests.peers.cluster import wait_until
from tests.peers.scripts import free_port
from webhook.patch import Op, apply

CLUSTER: Final = "real-test"
_ADDRESS: Final = "127.0.0.1"
_numbers = itertools.count(1)


class Admission:
    """A webhook that listens; `admit` is what becomes of a pod that is created."""

    def __init__(self, url: str, ca: Path) -> None:
        self._url = url
        self._tls = ssl.create_default_context(cafile=ca)

    def admit(self, pod: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Post the review of the pod's creation; give the patched pod and the warnings."""
        uid = f"review-{next(_numbers)}"
        request = {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": pod["metadata"]["namespace"],
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": pod,
            "oldObject": None,
            "dryRun": False,
        }
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        with httpx.Client(verify=self._tls, trust_env=False, timeout=10) as client:
            answer = client.post(f"{self._url}/mutate", json=review)
        assert answer.status_code == 200, answer.text
        response = answer.json()["response"]
        assert response["uid"] == uid
        assert response["allowed"], response
        ops = json.loads(base64.b64decode(response.get("patch", "") or b"W10="))
        return apply(pod, [Op(**op) for op in ops]), response.get("warnings", [])


@contextmanager
def admission(folder: Path) -> Iterator[Admission]:
    """Run `python -m webhook serve` with a certificate made here; its log is `folder`/webhook.log."""
    authority = make_ca()
    (folder / "ca.crt").write_bytes(authority.certificate)
    certificate, key = make_leaf(authority, [_ADDRESS]).write(folder)
    port, health_port = free_port(_ADDRESS), free_port(_ADDRESS)
    command = [sys.executable, "-m", "webhook", "serve"]
    command += ["--tls-cert", str(certificate), "--tls-key", str(key)]
    command += ["--listen-address", _ADDRESS, "--port", str(port), "--health-port", str(health_port)]
    command += [
        "--cluster-id",
        CLUSTER,
        "--registrar-image",
        "litellm-registrar/sidecar:test",
        "--stop-delay",
        "0",
    ]
    with (folder / "webhook.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until("ready webhook", 20, lambda: _ready(process, f"http://{_ADDRESS}:{health_port}/readyz"))
        yield Admission(f"https://{_ADDRESS}:{port}", folder / "ca.crt")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (folder / "webhook.log").read_text()


def _ready(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None, f"the webhook ended with {process.returncode}"
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
