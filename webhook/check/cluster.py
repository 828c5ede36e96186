"""What lives in a cluster, judged as if it were made anew. Pure: objects come in, as the API server has them.

A pod is judged as it lives, with what other webhooks have put into it, and so is the template it came from.
Both are told under what stands at the end of the chain of owners: once, not for each of a hundred replicas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from sidecar.contract import CONTAINER_NAME, DOMAIN
from webhook import container
from webhook.check.report import Entry
from webhook.check.verdicts import Checked, Engine, Outcome
from webhook.pods import ENDED, mapping, objects
from webhook.policy.scope import REQUIRE_LABEL
from webhook.policy.verdict import Mode, Violation

POD: Final = "Pod"
_FINISHED: Final = frozenset({"Complete", "Failed"})  # conditions of Jobs


class Collection(NamedTuple):
    """Where the objects of a kind are listed."""

    kind: str
    base: str
    plural: str

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects, which a list leaves out."""
        return self.base.removeprefix("/apis/").removeprefix("/api/")

    def path(self, namespace: str) -> str:
        """Give the path in the API, of one namespace or with an empty one of all."""
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{self.base}{within}/{self.plural}"


COLLECTIONS: Final = (
    Collection("serving.kserve.io/InferenceService", "/apis/serving.kserve.io/v1beta1", "inferenceservices"),
    Collection(
        "leaderworkerset.x-k8s.io/LeaderWorkerSet", "/apis/leaderworkerset.x-k8s.io/v1", "leaderworkersets"
    ),
    Collection("batch/CronJob", "/apis/batch/v1", "cronjobs"),
    Collection("batch/Job", "/apis/batch/v1", "jobs"),
    Collection("apps/Deployment", "/apis/apps/v1", "deployments"),
    Collection("apps/StatefulSet", "/apis/apps/v1", "statefulsets"),
    Collection("apps/DaemonSet", "/apis/apps/v1", "daemonsets"),
    Collection("apps/ReplicaSet", "/apis/apps/v1", "replicasets"),
    Collection(POD, "/api/v1", "pods"),
)


NAMESPACES: Final = "/api/v1/namespaces"
# Of namespaces whose pods without the label reach the webhook (examples/webhook-configuration.yaml).
CLOSED: Final = f"{DOMAIN}/require-label=true"


class _Living(NamedTuple):
    """One object: who owns it, and what was found of it, if it was judged."""

    checked: Checked | None
    owner: str


class Survey:
    """Gathers a cluster's objects one by one, and keeps of each only what was found.

    Without `registrar_image` the registrars in living pods are recognised by how they are built. `closed`
    are the namespaces in which pods without the label are judged; None if that is not known: all.
    """

    def __init__(
        self, engine: Engine, registrar_image: str = "", closed: Container[str] | None = None
    ) -> None:
        self._engine = engine
        self._registrar_image = registrar_image
        self._closed = closed
        self._found: dict[str, _Living] = {}

    def add(self, kind: str, obj: Mapping[str, Any]) -> None:
        """Judge an object, unless it has ended or is being deleted."""
        metadata = mapping(obj.get("metadata"))
        checked = None
        if _lives(kind, obj):
            if kind == POD and not self._registrar_image:
                obj = _bare(obj)
            namespace = metadata.get("namespace")
            # a list's items do not say their kind, which tells where the template is
            whole = {**obj, "kind": kind.rpartition("/")[2]}
            found = self._engine.check(kind, whole, namespace if isinstance(namespace, str) else "")
            if self._closed is not None and found.namespace not in self._closed:
                found = _without_door(found)
            checked = replace(found, registrars=())
        self._found[str(metadata.get("uid"))] = _Living(checked, _owner(metadata))

    def entries(self) -> list[Entry]:
        """Give what was judged, each chain of owners once, in the order of namespaces and names."""
        chains: dict[str, list[_Living]] = {}
        for uid, living in self._found.items():
            if living.checked and living.checked.outcome is not Outcome.NOT_JUDGED:
                chains.setdefault(self._root(uid), []).append(living)
        entries = [entry for members in chains.values() for entry in _told(members)]
        return sorted(entries, key=lambda entry: (entry.checked.namespace, entry.checked.name))

    def _root(self, uid: str) -> str:
        seen = {uid}
        while (owner := self._found[uid].owner) in self._found and owner not in seen:
            seen.add(owner)
            uid = owner
        return uid


def _told(members: list[_Living]) -> Iterator[Entry]:
    """Tell of the first of a chain, and of others only what it has not.

    Owners were read before what they own; the chain's first that was judged stands for it.
    """
    checks = [living.checked for living in members if living.checked]
    first = checks[0]
    pods = sum(checked.kind == POD for checked in checks)
    yield Entry(first, more={"pods": pods} if first.kind != POD else None)
    known = {violation.key for violation in first.violations}
    others: dict[tuple[Violation, ...], Checked] = {}
    alike: Counter[tuple[Violation, ...]] = Counter()
    for checked in checks[1:]:
        more = tuple(v for v in checked.violations if v.key not in known)
        if more:
            others.setdefault(more, replace(checked, violations=more, outcome=_outcome(more)))
            alike[more] += 1
    for more, checked in others.items():
        yield Entry(checked, more={"like it": alike[more] - 1} if alike[more] > 1 else None)


def _without_door(checked: Checked) -> Checked:
    """Give what is left where the webhook does not see pods without the label."""
    kept = tuple(v for v in checked.violations if v.rule != REQUIRE_LABEL)
    if len(kept) == len(checked.violations):
        return checked
    return replace(checked, violations=kept, outcome=_outcome(kept) if kept else Outcome.NOT_JUDGED)


def _outcome(violations: tuple[Violation, ...]) -> Outcome:
    modes = {violation.mode for violation in violations if not violation.exception}
    if Mode.ENFORCE in modes:
        return Outcome.DENIED
    return Outcome.WARNED if Mode.WARN in modes else Outcome.ALLOWED


def _lives(kind: str, obj: Mapping[str, Any]) -> bool:
    if mapping(obj.get("metadata")).get("deletionTimestamp"):
        return False
    spec, status = mapping(obj.get("spec")), mapping(obj.get("status"))
    if kind == POD:
        return status.get("phase") not in ENDED
    if kind == "batch/Job":
        conditions = objects(status.get("conditions"))
        return not any(c.get("type") in _FINISHED and c.get("status") == "True" for _, c in conditions)
    # what a Deployment keeps to go back to
    return kind != "apps/ReplicaSet" or spec.get("replicas") != 0


def _owner(metadata: Mapping[str, Any]) -> str:
    """Give the uid of the controller; empty if there is none."""
    owners = objects(metadata.get("ownerReferences"))
    return next((str(owner.get("uid")) for _, owner in owners if owner.get("controller") is True), "")


def _bare(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the pod without its registrar: made anew it gets another."""
    spec = mapping(pod.get("spec"))
    lists = {
        kind: [
            item
            for _, item in objects(spec.get(kind))
            if item.get("name") != CONTAINER_NAME or not container.installed(item)
        ]
        for kind in ("initContainers", "containers")
        if kind in spec
    }
    return {**pod, "spec": {**spec, **lists}}
