"""Rules over CPU, memory and storage: what must be said, and the most that may be asked for. Pure.

A resize of a running pod (`pods/resize`) changes the same fields, and is held against the same rules.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from webhook import quantity
from webhook.pods import ContainerKind, mapping, objects
from webhook.policy.amounts import total
from webhook.policy.composed import Quantities
from webhook.policy.extracted import short
from webhook.policy.kinds import Quantity, Required
from webhook.policy.rule import Check, Rule
from webhook.policy.subject import Subject
from webhook.policy.verdict import Finding
from webhook.reasons import shown

_GROUP: Final = "resources"
_SHM: Final = "/dev/shm"  # noqa: S108 - a mount in somebody's pod, not a file of ours
_LIMITS: Final = "resources.limits"
# Of what is no amount: the API server never sends it, a manifest that `check` reads may have it. As no amount
# that can be read is as large, this is the ceiling that `required` stands for, too.
_UNREADABLE: Final = Decimal("Infinity")
# What is longer is not worth remembering.
_SHORT: Final = 32


@dataclass(frozen=True)
class SizeLimit(Quantity):
    """The largest size of a volume in memory, parsed to Decimal; `required` takes any that is given."""

    allowed: str = "`required`, or the largest quantity, like `64Gi`"

    def parse(self, value: Any) -> Decimal:
        """Read the word or the quantity."""
        return _UNREADABLE if value == "required" else super().parse(value)


def _required(field: str, noun: str) -> Check:
    """Make the check that every container, or the pod as a whole, says `field` of some resources.

    A limit is the request where none is given (SetDefaults_Pod in pkg/apis/core/v1/defaults.go). Zero is not
    taken: as a limit it is none, as a request it keeps nothing free.
    """
    fields = ("limits",) if field == "limits" else ("requests", "limits")

    def check(subject: Subject, value: tuple[str, ...], _group: Mapping[str, Any]) -> Iterator[Finding]:
        of_pod = mapping(subject.spec.get("resources"))
        by_field = [mapping(of_pod.get(field)) for field in fields]
        names = [name for name in value if not _is_said(by_field, name)] if of_pod else value
        for container in subject.containers if names else ():
            # ephemeral containers cannot have resources; beside pod-level ones the registrar has none
            if container.kind is ContainerKind.EPHEMERAL or (of_pod and subject.is_registrar(container)):
                continue
            own = mapping(container.raw.get("resources"))
            by_field = [mapping(own.get(field)) for field in fields]
            for name in names:
                if not _is_said(by_field, name):
                    there = mapping(own.get(field)).get(name)
                    seen = "none" if there is None else short(shown(there))
                    path = f"{container.path}.resources.{field}[{name}]"
                    yield Finding(path, f"{seen} for {name}", f"a {noun} of {name} above 0", container.name)

    return check


def _is_said(by_field: Iterable[Mapping[str, Any]], name: str) -> bool:
    """Tell whether the first of the fields that names a resource gives more than nothing of it."""
    for resources in by_field:
        value = resources.get(name)
        if value is not None:
            is_short = isinstance(value, str) and len(value) <= _SHORT
            return _is_some(value) if is_short else 0 < _amount(value) < _UNREADABLE
    return False


@functools.lru_cache(maxsize=256)  # pods repeat the same few quantities
def _is_some(text: str) -> bool:
    return 0 < _amount(text) < _UNREADABLE


class _Asked(NamedTuple):
    """What a container, or a pod as a whole, may use of one resource."""

    field: str
    written: Any
    amount: Decimal


def _asked(own: Mapping[str, Any], name: str) -> _Asked | None:
    """Give the limit among the resources of a container or a pod; where there is none, the request."""
    for field in ("limits", "requests"):
        value = mapping(own.get(field)).get(name)
        if value is not None:
            return _Asked(f"resources.{field}[{name}]", value, _amount(value))
    return None


def _per_container(
    subject: Subject, value: Mapping[str, Decimal], _group: Mapping[str, Any]
) -> Iterator[Finding]:
    for container in subject.containers:
        own = mapping(container.raw.get("resources"))
        for name, most in value.items() if own else ():
            asked = _asked(own, name)
            if asked and asked.amount > most:
                path, seen = f"{container.path}.{asked.field}", short(shown(asked.written))
                yield Finding(path, f"{seen} of {name}", f"at most {quantity.text(most)}", container.name)


def _per_pod(subject: Subject, value: Mapping[str, Decimal], _group: Mapping[str, Any]) -> Iterator[Finding]:
    # the registrar is not the owner's, and not yet there in a template
    resources = [
        (container, own)
        for container in subject.containers
        if (own := mapping(container.raw.get("resources"))) and not subject.is_registrar(container)
    ]
    for name, most in value.items():
        asked = [(container, found) for container, own in resources if (found := _asked(own, name))]
        amount = total((container, found.amount) for container, found in asked)
        path = f"{asked[0][0].path}.{asked[0][1].field}" if len(asked) == 1 else subject.path
        of_pod = _asked(mapping(subject.spec.get("resources")), name)
        if of_pod and (of_pod.amount > amount or of_pod.field.startswith(_LIMITS)):
            # a limit of the pod holds for its containers together, whatever their own add up to
            amount, path = of_pod.amount, f"{subject.path}.{of_pod.field}"
        if amount > most:
            seen = "an unreadable amount" if amount == _UNREADABLE else quantity.text(amount)
            yield Finding(path, f"{seen} of {name} in all", f"at most {quantity.text(most)} in a pod")


def _shm(subject: Subject, value: Decimal, _group: Mapping[str, Any]) -> Iterator[Finding]:
    in_memory = [
        (index, volume)
        for index, volume in objects(subject.spec.get("volumes"))
        if mapping(volume.get("emptyDir")).get("medium") == "Memory"
    ]
    mounted = _mounted_at_shm(subject) if in_memory else frozenset()
    for index, volume in in_memory:
        name = volume.get("name")
        if not isinstance(name, str) or name not in mounted:
            continue
        limit = volume["emptyDir"].get("sizeLimit")
        amount = Decimal(0) if limit is None else _amount(limit)
        # the kubelet takes 0 for no limit (pkg/volume/emptydir/empty_dir.go)
        if not 0 < amount <= value or amount == _UNREADABLE:
            seen = "no limit" if limit is None else short(shown(limit))
            most = "" if value == _UNREADABLE else f" of at most {quantity.text(value)}"
            path = f"{subject.path}.volumes[{index}].emptyDir.sizeLimit"
            yield Finding(path, f"{seen} for {short(str(name))} at {_SHM}", f"a size limit{most}")


def _mounted_at_shm(subject: Subject) -> frozenset[str]:
    """Give the names of the volumes that a container sees at /dev/shm or below it."""
    found = set()
    for container in subject.containers:
        for _, mount in objects(container.raw.get("volumeMounts")):
            path, name = mount.get("mountPath"), mount.get("name")
            if isinstance(path, str) and isinstance(name, str) and "shm" in path:
                path = posixpath.normpath(f"/{path.lstrip('/')}")
                if path == _SHM or path.startswith(f"{_SHM}/"):
                    found.add(name)
    return frozenset(found)


def _amount(value: Any) -> Decimal:
    try:
        amount = quantity.parse(value)
    except ValueError:
        return _UNREADABLE
    return amount if amount >= 0 else _UNREADABLE


RULES: Final = (
    Rule(
        _GROUP,
        "requireLimits",
        Required(what="resources"),
        "resources each container, or the pod as a whole, must limit",
        _required("limits", "limit"),
    ),
    Rule(
        _GROUP,
        "requireRequests",
        Required(what="resources"),
        "resources each container, or the pod as a whole, must request; a limit is a request too",
        _required("requests", "request"),
    ),
    Rule(
        _GROUP,
        "max",
        Quantities(),
        "the most a pod may ask for, all containers together as the scheduler adds them up",
        _per_pod,
    ),
    Rule(_GROUP, "maxPerContainer", Quantities(), "the most one container may ask for", _per_container),
    Rule(
        _GROUP,
        "shmSizeLimit",
        SizeLimit(),
        "a volume in memory at `/dev/shm` must have a size limit, or one of at most this",
        _shm,
    ),
)
