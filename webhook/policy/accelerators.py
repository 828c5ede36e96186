"""Rules over GPUs and their like: how many, how they are asked for, whether the server uses them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from webhook.pods import mapping, objects
from webhook.policy.amounts import total
from webhook.policy.devices import NAMES, Asked, devices, listed
from webhook.policy.extracted import short
from webhook.policy.kinds import Ceiling, Choice, GlobList, resources
from webhook.policy.parallelism import matches_devices
from webhook.policy.rule import Rule
from webhook.policy.subject import Container, Subject
from webhook.policy.verdict import Finding

_GROUP: Final = "accelerators"
# What gives devices to a container by a variable (the container runtimes of NVIDIA, AMD, Habana and Ascend),
# or chooses among them behind the scheduler's back. CUDA_VISIBLE_DEVICES is none of them: it only hides what
# was given.
_VISIBLE: Final = frozenset(
    f"{maker}_VISIBLE_DEVICES" for maker in ("NVIDIA", "AMD", "HABANA", "ASCEND", "ROCR", "HIP")
)
_VISIBLE_NAMES: Final = frozenset(map(str.lower, _VISIBLE))  # as `Subject.variables` has them
# Values that give none (NVIDIA container toolkit, "Supported environment variables").
_NONE: Final = frozenset({"", "void", "none"})
# Where NVIDIA's runtime looks for devices in place of the variable ("device list as volume mounts"), and the
# annotations by which runtimes add devices (Container Device Interface).
_AS_MOUNTS: Final = "nvidia-container-devices"
_BY_ANNOTATION: Final = "cdi.k8s.io/"


def _per_container(subject: Subject, value: int, group: Mapping[str, Any]) -> Iterator[Finding]:
    for item in devices(subject.containers, group["resources"]):
        if isinstance(item, Finding):
            yield item
        elif sum(item.counts.values()) > value:
            yield Finding(item.path, listed(item.counts), f"at most {value}", item.container.name)


def _per_pod(subject: Subject, value: int, group: Mapping[str, Any]) -> Iterator[Finding]:
    asked: list[Asked] = []
    for item in devices(subject.containers, group["resources"]):
        if isinstance(item, Finding):
            yield item
        else:
            asked.append(item)
    names = dict.fromkeys(name for item in asked for name in item.counts)
    counts = {
        name: int(total((item.container, Decimal(item.counts.get(name, 0))) for item in asked))
        for name in names
    }
    if sum(counts.values()) > value:
        path = asked[0].path if len(asked) == 1 else subject.path
        yield Finding(path, f"{listed(counts)} in all", f"at most {value} in a pod")


def _claims(subject: Subject, _value: Any, _group: Mapping[str, Any]) -> Iterator[Finding]:
    wanted = "devices asked for in resources.limits"
    for index, claim in objects(subject.spec.get("resourceClaims")):
        seen = f"the claim {short(str(claim.get('name')))}"
        yield Finding(f"{subject.path}.resourceClaims[{index}]", seen, wanted)
    for container in subject.containers:
        own = mapping(container.raw.get("resources"))
        for index, claim in objects(own["claims"]) if "claims" in own else ():
            path = f"{container.path}.resources.claims[{index}]"
            yield Finding(path, f"the claim {short(str(claim.get('name')))}", wanted, container.name)


def _visible_devices(subject: Subject, _value: Any, _group: Mapping[str, Any]) -> Iterator[Finding]:
    wanted = "devices asked for in resources.limits only"
    for key in subject.annotations:
        if key.startswith(_BY_ANNOTATION):
            yield Finding(f"{subject.metadata_path}.annotations[{key}]", "a device by annotation", wanted)
    by_variable = not _VISIBLE_NAMES.isdisjoint(subject.variables)
    for container in subject.containers:
        if by_variable:
            yield from _variables(container, wanted)
        if "volumeMounts" not in container.raw:
            continue
        for index, mount in objects(container.raw["volumeMounts"]):
            at = mount.get("mountPath")
            if isinstance(at, str) and _AS_MOUNTS in at:
                seen = "a device by mount path"
                yield Finding(f"{container.path}.volumeMounts[{index}]", seen, wanted, container.name)


def _variables(container: Container, wanted: str) -> Iterator[Finding]:
    for index, entry in objects(container.raw.get("env")):
        name, value = entry.get("name"), entry.get("value")
        if not isinstance(name, str) or name not in _VISIBLE:
            continue
        if entry.get("valueFrom") is not None:
            value = "a value from elsewhere"
        if isinstance(value, str) and value not in _NONE:
            path = f"{container.path}.env[{index}]"
            yield Finding(path, f"{name}={short(value)}", wanted, container.name)


RULES: Final = (
    Rule(
        _GROUP,
        "resources",
        GlobList(resources, "resources' names", fixed=True),
        "the resources that count as accelerators",
        default=list(NAMES),
    ),
    Rule(
        _GROUP,
        "maxPerPod",
        Ceiling(),
        "the most a pod may ask for, all containers together as the scheduler adds them up",
        _per_pod,
    ),
    Rule(_GROUP, "maxPerContainer", Ceiling(), "the most one container may ask for", _per_container),
    Rule(
        _GROUP,
        "resourceClaims",
        Choice(),
        "devices by dynamic resource allocation, which no limit shows",
        _claims,
    ),
    Rule(
        _GROUP,
        "visibleDevicesEnv",
        Choice(),
        "devices by hand: `NVIDIA_VISIBLE_DEVICES` and its like (but for `void` and `none`), NVIDIA's mount "
        "paths, `cdi.k8s.io/` annotations",
        _visible_devices,
    ),
    Rule(
        _GROUP,
        "matchParallelism",
        Choice(),
        "tensor x pipeline x data parallel must equal the accelerators of the container; be a multiple of "
        "them where a server spans several pods",
        matches_devices,
    ),
)
