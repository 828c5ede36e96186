"""Which webhooks an API server would ask about a request, by rules and selectors of rendered configurations.

Written from the API's own description (admissionregistration.k8s.io/v1; "Dynamic Admission Control",
"Matching requests"), not from what our templates are meant to say. matchConditions are CEL, which the real
API server judges: here they count as fulfilled, so that what is never asked here is never asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chart.rendering import JSON, of_kind

KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
ANNOTATION = "litellm-registrar.io/rules"


@dataclass(frozen=True)
class Request:
    """What an API server is asked for; labels are those of the object and of its namespace."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] | None = None
    operation: str = "CREATE"
    group: str = ""
    version: str = "v1"
    resource: str = "pods"
    namespace_labels: Mapping[str, str] = field(default_factory=dict)


def in_force(manifests: Iterable[JSON]) -> list[JSON]:
    """Give the configurations as they are once the webhook's leader has written the rules that it holds."""
    configurations: list[JSON] = json.loads(json.dumps(of_kind(manifests, *KINDS)))
    for configuration in configurations:
        held = json.loads((configuration["metadata"].get("annotations") or {}).get(ANNOTATION, "{}"))
        for webhook in configuration["webhooks"]:
            webhook.setdefault("rules", held.get(webhook["name"], []))
    return configurations


def asked(configurations: Iterable[JSON], request: Request) -> list[str]:
    """Name the webhooks that are asked, like `Mutating server.pods.litellm-registrar.io`."""
    return [
        f"{configuration['kind'].removesuffix('WebhookConfiguration')} {webhook['name']}"
        for configuration in configurations
        for webhook in configuration["webhooks"]
        if _matches(webhook, request)
    ]


def _matches(webhook: JSON, request: Request) -> bool:
    # Every namespace has this label, and nobody can give it another value.
    namespace = {**request.namespace_labels, "kubernetes.io/metadata.name": request.namespace}
    return (
        any(_rule(rule, request) for rule in webhook.get("rules") or ())
        and selects(webhook.get("namespaceSelector"), namespace)
        and any(selects(webhook.get("objectSelector"), labels) for labels in _objects(request))
    )


def _objects(request: Request) -> Iterator[Mapping[str, str]]:
    """Give what a selector is held against: the new object and the old one, one of which is enough."""
    yield request.labels
    if request.before is not None:
        yield request.before


def _rule(rule: JSON, request: Request) -> bool:
    """`pods` does not stand for its subresources; `*` does for everything but them."""
    return (
        bool({request.operation, "*"} & {*rule["operations"]})
        and bool({request.group, "*"} & {*rule["apiGroups"]})
        and bool({request.version, "*"} & {*rule["apiVersions"]})
        and any(_resource(pattern, request.resource) for pattern in rule["resources"])
        and rule.get("scope", "*") in {"Namespaced", "*"}
    )


def _resource(pattern: str, resource: str) -> bool:
    kind, _, part = pattern.partition("/")
    wanted, _, under = resource.partition("/")
    return kind in {wanted, "*"} and part in {under, "*"}


def selects(selector: JSON | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a LabelSelector (meta/v1) selects an object with these labels; an empty one does all."""
    selector = selector or {}
    return all(
        labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()
    ) and all(_expression(one, labels) for one in selector.get("matchExpressions") or ())


def _expression(one: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    has, value = one["key"] in labels, labels.get(one["key"])
    match one["operator"]:
        case "Exists":
            return has
        case "DoesNotExist":
            return not has
        case "In":
            return has and value in one["values"]
        case "NotIn":  # also of objects without the label
            return not has or value not in one["values"]
    raise AssertionError(one)
