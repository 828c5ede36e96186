"""The example of a webhook configuration: what must hold in every entry."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.contract import LABEL_CARRIED, LABEL_INJECT, LABEL_SERVER
from webhook.app import MUTATE, VALIDATE
from webhook.made import WORKLOADS

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "webhook-configuration.yaml"
MUTATING, VALIDATING = yaml.safe_load_all(EXAMPLE.read_text())
ENTRIES: Final = [*MUTATING["webhooks"], *VALIDATING["webhooks"]]
UNLABELLED: Final = VALIDATING["webhooks"][-1]
ASKS: Final = {"key": "litellm-registrar.io/require-label", "operator": "In", "values": ["true"]}


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_entry_can_stop_the_cluster(entry: dict[str, Any]) -> None:
    """Ignore, at most 5 s, no side effects, never kube-system, and only what has a label of ours or asks."""
    assert (entry["failurePolicy"], entry["sideEffects"]) == ("Ignore", "None")
    assert entry["timeoutSeconds"] <= 5
    expression, *asked = entry["namespaceSelector"]["matchExpressions"]
    assert expression == {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": ["kube-system"],
    }
    assert asked == ([ASKS] if entry is UNLABELLED else [])
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
    """`server`, or `carried` without it, or neither; `inject: "false"` keeps only the registrar away."""
    for configuration in (MUTATING, VALIDATING):
        server, carried, *_ = configuration["webhooks"]
        off = [{"key": LABEL_INJECT, "operator": "NotIn", "values": ["false"]}]
        more = off if configuration is MUTATING else []
        assert server["objectSelector"]["matchExpressions"] == [
            {"key": LABEL_SERVER, "operator": "Exists"},
            *more,
        ]
        assert carried["objectSelector"]["matchExpressions"] == [
            {"key": LABEL_CARRIED, "operator": "Exists"},
            {"key": LABEL_SERVER, "operator": "DoesNotExist"},
            *more,
        ]
    assert UNLABELLED["objectSelector"]["matchExpressions"] == [
        {"key": LABEL_SERVER, "operator": "DoesNotExist"},
        {"key": LABEL_CARRIED, "operator": "DoesNotExist"},
    ]


def test_what_changes_objects_is_asked_again_when_others_change_them() -> None:
    """Another webhook may put a container before ours: then there is a second call."""
    assert {entry["reinvocationPolicy"] for entry in MUTATING["webhooks"]} == {"IfNeeded"}


def test_pods_are_changed_on_create_only() -> None:
    """Containers cannot be added later; workloads follow their label on UPDATE too."""
    asked = [[rule["operations"] for rule in entry["rules"]] for entry in MUTATING["webhooks"]]
    assert asked == [[["CREATE"]], [["CREATE"]], [["CREATE", "UPDATE"]]]


@pytest.mark.parametrize("entry", VALIDATING["webhooks"], ids=lambda entry: entry["name"])
def test_updates_are_judged_but_for_what_is_being_deleted(entry: dict[str, Any]) -> None:
    """A forbidden update is no way round; a finalizer of a dying object never waits for the webhook."""
    for rule in entry["rules"]:
        later = "pods" not in rule["resources"] and "pods/ephemeralcontainers" in rule["resources"]
        assert rule["operations"] == (["UPDATE"] if later else ["CREATE", "UPDATE"])
    assert entry["matchConditions"][0] == {
        "name": "not-being-deleted",
        "expression": "oldObject == null || !has(oldObject.metadata.deletionTimestamp)",
    }


def test_every_kind_that_is_judged_is_asked_about() -> None:
    """Each workload whose pods the webhook can tell, and the two ways to change a running pod."""
    resources = {
        f"{group}/{resource}" if group else resource
        for entry in VALIDATING["webhooks"]
        for rule in entry["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    kinds = {f"{kind.lower()}s" for kind in (*WORKLOADS, "Pod")}
    assert resources == kinds | {"pods/ephemeralcontainers", "pods/resize"}
