"""Meshes, pull secrets and ids, with a real API server: what other plugins and webhooks put beside ours."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from tests.peers.cluster import JSON, Cluster
from tests.peers.learned import configurations
from tests.peers.webhook import Webhook
from tests.real.apiserver.manifests import pod, registrars
from webhook.mesh import LISTS

pytestmark = pytest.mark.kube

ISTIO, LINKERD = LISTS
PROXY = {"name": "istio-proxy", "image": "istio/proxyv2:1.28.0"}


class Injector(BaseHTTPRequestHandler):
    """A mesh's injector: puts its proxy before the others, and takes note of the lists that it sees."""

    seen: list[JSON] = []  # noqa: RUF012 - of all requests

    def do_POST(self) -> None:
        """Answer a review."""
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = review["request"]["object"]
        self.seen.append(asked["metadata"].get("annotations", {}))
        ops = [] if self._has_proxy(asked) else [{"op": "add", "path": "/spec/containers/0", "value": PROXY}]
        patch = base64.b64encode(json.dumps(ops).encode()).decode()
        response = {
            "uid": review["request"]["uid"],
            "allowed": True,
            "patchType": "JSONPatch",
            "patch": patch,
        }
        body = json.dumps(review | {"request": None, "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    @staticmethod
    def _has_proxy(asked: JSON) -> bool:
        return any(container["name"] == PROXY["name"] for container in asked["spec"]["containers"])


@pytest.fixture(scope="module")
def injector(cluster: Cluster) -> Iterator[list[JSON]]:
    """Run a mesh's injector under the name of Istio's; give the annotations of the pods it was asked of."""
    cert, key, ca = cluster.certificate("mesh", "IP:127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Injector)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_port}/inject"
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    entry = {
        "name": "rev.namespace.sidecar-injector.istio.io",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(ca.read_bytes()).decode()},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "namespaceSelector": {"matchLabels": {"istio-injection": "enabled"}},
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    cluster.create({**kind, "metadata": {"name": "istio-sidecar-injector"}, "webhooks": [entry]})
    configurations(cluster)
    yield Injector.seen
    cluster.kubectl("delete", "mutatingwebhookconfiguration", "istio-sidecar-injector")
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def named(cluster: Cluster, webhook: Webhook) -> Iterator[Webhook]:
    """Serve with pull secrets and without ids, under a configuration named as the chart's."""
    process = Webhook(
        cluster, "127.0.0.1", "--registrar-pull-secrets", "ours,mirror", "--registrar-user", "none"
    )
    process.start()
    process.configure()
    file = cluster.work / "webhook-configuration.yaml"
    manifests = list(yaml.safe_load_all(file.read_text()))
    for manifest in manifests:
        cluster.kubectl("delete", manifest["kind"], manifest["metadata"]["name"])
        cluster.create({**manifest, "metadata": {"name": "admission.litellm-registrar"}})
    configurations(cluster)
    yield process
    for manifest in manifests:
        cluster.kubectl("delete", manifest["kind"], "admission.litellm-registrar")
    process.stop()
    webhook.configure()


def created(cluster: Cluster, manifest: JSON) -> JSON:
    """Create an object, and give it as it is stored."""
    stored: JSON = json.loads(cluster.create(manifest, "-o", "json").out)
    return stored


@pytest.mark.usefixtures("named")
def test_a_mesh_s_injector_sees_which_port_to_leave_alone(cluster: Cluster, injector: list[JSON]) -> None:
    """Ours is called before it, by its name, and again after it: the pod has each part once."""
    namespace = cluster.namespace("meshed", **{"istio-injection": "enabled"})
    stored = created(cluster, pod(namespace, annotations={ISTIO: "15090"}))
    assert [(seen[ISTIO], seen[LINKERD]) for seen in injector] == [("15090,9469", "9469")]
    assert [container["name"] for container in stored["spec"]["containers"]] == ["istio-proxy", "vllm"]
    assert len(registrars(stored)) == 1
    assert stored["metadata"]["annotations"][ISTIO] == "15090,9469"
    port = stored["spec"]["containers"][1]["lifecycle"]["preStop"]["httpGet"]["port"]
    assert port == 9469


@pytest.mark.usefixtures("named")
def test_pull_secrets_come_behind_those_of_the_service_account(cluster: Cluster, namespace: str) -> None:
    """The API server's plugin puts a ServiceAccount's into pods with none, and it is asked before us."""
    secrets = json.dumps({"imagePullSecrets": [{"name": "theirs"}, {"name": "mirror"}]})
    cluster.kubectl("patch", "serviceaccount", "default", "-n", namespace, "-p", secrets)
    stored = created(cluster, pod(namespace))
    assert [one["name"] for one in stored["spec"]["imagePullSecrets"]] == ["theirs", "mirror", "ours"]


@pytest.mark.usefixtures("named")
def test_a_pod_s_own_pull_secrets_stay(cluster: Cluster, namespace: str) -> None:
    """A pod that names some gets none of its ServiceAccount, and ours behind them."""
    manifest = pod(namespace)
    manifest["spec"]["imagePullSecrets"] = [{"name": "mine"}]
    stored = created(cluster, manifest)
    assert [one["name"] for one in stored["spec"]["imagePullSecrets"]] == ["mine", "ours", "mirror"]


@pytest.mark.usefixtures("named")
def test_without_ids_a_restricted_namespace_still_admits_the_registrar(cluster: Cluster) -> None:
    """User and group are then the cluster's choice, as OpenShift makes one; root they cannot be."""
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    answer = cluster.create(pod(cluster.namespace("no-ids", **level)), "-o", "json")
    (registrar,) = registrars(json.loads(answer.out))
    assert not {"runAsUser", "runAsGroup"} & set(registrar["securityContext"])
    assert registrar["securityContext"]["runAsNonRoot"] is True
    assert not [warning for warning in answer.warnings if "PodSecurity" in warning]
