"""What `helm template` and `helm lint` make of the chart, over the matrix of values."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.chart.rendering import (
    HELMS,
    JSON,
    MATRIX,
    RELEASE,
    by_name,
    documents,
    matrix,
    refusal,
    rendered,
    run,
    template,
    values,
)
from tests.chart.schemas import NAMES
from tests.peers.cluster import TOOLS, Cluster
from tests.peers.helm import CHART

pytestmark = pytest.mark.cluster

# What gives something else the next time, or asks the cluster: GitOps tools render without one.
NEVER_SAME = re.compile(r"\b(lookup|gen[A-Z]\w+|rand[A-Z]\w+|now|uuidv4|htpasswd|derivePassword)\b")


@pytest.mark.parametrize("name", MATRIX)
def test_rendering_twice_gives_the_same_bytes(name: str) -> None:
    """GitOps-clean: what a Helm renders it renders again, and the other major version renders the same."""
    given = matrix(name)
    first = template(given)
    assert template(given) == first
    # in another order: each major version has its own for kinds that it does not know
    assert by_name(documents(template(given, "helm3"))) == by_name(documents(first))


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("name", MATRIX)
def test_lint_has_nothing_to_say(name: str, helm: str) -> None:
    """`helm lint --strict` passes."""
    done = run(helm, "lint", "--strict", str(CHART), given=matrix(name))
    assert done.returncode == 0, done.stdout + done.stderr


def conform(text: str, schemas: Path) -> subprocess.CompletedProcess[str]:
    """Hold manifests against schemas by kubeconform, whose output says what is wrong."""
    command = [str(TOOLS / "bin" / "kubeconform"), "-strict", "-summary"]
    command += ["-schema-location", f"{schemas}/{NAMES}", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", MATRIX)
def test_the_api_server_knows_every_field(name: str, schemas: Path) -> None:
    """kubeconform, by what the running API server says of its own kinds and of the custom resources."""
    done = conform(template(matrix(name)), schemas)
    assert done.returncode == 0, done.stdout
    assert "Invalid: 0, Errors: 0, Skipped: 0" in done.stdout


@pytest.mark.parametrize("name", MATRIX)
def test_the_api_server_takes_every_object(name: str, cluster: Cluster) -> None:
    """It validates more than fields (CEL, selectors, quantities), and warns of nothing."""
    # pods are refused without their ServiceAccount, which a dry run does not make; see test_security
    items = [each for each in rendered(matrix(name)) if each["kind"] != "Pod"]
    objects = {"apiVersion": "v1", "kind": "List", "items": items}
    assert cluster.apply(objects, "--dry-run=server").err == ""


def test_kubeconform_finds_what_is_wrong(schemas: Path) -> None:
    """A field that nobody knows is found: in a kind of Kubernetes' own, and in a custom resource."""
    good = template(values(metrics={"serviceMonitor": {"enabled": True}}))
    for right, wrong in (("revisionHistoryLimit", "revisionHistoryLimits"), ("interval", "intervals")):
        assert f" {right}:" in good
        done = conform(good.replace(f" {right}:", f" {wrong}:"), schemas)
        assert done.returncode == 1
        assert wrong in done.stdout


def test_templates_call_nothing_that_gives_something_else_the_next_time() -> None:
    """No `lookup`, nothing made up or timed; not even where no value of the matrix leads."""
    files = [
        *CHART.glob("templates/**/*.yaml"),
        *CHART.glob("templates/**/*.tpl"),
        *CHART.glob("templates/**/*.txt"),
    ]
    assert len(files) > 10
    for file in files:
        actions = re.findall(r"\{\{-?\s*(?!/\*)(.*?)\}\}", file.read_text(), re.DOTALL)
        assert not [action for action in actions if NEVER_SAME.search(action)], file


@pytest.mark.parametrize("name", MATRIX)
def test_no_field_is_rendered_that_others_fill_in(name: str) -> None:
    """No caBundle, no Secret: with Helm 4 an upgrade would fail by a field that somebody else has written."""
    manifests = rendered(matrix(name))
    assert "caBundle" not in str(manifests)
    assert "Secret" not in {manifest["kind"] for manifest in manifests}


@pytest.mark.parametrize("name", MATRIX)
def test_no_two_objects_are_the_same_one(name: str) -> None:
    """Of one kind, namespace and name there is one; namespaced ones say their namespace."""
    keys = by_name(rendered(matrix(name)))
    everywhere = {
        "ClusterRole",
        "ClusterRoleBinding",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    }
    assert {kind for kind, namespace, _ in keys if not namespace} <= everywhere


def test_names_fit_whatever_the_release_is_called() -> None:
    """The longest name of a release that Helm takes (53 characters) makes names that Kubernetes takes."""
    for release in ("r" * 53, "litellm-registrar-" + "r" * 35, "r"):
        for manifest in rendered(values(), release=release):
            assert len(manifest["metadata"]["name"]) <= 63, manifest["metadata"]["name"]
            assert all(len(str(value)) <= 63 for value in manifest["metadata"]["labels"].values())


UNKNOWN: dict[str, tuple[JSON, tuple[str, ...]]] = {
    "at the top": ({"brokers": {}}, ("brokers",)),
    "in a section": ({"webhook": {"replica": 3}}, ("webhook", "replica")),
    "deep": ({"registrar": {"image": {"digst": "x"}}}, ("image", "digst")),
}


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("where", UNKNOWN)
def test_a_value_that_nobody_knows_is_refused_by_its_name(where: str, helm: str) -> None:
    """A slip of the pen does not pass as a value that is not set; Helm says which it is."""
    given, said = UNKNOWN[where]
    complaint = refusal(values(**given), helm)
    assert all(word in complaint for word in said), complaint


WRONG: dict[str, tuple[JSON, str]] = {
    "broker mode without LiteLLM's address": ({"litellm": {"url": ""}}, "url"),
    "broker mode without LiteLLM's key": ({"litellm": {"existingSecret": ""}}, "existingSecret"),
    "an address that is none": ({"litellm": {"url": "litellm.example.com"}}, "url"),
    "a timeout that holds up the API server": ({"admission": {"timeoutSeconds": 6}}, "timeoutSeconds"),
    "a failure policy that is none": ({"admission": {"mutateFailurePolicy": "Warn"}}, "mutateFailurePolicy"),
    "no replica": ({"webhook": {"replicas": 0}}, "replicas"),
    "a certificate of nowhere": ({"certificates": {"source": "vault"}}, "source"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "digest"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_value_that_cannot_be_meant_is_refused_by_its_name(what: str) -> None:
    """What would only fail in the cluster, or harm it, is refused before."""
    given, said = WRONG[what]
    assert said in refusal(values(**given))


def test_the_key_of_litellm_is_only_the_brokers_business() -> None:
    """Direct mode installs no broker, and asks neither for LiteLLM's address nor for its key."""
    manifests = documents(template({"mode": "direct"}))
    assert manifests
    assert "broker" not in str([manifest["metadata"]["name"] for manifest in manifests])


def test_everything_lies_in_the_namespace_of_the_release() -> None:
    """But what is the whole cluster's, the right to try a pod where tests do, and models-only policies."""
    elsewhere = {
        (each["kind"], each["metadata"]["name"].removeprefix(f"{RELEASE}-"), each["metadata"]["namespace"])
        for each in rendered(matrix("full-values"), namespace="platform")
        if each["metadata"].get("namespace", "platform") != "platform"
    }
    assert elsewhere == {
        ("Role", "test", "team-a"),
        ("RoleBinding", "test", "team-a"),
        ("NetworkPolicy", "models-only", "team-a"),
        ("NetworkPolicy", "models-only", "team-b"),
    }
