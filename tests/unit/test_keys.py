"""No pod of the golden files and the honest corpus gets a LiteLLM key or a Secret where there is a broker."""

from dataclasses import replace

import pytest

from tests.golden.cases import BROKER_CA, BROKER_URL, CONFIG
from tests.keys import brought, injected
from webhook.access import Broker

BROKERED = replace(CONFIG, broker=Broker(BROKER_URL, BROKER_CA))


def test_no_key_and_no_new_secret() -> None:
    """Whatever the pod, all it gets of LiteLLM is a token of its own for the broker."""
    pods = list(injected(BROKERED))
    assert len(pods) > 100
    assert [found for before, after in pods for found in brought(before, after)] == []


def test_the_count_can_fail() -> None:
    """With a Secret of the namespace each pod gets the key and references to three of its entries."""
    before, after = next(injected(CONFIG))
    found = brought(before, after)
    secrets = [f"Secret litellm-registrar key {key}" for key in ("url", "key", "ca.crt")]
    assert len(found) == 4
    assert found[1:] == secrets


@pytest.mark.parametrize(
    "part",
    [
        {"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "litellm", "key": "k"}}}]}]},
        {"containers": [{"envFrom": [{"secretRef": {"name": "litellm"}}]}]},
        {"volumes": [{"secret": {"secretName": "litellm"}}]},
        {"volumes": [{"projected": {"sources": [{"secret": {"name": "litellm"}}]}}]},
    ],
)
def test_every_way_of_a_secret_is_counted(part: dict[str, object]) -> None:
    """Variables and volumes, whole Secrets and single keys; what the pod had before is not counted."""
    assert len(brought({"spec": {}}, {"spec": part})) == 1
    assert brought({"spec": part}, {"spec": part}) == []


def test_a_key_in_plain_text_is_counted() -> None:
    """LiteLLM's key as a literal variable, too."""
    spec = {"containers": [{"env": [{"name": "REGISTRAR_LITELLM_KEY", "value": "sk-1"}]}]}
    assert brought({"spec": {}}, {"spec": spec}) == ["/spec/containers/0/env/0/name"]
