"""The webhook where registrars ask a broker, with a real API server: ready once the bundle is published."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from sidecar import contract
from sidecar.broker_contract import TOKEN_VOLUME
from tests.certificates import make_ca
from tests.golden.cases import Case, cases
from tests.peers.cluster import JSON, Cluster, wait_until
from tests.peers.webhook import ROOT, Webhook
from tests.real.apiserver.manifests import pod, registrars
from tests.real.apiserver.test_golden import CONFIG, admit
from webhook.access import Broker
from webhook.inject import Injection

pytestmark = pytest.mark.kube

URL = "https://broker.example.com:8444"
NAMESPACE = "broker-mode"
CONFIGMAP = "litellm-registrar-broker-ca"
BUNDLE = make_ca("broker").certificate.decode()
BROKERED = [case for case in cases() if case.asks_broker]
RIGHTS = ROOT / "examples" / "rbac.yaml"
ACCOUNT = "litellm-registrar-webhook"


@pytest.fixture(scope="module")
def unready(cluster: Cluster, webhook: Webhook) -> Iterator[Webhook]:
    """Serve with the rights of the example within one namespace, before the broker has published anything."""
    cluster.namespace(NAMESPACE)
    manifests = RIGHTS.read_text().replace("namespace: litellm-registrar", f"namespace: {NAMESPACE}")
    for manifest in yaml.safe_load_all(manifests):
        if manifest["metadata"].get("namespace"):
            cluster.create(manifest)
    flags = ("--broker-url", URL, "--broker-ca-configmap", CONFIGMAP, "--namespace", NAMESPACE)
    kubeconfig = cluster.kubeconfig_of(NAMESPACE, ACCOUNT)
    process = Webhook(cluster, "127.0.0.1", *flags, "--kubeconfig", str(kubeconfig))
    process.start(until="broker_ca_unknown")
    process.configure()
    yield process
    process.stop()
    webhook.configure()


@pytest.fixture(scope="module")
def refused(cluster: Cluster, unready: Webhook) -> tuple[JSON, list[str]]:
    """Create a pod before the bundle is known: give it as it is stored, and the warnings."""
    assert unready.url
    answer = cluster.create(pod(NAMESPACE), "-o", "json")
    return json.loads(answer.out), answer.warnings


@pytest.fixture(scope="module")
def config(cluster: Cluster, unready: Webhook, refused: tuple[JSON, list[str]]) -> Injection:
    """Publish the bundle, wait until the webhook is ready, and give what it then injects."""
    assert refused
    metadata = {"name": CONFIGMAP, "namespace": NAMESPACE}
    cluster.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca-bundle.crt": BUNDLE}}
    )
    unready.wait()
    return replace(CONFIG, broker=Broker(URL, BUNDLE))


def test_before_the_bundle_is_known_a_pod_stays_as_it_is(refused: tuple[JSON, list[str]]) -> None:
    """A review that comes all the same is answered with a warning that names the reason."""
    stored, warnings = refused
    assert registrars(stored) == []
    assert [warning.partition(":")[0] for warning in warnings] == ["broker_ca_unknown"]


@pytest.mark.parametrize("case", BROKERED, ids=lambda case: case.folder.name)
def test_golden_case(
    case: Case, config: Injection, cluster: Cluster, namespace: str, unready: Webhook
) -> None:
    """The case's pod is admitted with token and bundle, exactly as written."""
    admit(case, config, cluster, namespace, unready)


@pytest.mark.usefixtures("config")
def test_a_restricted_namespace_admits_the_token(cluster: Cluster) -> None:
    """A projected volume is one of those that the restricted Pod Security Standard allows."""
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    namespace = cluster.namespace("restricted-broker-mode", **level)
    answer = cluster.create(pod(namespace), "-o", "json")
    stored = json.loads(answer.out)
    assert [volume["name"] for volume in stored["spec"]["volumes"] if "projected" in volume][
        -1
    ] == TOKEN_VOLUME
    assert not [warning for warning in answer.warnings if "PodSecurity" in warning]


@pytest.mark.usefixtures("config")
def test_the_annotation_of_a_secret_is_told(cluster: Cluster, namespace: str) -> None:
    """Whoever creates a pod with `litellm-secret` sees that it has no effect."""
    annotations = {f"{contract.DOMAIN}/litellm-secret": "mine"}
    answer = cluster.create(pod(namespace, annotations=annotations), "-o", "json")
    assert [warning.partition(":")[0] for warning in answer.warnings] == ["secret_ignored"]
    assert "secretKeyRef" not in answer.out


def test_a_changed_bundle_is_for_new_pods(cluster: Cluster, namespace: str, config: Injection) -> None:
    """What the broker publishes anew goes into the pods made from then on, without a restart."""
    assert config.broker is not None
    newer = BUNDLE + make_ca("next").certificate.decode()
    patch = json.dumps({"data": {"ca-bundle.crt": newer}})
    cluster.kubectl("patch", "configmap", CONFIGMAP, "-n", NAMESPACE, "--type=merge", "-p", patch)

    def bundle() -> str:
        answer = cluster.create(pod(namespace), "-o", "json", "--dry-run=server")
        (registrar,) = registrars(json.loads(answer.out))
        return next(str(one["value"]) for one in registrar["env"] if one["name"] == contract.ENV_LITELLM_CA)

    wait_until("pod with the newer bundle", 120, lambda: bundle() == newer)
    back = json.dumps({"data": {"ca-bundle.crt": BUNDLE}})
    cluster.kubectl("patch", "configmap", CONFIGMAP, "-n", NAMESPACE, "--type=merge", "-p", back)
    wait_until("pod with the former bundle", 120, lambda: bundle() == BUNDLE)
