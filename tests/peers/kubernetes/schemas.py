"""schemas.py OUT-DIR <openapi-v2.json: JSON schemas for kubeconform from a running API server.

kubectl get --raw /openapi/v2 | python3 schemas.py DIR
kubeconform -strict -schema-location 'DIR/{{.ResourceKind}}{{.KindSuffix}}.json' FILE...
"""

import json
import os
import sys

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
definitions = json.load(sys.stdin)["definitions"]
PREFIX = "#/definitions/"


def strict(node):
    """Unknown fields are errors, null is allowed as the API server allows it."""
    if isinstance(node, list):
        return [strict(x) for x in node]
    if not isinstance(node, dict):
        return node
    node = {k: strict(v) for k, v in node.items()}
    if node.get("format") == "int-or-string":
        return {"type": ["string", "integer", "null"]}
    if isinstance(node.get("properties"), dict) and "type" in node:
        node.setdefault("additionalProperties", False)
    if isinstance(node.get("type"), str) and "x-kubernetes-group-version-kind" not in node:
        node["type"] = [node["type"], "null"]
    return node


def refs(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"][len(PREFIX) :]
        for v in node.values():
            yield from refs(v)
    elif isinstance(node, list):
        for v in node:
            yield from refs(v)


for name in definitions:
    if name.endswith(".api.resource.Quantity"):
        definitions[name] = {"type": ["string", "number", "null"]}
    elif name.endswith("util.intstr.IntOrString"):
        definitions[name] = {"type": ["string", "integer", "null"]}
    else:
        definitions[name] = strict(definitions[name])
for name, d in definitions.items():
    for gvk in d.get("x-kubernetes-group-version-kind", []):
        used, todo = set(), [name]
        while todo:
            x = todo.pop()
            if x not in used:
                used.add(x)
                todo += refs(definitions[x])
        parts = (
            [gvk["kind"].lower()] + ([gvk["group"].split(".")[0]] if gvk["group"] else []) + [gvk["version"]]
        )
        with open(os.path.join(out, "-".join(parts) + ".json"), "w") as f:
            json.dump({"$ref": PREFIX + name, "definitions": {x: definitions[x] for x in sorted(used)}}, f)
