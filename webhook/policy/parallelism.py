"""Whether a server uses as many devices as its container asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar.contract import Engine
from webhook.pods import ContainerKind, objects
from webhook.policy.devices import Asked, devices, listed
from webhook.policy.subject import Container, Subject
from webhook.policy.verdict import Finding
from webhook.sources.found import Role, SwitchName

_PARALLEL: Final = (SwitchName.TENSOR_PARALLEL, SwitchName.PIPELINE_PARALLEL, SwitchName.DATA_PARALLEL)
# What may hide one of them: anything of the command line can.
_HIDING: Final = frozenset({*_PARALLEL, None})
_MAX_DIGITS: Final = 6
# Of a vLLM server that is told nothing (vllm/config/parallel.py).
_UNSAID: Final = "1"
# One of these can be several devices to the server, by its generation: cores of a TPU or of Neuron, tiles.
_OF_SEVERAL: Final = ("google.com/", "aws.amazon.com/", "gpu.intel.com/")
# Pods that are one server together with others: by what LeaderWorkerSet and KubeRay write on them, or by what
# the container is told.
_SPANNING_LABELS: Final = ("leaderworkerset.sigs.k8s.io/", "ray.io/")
_SPANNING_PATH: Final = "leaderWorkerTemplate"
_SPANNING_WORDS: Final = (
    *("ray start", "executor-backend", "executor_backend", "nnodes", "node-rank", "node_rank", "multi-node"),
    *("LWS_", "RAY_"),
)


def matches_devices(subject: Subject, _value: Any, group: Mapping[str, Any]) -> Iterator[Finding]:
    """Find containers whose server splits its model over more or fewer devices than they ask for.

    Judged is only what is known on both sides. A server that spans several pods (LeaderWorkerSet, Ray, vLLM's
    `--nnodes`) must use a multiple of what one of them has, if it says how many.
    """
    splits = _splits(subject)
    if not splits:
        return
    split = [
        container
        for container in subject.containers
        if container.kind is ContainerKind.MAIN and container.path in splits
    ]
    asked = {
        item.container.path: item
        for item in devices(split, group["resources"])
        if not isinstance(item, Finding)
    }
    for container in split:
        used, path = splits[container.path]
        here = asked.get(container.path)
        if _is_judged(subject, container, here, used) and not _fits(subject, container, here, used):
            seen = listed(here.counts) if here else "no accelerators"
            wanted = f"{used}, as the server's tensor x pipeline x data parallel"
            yield Finding(here.path if here else path, seen, wanted, container.name)


def _splits(subject: Subject) -> dict[str, tuple[int, str]]:
    """Give, by the container's path, over how many devices its server splits, and the switch that says so."""
    extract = subject.extract
    hidden = {_container(item.path) for item in extract.unresolved if item.about in _HIDING}
    said: dict[str, dict[SwitchName, list[tuple[str, str]]]] = {}
    for switch in extract.switches:
        if switch.name in _PARALLEL:
            by_name = said.setdefault(_container(switch.path), {})
            by_name.setdefault(switch.name, []).append((switch.value, switch.path))
    if subject.engine is Engine.VLLM:
        for source in extract.sources:
            if source.role is Role.MODEL:
                by_name = said.setdefault(_container(source.path), {})
                by_name.setdefault(SwitchName.TENSOR_PARALLEL, [(_UNSAID, source.path)])
    splits = {}
    for path, by_name in said.items():
        if path not in hidden and (used := _product(by_name.values())):
            splits[path] = used
    return splits


def _product(said: Iterable[Sequence[tuple[str, str]]]) -> tuple[int, str] | None:
    """Multiply what is said, and give the first place that says it; None if that is not known."""
    product, first = 1, ""
    for switches in said:
        value, path = switches[0]
        # said twice, it is of two servers
        if len(switches) > 1 or not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS):
            return None
        product *= int(value)
        first = first or path
    return product, first


def _container(path: str) -> str:
    """Give the path of the container that a field stands in: `spec.containers[0]`."""
    head, bracket, _ = path.partition("]")
    return head + bracket


def _is_judged(subject: Subject, container: Container, asked: Asked | None, used: int) -> bool:
    """Tell whether one device of those asked for is one to the server, and whether it uses any."""
    if asked:
        return not any(name.startswith(_OF_SEVERAL) for name in asked.counts)
    # vLLM splits over CPUs too, and a claim says nothing of how many devices it brings
    return used > 1 and not subject.spec.get("resourceClaims") and not _is_for_cpus(container)


def _is_for_cpus(container: Container) -> bool:
    names = (entry.get("name") for _, entry in objects(container.raw.get("env")))
    return "cpu" in str(container.raw.get("image")) or any(
        isinstance(name, str) and name.startswith("VLLM_CPU_") for name in names
    )


def _fits(subject: Subject, container: Container, asked: Asked | None, used: int) -> bool:
    have = sum(asked.counts.values()) if asked else 0
    if used == have:
        return True
    is_part = used == int(_UNSAID) or (0 < have < used and used % have == 0)
    return is_part and _spans_pods(subject, container)


def _spans_pods(subject: Subject, container: Container) -> bool:
    if _SPANNING_PATH in subject.path or any(key.startswith(_SPANNING_LABELS) for key in subject.labels):
        return True
    words = [word for field in ("command", "args") for word in _texts(container.raw.get(field))]
    words += [str(entry.get("name")) for _, entry in objects(container.raw.get("env"))]
    return "ray" in words or any(sign in word for word in words for sign in _SPANNING_WORDS)


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
