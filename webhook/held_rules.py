"""Rules that webhooks of ours do not have yet, and the patch that gives them. Pure.

A webhook with failurePolicy Fail refuses what it matches while nobody answers for it. So a configuration is
installed with such webhooks matching nothing, without `rules`, and says in an annotation which rules they are
to have: they get them once the API server has reached us. (Never the other way round: rules that the
installer wrote and we took away would be its again with every apply.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.contract import DOMAIN
from webhook.patch import pointer
from webhook.pods import annotations_of, listed, mapping

JSON = dict[str, Any]

# {"<name of a webhook>": [its rules]}, as JSON.
ANNOTATION: Final = f"{DOMAIN}/rules"
# The webhook, with failurePolicy Ignore, that shows whether the API server reaches us: it matches a Lease of
# one namespace with this label alone, refuses it, and nobody but us makes one, as a dry run.
SELFTEST: Final = f"selftest.{DOMAIN}"
LABEL: Final = f"{DOMAIN}/selftest"


class AnnotationError(ValueError):
    """The annotation is not what it has to be; the message says what was found and what is allowed."""


@dataclass(frozen=True, slots=True)
class Way:
    """By which way the API server calls a webhook, its path aside: two of one way are reached alike."""

    url: str
    service: tuple[Any, ...]
    ca_bundle: str


def selftest_way(found: JSON | None) -> Way | None:
    """Give the way to the webhook that shows whether we are reached; None: it is not in this one."""
    return next((_way(each) for each in _webhooks(found) if each.get("name") == SELFTEST), None)


def held_back(found: JSON | None) -> dict[str, list[Any]]:
    """Give the rules that are still to be given, by the webhook's name. Raises AnnotationError."""
    now = {each.get("name"): _stored(each.get("rules")) for each in _webhooks(found)}
    wanted = _wanted(annotations_of(found or {}).get(ANNOTATION))
    return {name: rules for name, rules in wanted.items() if name in now and now[name] != _stored(rules)}


def unlike(found: JSON | None, way: Way) -> list[str]:
    """Name the webhooks whose rules are held back and that the API server calls by another way."""
    held = held_back(found)
    return [each["name"] for each in _webhooks(found) if each.get("name") in held and _way(each) != way]


def ops(found: JSON) -> list[JSON]:
    """Give the JSON Patch by which every webhook has its rules, if the configuration is still this one.

    Raises AnnotationError.
    """
    held = held_back(found)
    return [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]},
        *(
            {"op": "add", "path": pointer("webhooks", index, "rules"), "value": held[each["name"]]}
            for index, each in enumerate(_webhooks(found))
            if each.get("name") in held
        ),
    ]


def selftest_lease(name: str) -> JSON:
    """Give the object that this webhook is tried with."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "labels": {LABEL: "true"}},
    }


def _webhooks(found: JSON | None) -> list[JSON]:
    return listed((found or {}).get("webhooks"))


def _stored(rules: Any) -> list[Any]:
    """Give rules as the API server keeps them (SetDefaults_Rule in pkg/apis/admissionregistration/v1)."""
    return [{"scope": "*", **mapping(rule)} for rule in listed(rules)]


def _way(webhook: JSON) -> Way:
    client = mapping(webhook.get("clientConfig"))
    service = mapping(client.get("service"))
    return Way(
        str(client.get("url") or "").rpartition("/")[0],
        (service.get("namespace"), service.get("name"), service.get("port")),
        str(client.get("caBundle") or ""),
    )


def _wanted(text: str | None) -> Mapping[str, list[Any]]:
    try:
        wanted = json.loads(text or "{}")
    except ValueError:
        raise AnnotationError(f"annotation {ANNOTATION}: found no JSON, allowed is an object") from None
    if not isinstance(wanted, dict) or not all(isinstance(rules, list) for rules in wanted.values()):
        raise AnnotationError(
            f"annotation {ANNOTATION}: allowed is an object with a list of rules for each name of a webhook"
        )
    return wanted
