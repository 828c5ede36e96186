"""Injection where registrars ask a broker: a token of the pod, and nothing of LiteLLM's Secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar import contract
from sidecar.broker_contract import TOKEN_MOUNT, TOKEN_VOLUME
from sidecar.contract import Credentials
from tests.kubelet import container_process
from webhook.access import Broker
from webhook.handlers import Word, mutate
from webhook.inject import Decision, Injection, inject
from webhook.patch import apply
from webhook.reasons import Reason
from webhook.review import Review

BUNDLE = "-----BEGIN CERTIFICATE-----\nMIIB$(HOME)\n-----END CERTIFICATE-----\n"
BROKER = Broker("https://broker.example.com:8443", BUNDLE, 900)
CONFIG = Injection(cluster="c", image="registry.example.com/sidecar:1", broker=BROKER, token_audience="us")
NOT_YET = replace(CONFIG, broker=replace(BROKER, ca=None))
SECRET = f"{contract.DOMAIN}/litellm-secret"


def pod(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Give a labelled pod with a vLLM."""
    server = {"name": "vllm", "image": "vllm/vllm-openai:v0.32.0", "args": ["--model", "m"]}
    metadata = {
        "name": "pod-1",
        "namespace": "team-a",
        "labels": {contract.LABEL_SERVER: "vllm"},
        "annotations": annotations or {},
    }
    return {"metadata": metadata, "spec": {"containers": [server], **spec}}


def patched(original: dict[str, Any], config: Injection = CONFIG) -> dict[str, Any]:
    """Give the pod as it is after one call."""
    found: dict[str, Any] = apply(original, inject(original, config, "n").ops)
    return found


def registrar(found: dict[str, Any]) -> dict[str, Any]:
    """Give the injected container."""
    (ours,) = (item for item in found["spec"]["initContainers"] if item["name"] == "registrar")
    return dict(ours)


def reasons(decision: Decision) -> list[Reason]:
    """Give the reasons of a decision's warnings."""
    return [problem.reason for problem in decision.problems]


def test_the_volume_is_a_token_for_the_broker_that_the_registrar_can_read() -> None:
    """Audience and life are those set; others may read the file, for it may be root's."""
    token = {"audience": "us", "expirationSeconds": 900, "path": "token"}
    assert patched(pod())["spec"]["volumes"] == [
        {
            "name": TOKEN_VOLUME,
            "projected": {"defaultMode": 0o644, "sources": [{"serviceAccountToken": token}]},
        }
    ]


def test_only_the_registrar_mounts_it() -> None:
    """The server cannot reach the token: the mount is the registrar's alone, and read-only."""
    found = patched(pod())
    assert registrar(found)["volumeMounts"] == [
        {"name": TOKEN_VOLUME, "mountPath": TOKEN_MOUNT, "readOnly": True}
    ]
    assert "volumeMounts" not in found["spec"]["containers"][0]


def test_the_registrar_reads_what_was_written() -> None:
    """By way of a kubelet it gets the broker's address, the very bundle and the token's file, and no key."""
    secrets = {contract.DEFAULT_LITELLM_SECRET: {"url": "http://litellm", "key": "sk-1", "ca.crt": "x"}}
    _, env = container_process(
        patched(pod()), "registrar", pod_ip="10.0.0.9", uid="u", node="n", secrets=secrets
    )
    assert Credentials.from_env(env) == Credentials(
        litellm_url=BROKER.url, litellm_ca=BUNDLE.strip(), token_file=f"{TOKEN_MOUNT}/token"
    )


def test_nothing_of_a_secret() -> None:
    """No variable of LiteLLM's key, and no reference to any Secret, is written into the pod."""
    text = json.dumps(patched(pod()))
    assert contract.ENV_LITELLM_KEY not in text
    assert "secretKeyRef" not in text


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        (["data"], TOKEN_VOLUME),
        ([TOKEN_VOLUME], f"{TOKEN_VOLUME}-2"),
        ([f"{TOKEN_VOLUME}-2", TOKEN_VOLUME], f"{TOKEN_VOLUME}-3"),
    ],
)
def test_a_name_that_no_volume_has(taken: list[str], name: str) -> None:
    """A volume of the user's stays what it is, whatever it is called: ours takes the next free name."""
    own = [{"name": other, "emptyDir": {}} for other in taken]
    found = patched(pod(volumes=own))
    assert found["spec"]["volumes"][:-1] == own
    assert found["spec"]["volumes"][-1]["name"] == name
    assert registrar(found)["volumeMounts"][0]["name"] == name


def test_a_pod_that_wants_no_token_of_the_kubernetes_api() -> None:
    """`automountServiceAccountToken: false` is about the API server's token: ours is there all the same."""
    found = patched(pod(automountServiceAccountToken=False))
    assert found["spec"]["automountServiceAccountToken"] is False
    assert [volume["name"] for volume in found["spec"]["volumes"]] == [TOKEN_VOLUME]


def test_without_the_bundle_nothing_is_injected() -> None:
    """A registrar that could not verify the broker would be useless: the pod stays as it is."""
    decision = inject(pod(), NOT_YET, "n")
    assert (decision.ops, decision.reason) == ((), Reason.BROKER_CA_UNKNOWN)
    assert reasons(decision) == [Reason.BROKER_CA_UNKNOWN]


@pytest.mark.parametrize(
    "later",
    [
        replace(CONFIG, broker=Broker("https://elsewhere", "another bundle", 600), token_audience="them"),
        NOT_YET,
        replace(CONFIG, broker=None),
    ],
)
def test_a_second_call_after_a_change(later: Injection) -> None:
    """What a pod was injected with stays: another bundle, none, or no broker any more change nothing."""
    decision = inject(patched(pod()), later, "n2")
    assert (decision.ops, decision.problems) == ((), ())
    assert decision.reason is Reason.ALREADY_INJECTED


def test_a_copied_registrar_gets_its_volume() -> None:
    """In a copied manifest that has our container only, the volume that it mounts is added."""
    original = pod(volumes=[{"name": TOKEN_VOLUME, "emptyDir": {}}])
    copy = pod(initContainers=[registrar(patched(original))])
    volumes = patched(copy)["spec"]["volumes"]
    assert [volume["name"] for volume in volumes] == [f"{TOKEN_VOLUME}-2"]


def test_the_annotation_of_a_secret_is_ignored() -> None:
    """`litellm-secret` on a pod is warned of at each call, and changes nothing."""
    decision = inject(pod({SECRET: "mine"}), CONFIG, "n")
    assert decision.reason is Reason.INJECTED
    assert reasons(decision) == [Reason.SECRET_IGNORED]
    found = patched(pod({SECRET: "mine"}))
    assert "secretKeyRef" not in json.dumps(found)
    assert reasons(inject(found, CONFIG, "n2")) == [Reason.SECRET_IGNORED]


@pytest.mark.parametrize("place", ["object", "template"])
@pytest.mark.parametrize(
    ("config", "expected"), [(CONFIG, [Reason.SECRET_IGNORED]), (replace(CONFIG, broker=None), [])]
)
def test_the_annotation_on_a_workload(place: str, config: Injection, expected: list[Reason]) -> None:
    """Who applies a workload with `litellm-secret` is told there: of its pods nobody sees the warnings."""
    told = {"labels": {contract.LABEL_SERVER: "vllm"}, "annotations": {SECRET: "mine"}}
    bare: dict[str, Any] = {"labels": {}, "annotations": {}}
    of_object, of_template = (told, bare) if place == "object" else (bare, told)
    template = {"metadata": of_template, "spec": pod()["spec"]}
    obj = {"kind": "Deployment", "metadata": of_object, "spec": {"template": template}}
    review = Review("", "CREATE", "apps/Deployment", "", "team-a", "d", obj, {})
    verdict = mutate(review, config, lambda: "n")
    assert verdict.word is (Word.CARRIED if place == "object" else Word.ALLOWED)
    assert [text.partition(":")[0] for text in verdict.answer.warnings] == expected
