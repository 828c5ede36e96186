"""The real webhook as a process, asked over TLS as the API server asks it."""

from __future__ import annotations

import base64
import itertools
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.certificates import make_ca, make_leaf
from tests.peers.webhook import WebhookProcess
from webhook.patch import Op, apply

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
        with httpx.Client(verify=self._tls, trust_env=False, timeout=60) as client:
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
    webhook = WebhookProcess(certificate, key, folder / "webhook.log")
    webhook.start()
    try:
        yield Admission(webhook.url, folder / "ca.crt")
    finally:
        webhook.stop()
