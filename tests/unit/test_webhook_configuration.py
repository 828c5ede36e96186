"""The example of a webhook configuration: what must hold in every entry."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.contract import LABEL_CARRIED, LABEL_INJECT, LABEL_SERVER
from webhook.app import MUTATE, VALIDATE

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "webhook-configuration.yaml"
MUTATING, VALIDATING = yaml.safe_load_all(EXAMPLE.read_text())
ENTRIES: Final = [*MUTATING["webhooks"], *VALIDATING["webhooks"]]


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_entry_can_stop_the_cluster(entry: dict[str, Any]) -> None:
    """Ignore, at most 5 s, no side effects, never kube-system, and only what has a label of ours."""
    assert (entry["failurePolicy"], entry["sideEffects"]) == ("Ignore", "None")
    assert entry["timeoutSeconds"] <= 5
    (expression,) = entry["namespaceSelector"]["matchExpressions"]
    assert expression == {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": ["kube-system"],
    }
    chosen = str(entry.get("objectSelector")) + str(entry.get("matchConditions"))
    assert LABEL_SERVER in chosen


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_speaks_v1_and_takes_equivalent_versions(entry: dict[str, Any]) -> None:
    """The webhook answers v1 only, and other API versions of a kind are converted for it."""
    assert (entry["admissionReviewVersions"], entry["matchPolicy"]) == (["v1"], "Equivalent")


def test_the_placeholders_are_the_only_ones() -> None:
    """Address and CA are put in by whoever applies it; each path is one the webhook has."""
    for configuration, path in ((MUTATING, MUTATE), (VALIDATING, VALIDATE)):
        for entry in configuration["webhooks"]:
            assert entry["clientConfig"] == {"url": f"${{WEBHOOK_URL}}{path}", "caBundle": "${CA_BUNDLE}"}


def test_a_pod_goes_to_one_entry_only() -> None:
    """`server`, or `carried` without `server`; `inject: "false"` goes nowhere."""
    for configuration in (MUTATING, VALIDATING):
        server, carried, _ = configuration["webhooks"]
        off = {"key": LABEL_INJECT, "operator": "NotIn", "values": ["false"]}
        assert server["objectSelector"]["matchExpressions"] == [
            {"key": LABEL_SERVER, "operator": "Exists"},
            off,
        ]
        assert carried["objectSelector"]["matchExpressions"] == [
            {"key": LABEL_CARRIED, "operator": "Exists"},
            {"key": LABEL_SERVER, "operator": "DoesNotExist"},
            off,
        ]


def test_what_changes_objects_is_asked_again_when_others_change_them() -> None:
    """Another webhook may put a container before ours: then there is a second call."""
    assert {entry["reinvocationPolicy"] for entry in MUTATING["webhooks"]} == {"IfNeeded"}


def test_pods_are_changed_on_create_only() -> None:
    """Containers cannot be added later; workloads are looked at on UPDATE too, and so is a late label."""
    asked = [[rule["operations"] for rule in entry["rules"]] for entry in ENTRIES]
    both = [["CREATE", "UPDATE"]]
    assert asked == [[["CREATE"]], [["CREATE"]], both, both, [["CREATE"]], both]
