"""The pod's token for the broker, as a real kubelet writes it: readable by the registrar in any pod."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.broker_contract import DEFAULT_AUDIENCE, TOKEN_FILE, TOKEN_MOUNT
from tests.certificates import make_ca
from tests.node.manifests import DOMAIN, container
from tests.peers.cluster import Cluster, machine_address, wait_until
from tests.peers.webhook import Webhook

pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]

NAMESPACE = "tokens"
# Run in the registrar's container, by its user: whose file it is, its mode, and what is in it.
LOOK = (
    "import os, sys; path = sys.argv[1]; found = os.stat(path); "
    "print(found.st_uid, found.st_gid, oct(found.st_mode & 0o777), os.getuid(), open(path).read())"
)
# A security context of the pod; whose file its kubelet makes of the token, and its mode (webhook/access.py).
CASES: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "anyone": ({}, ("0", "0", "0o644")),
    "with-a-group": ({"fsGroup": 2000}, ("0", "2000", "0o640")),
    "one-user": ({"runAsUser": 65534, "runAsGroup": 65534}, ("65534", "0", "0o600")),
    "one-user-with-a-group": ({"runAsUser": 65534, "fsGroup": 2000}, ("65534", "2000", "0o640")),
}


@pytest.fixture(scope="module")
def brokered(cluster: Cluster, work: Path) -> Iterator[Webhook]:
    """Serve admission where registrars ask a broker; there is none at its address."""
    ca = work / "broker-ca.crt"
    ca.write_bytes(make_ca("broker").certificate)
    flags = ("--broker-url", "https://broker.test:8443", "--broker-ca", str(ca))
    process = Webhook(cluster, machine_address(), *flags)
    process.start()
    process.configure()
    cluster.namespace(NAMESPACE)
    yield process
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    process.stop()


@pytest.mark.usefixtures("brokered")
@pytest.mark.parametrize("name", CASES)
def test_the_registrar_can_read_its_token(cluster: Cluster, name: str) -> None:
    """Whatever security context the pod has, user 65534 reads a token of that pod for the broker alone."""
    security, expected = CASES[name]
    metadata = {
        "name": name,
        "namespace": NAMESPACE,
        "labels": {f"{DOMAIN}/server": "openai"},
    }
    spec = {"containers": [container()], "securityContext": security, "automountServiceAccountToken": False}
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    command = ("exec", "-n", NAMESPACE, name, "-c", "registrar", "--", "python", "-c", LOOK)
    path = f"{TOKEN_MOUNT}/{TOKEN_FILE}"
    answer = wait_until(
        "registrar that runs",
        60,
        lambda: done.out if (done := cluster.kubectl(*command, path, check=False)).code == 0 else "",
    )
    *found, user, token = answer.split()
    assert (tuple(found), user) == (expected, "65534")
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["aud"] == [DEFAULT_AUDIENCE]
    assert claims["kubernetes.io"]["pod"]["name"] == name
