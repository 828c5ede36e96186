"""JSON schemas for kubeconform, out of what a running API server says of its own kinds.

kubeconform's default location is a copy of them on the internet, of other versions, without custom resources.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

# For kubeconform's -schema-location.
NAMES: Final = "{{.ResourceKind}}{{.KindSuffix}}.json"
_REF: Final = "#/definitions/"
_KINDS: Final = "x-kubernetes-group-version-kind"
_ANY_SCALAR: Final = ["string", "number", "null"]


def kinds(openapi: Mapping[str, Any]) -> set[str]:
    """Name the kinds that an OpenAPI v2 document defines."""
    return {
        kind["kind"] for definition in openapi["definitions"].values() for kind in definition.get(_KINDS, ())
    }


def write(openapi: Mapping[str, Any], folder: Path) -> None:
    """Write a schema, called by `NAMES`, for each kind of an OpenAPI v2 document (`/openapi/v2`)."""
    definitions = {name: _definition(name, node) for name, node in openapi["definitions"].items()}
    for name, node in definitions.items():
        for kind in node.get(_KINDS, ()):
            used = {each: definitions[each] for each in sorted(_reached(name, definitions))}
            schema = {"$ref": _REF + name, "definitions": used}
            (folder / f"{_file(**kind)}.json").write_text(json.dumps(schema))


def _file(group: str, version: str, kind: str) -> str:
    """Name a kind as kubeconform does: the group by its first word, none for the core."""
    return "-".join(part for part in (kind.lower(), group.partition(".")[0], version) if part)


def _definition(name: str, node: Any) -> Any:
    # Both say they are strings, and take numbers (apimachinery: resource.Quantity, intstr.IntOrString).
    if name.endswith((".api.resource.Quantity", ".util.intstr.IntOrString")):
        return {"type": _ANY_SCALAR}
    return _strict(node)


def _strict(node: Any) -> Any:
    """Make fields that nobody knows errors; null stays allowed, as the API server allows it."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _strict(value) for key, value in node.items()}
    if node.get("format") == "int-or-string" or node.get("x-kubernetes-int-or-string"):
        return {"type": _ANY_SCALAR}
    if isinstance(node.get("properties"), dict) and "type" in node:
        node.setdefault("additionalProperties", False)
    if isinstance(node.get("type"), str) and _KINDS not in node:
        node["type"] = [node["type"], "null"]
    return node


def _reached(name: str, definitions: Mapping[str, Any]) -> set[str]:
    """Give the names of all definitions that one needs, itself among them."""
    reached: set[str] = set()
    todo = [name]
    while todo:
        one = todo.pop()
        if one not in reached:
            reached.add(one)
            todo += _refs(definitions[one])
    return reached


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(_REF)
        for value in node.values():
            yield from _refs(value)
    elif isinstance(node, list):
        for item in node:
            yield from _refs(item)
