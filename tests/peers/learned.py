"""What an API server learns a moment after it was written, as it goes by what it watches: waits for that."""

from __future__ import annotations

import itertools
from typing import Any, Final

from tests.peers.cluster import Cluster, wait_until

# Moments on a quiet machine.
_SECONDS: Final = 120
_numbers = itertools.count(1)


def configurations(cluster: Cluster) -> None:
    """Wait until every webhook configuration counts as it is written now, or is gone.

    An API server hears of configurations of one kind in the order in which they were written. So one more of
    each kind is made, which refuses one ConfigMap: when it does, what was written before it counts too.
    """
    name = f"learned-{next(_numbers)}"
    marks = {kind: f"{name}-{kind.lower()}" for kind in ("Mutating", "Validating")}
    items = [_refusing(kind, name, mark) for kind, mark in marks.items()]
    cluster.create({"apiVersion": "v1", "kind": "List", "items": items})
    try:
        for mark in marks.values():
            wait_until(f"refusal by {mark}", _SECONDS, lambda mark=mark: _refused(cluster, mark))  # type: ignore[misc]
    finally:
        kinds = ",".join(f"{kind.lower()}webhookconfiguration" for kind in marks)
        cluster.kubectl("delete", kinds, name)


def _refusing(kind: str, name: str, mark: str) -> dict[str, Any]:
    """Give a configuration whose webhook nobody answers, for ConfigMaps with this mark as their label."""
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    webhook = {
        "name": f"{mark}.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [rule],
        "objectSelector": {"matchLabels": {"learned": mark}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    version = "admissionregistration.k8s.io/v1"
    configuration = f"{kind}WebhookConfiguration"
    return {"apiVersion": version, "kind": configuration, "metadata": {"name": name}, "webhooks": [webhook]}


def _refused(cluster: Cluster, mark: str) -> bool:
    metadata = {"name": mark, "namespace": "default", "labels": {"learned": mark}}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    return f"{mark}.example.com" in cluster.create(manifest, "--dry-run=server", check=False).err


def rights(cluster: Cluster, namespace: str, account: str, *action: str, has: bool = True) -> None:
    """Wait until a ServiceAccount may do this, or may no more; `action` as `kubectl auth can-i` takes it."""
    who = f"--as=system:serviceaccount:{namespace}:{account}"
    said = "yes" if has else "no"

    def check() -> bool:
        return cluster.kubectl("auth", "can-i", *action, who, check=False).out.strip() == said

    wait_until(f"{said} to {account}: may it {' '.join(action)}?", _SECONDS, check)
