"""From a pod to what is changed in it: the registrar's container, the hook on the server, the grace period.

Pure, and without a copy of the pod. Every part is looked at by itself and only added where it is missing,
so a second call on the result has nothing left to do; the API server makes that second call for every pod
(its ServiceAccount plugin adds a mount to the container that the first call added).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

from sidecar import contract
from sidecar.broker_contract import DEFAULT_AUDIENCE
from sidecar.contract import Settings
from webhook import access, container, mesh, quantity
from webhook.access import Broker
from webhook.container import Installed
from webhook.defaults import NO_DEFAULTS, Defaults
from webhook.detect import Server, detect
from webhook.patch import Op, pointer
from webhook.pods import Opted, annotations_of, mapping, objects, opted
from webhook.readiness import ready_check
from webhook.reasons import Problem, Reason
from webhook.wishes import NOTHING, InjectMode, PreStop, Wishes

_PORTS: Final = range(contract.DEFAULT_PORT, contract.DEFAULT_PORT + 31)
# With hostNetwork all pods of a node share the ports: each pod begins at one of its own. Below the NodePorts
# (30000 on) and Linux' ephemeral ports (32768 on).
_HOST_PORTS: Final = range(20000, 30000)
_GRACE: Final = "terminationGracePeriodSeconds"
# Of the API server's copy of a static pod, which may name neither Secrets nor tokens: Validate in
# plugin/pkg/admission/serviceaccount/admission.go would refuse it once it were injected.
_MIRROR: Final = "kubernetes.io/config.mirror"
_DEFAULT_GRACE: Final = 30  # SetDefaults_PodSpec in pkg/apis/core/v1/defaults.go
_DEFAULTS: Final[Mapping[str, Any]] = {item.name: item.default for item in fields(Settings)}
# Fields of Settings that annotations and defaults may set, and that keep their default otherwise.
_WISHED: Final = frozenset(_DEFAULTS) & frozenset(Wishes._fields) - {"port", "scheme", "host", "path"}
_compact: Final = json.JSONEncoder(separators=(",", ":")).encode

SECRET_IGNORED: Final = Problem(
    Reason.SECRET_IGNORED,
    f"annotation {contract.DOMAIN}/litellm-secret has no effect: registrars here ask a broker with their "
    "pod's own token and get no Secret; remove it",
)

# A container, the list of the pod spec it stands in, and its place there.
_Listed = tuple[str, int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Injection:
    """The cluster-wide choices. Raises ValueError for a request above its limit, which no pod could have.

    `cluster` is empty while its id is not known: no pod gets a registrar then.
    With a `broker` no pod gets a reference to LiteLLM's Secret. `token_audience` is whom the pods' tokens
    for it are for. `mode` is that of pods for any node, `nodes` that of those bound to one, by its name.
    `user` and `group` are the container's ids, None the cluster's choice. `pull_secrets` are added to those
    of each pod.
    """

    cluster: str
    image: str
    litellm_secret: str = contract.DEFAULT_LITELLM_SECRET
    broker: Broker | None = None
    token_audience: str = DEFAULT_AUDIENCE
    mode: InjectMode = InjectMode.NATIVE
    nodes: Mapping[str, InjectMode] = field(default_factory=dict)
    user: int | None = 65534
    group: int | None = 65534
    pull_secrets: tuple[str, ...] = ()
    cpu_request: str = "20m"
    memory_request: str = "64Mi"
    cpu_limit: str = "250m"
    memory_limit: str = "128Mi"
    defaults: Defaults = NO_DEFAULTS

    def __post_init__(self) -> None:
        for name in ("cpu", "memory"):
            request, limit = getattr(self, f"{name}_request"), getattr(self, f"{name}_limit")
            if quantity.parse(request) > quantity.parse(limit):
                raise ValueError(f"{name}_request: found {request}, allowed is up to {name}_limit, {limit}")

    def resources(self, *, guaranteed: bool) -> dict[str, dict[str, str]]:
        """Give the registrar's resources; a Guaranteed pod stays so only if requests are the limits."""
        limits = {"cpu": self.cpu_limit, "memory": self.memory_limit}
        requests = limits if guaranteed else {"cpu": self.cpu_request, "memory": self.memory_request}
        return {"requests": requests, "limits": limits}

    def image_of(self, namespace: str) -> str:
        """Give the image of registrars that are injected in this namespace now."""
        return self.defaults.of(namespace).registrar_image or self.image

    def mode_of(self, spec: Mapping[str, Any]) -> InjectMode:
        """Give the mode of a pod that says nothing of it: if it is bound to a node, that node's."""
        node = spec.get("nodeName")
        return self.nodes.get(node, self.mode) if isinstance(node, str) else self.mode


class Decision(NamedTuple):
    """What is changed, what people are warned of, and the outcome's name: None if nothing was asked for."""

    ops: tuple[Op, ...] = ()
    problems: tuple[Problem, ...] = ()
    reason: Reason | None = None


def inject(pod: Mapping[str, Any], config: Injection, nonce: str, namespace: str = "") -> Decision:
    """Decide what is changed in a pod that is being created in `namespace`.

    `nonce` (letters and digits) is for a pod that has no registrar yet. A pod that asks for one and cannot
    have it is left as it is, and `problems` says why.
    """
    spec = mapping(pod.get("spec"))
    containers = _containers(spec)
    present = _present(containers, "spec")
    # A pod keeps to the defaults with which it got its registrar: they may change between two calls.
    base = NOTHING if isinstance(present, Installed) else config.defaults.of(namespace)
    wanted = opted(pod, defaults=base)
    if wanted is None:
        return Decision()
    if config.broker is not None and wanted.wishes.litellm_secret is not None:
        wanted = wanted._replace(problems=(*wanted.problems, SECRET_IGNORED))
    server = present if isinstance(present, Problem) else _server(pod, wanted, "spec")
    if isinstance(server, Problem):
        reason = Reason.ALREADY_INJECTED if isinstance(present, Installed) else server.reason
        return Decision((), _all(wanted, server), reason)
    if isinstance(present, Installed):
        ops, problems = _around(spec, server, wanted.wishes, present, config)
        ops = (*ops, *_annotate(pod, _unmeshed(pod, present)))
        return Decision(ops, _all(wanted, *problems), Reason.ALREADY_INJECTED)
    mode = wanted.wishes.inject_mode or config.mode_of(spec)
    placed = _place(pod, containers, server, mode, nonce)
    if config.broker is not None and isinstance(placed, Installed):
        placed = _token(spec, placed, config.broker)
    if not config.cluster and isinstance(placed, Installed):
        message = "this cluster's id is not known yet: no row of LiteLLM could carry it"
        placed = Problem(Reason.CLUSTER_UNKNOWN, message)
    if isinstance(placed, Problem):
        return Decision((), _all(wanted, placed), placed.reason)
    settings = _settings(spec, server, wanted.wishes, config.cluster, placed)
    built = container.registrar(
        settings,
        image=wanted.wishes.registrar_image or config.image,
        access=_access(wanted.wishes, config, placed),
        api_key=server.api_key,
        resources=_resources(spec, containers, config),
        ids=(config.user, config.group),
        native=mode is InjectMode.NATIVE,
    )
    around, problems = _around(spec, server, wanted.wishes, placed, config)
    added = _append(spec, "initContainers" if mode is InjectMode.NATIVE else "containers", built)
    note = {contract.ANNOTATION_INJECTED: _note(server, built["image"])}
    ops = (added, *_pull_secrets(spec, config), *around, *_annotate(pod, _unmeshed(pod, placed) | note))
    return Decision(ops, _all(wanted, *problems), Reason.INJECTED)


def obstacles(pod: Mapping[str, Any], wanted: Opted, path: str) -> tuple[Problem, ...]:
    """Say what would keep a pod made from the template whose spec is at `path` from getting its registrar."""
    found = (_present(_containers(mapping(pod.get("spec"))), path), _server(pod, wanted, path))
    return tuple(problem for problem in found if isinstance(problem, Problem))


def _all(wanted: Opted, *more: Problem) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys((*wanted.problems, *more)))


def _containers(spec: Mapping[str, Any]) -> list[_Listed]:
    lists = ("initContainers", "containers")
    return [(kind, index, item) for kind in lists for index, item in objects(spec.get(kind))]


def _present(containers: list[_Listed], path: str) -> Installed | Problem | None:
    """Find a registrar that is there already, in either list: the mode may have changed between two calls."""
    for kind, index, item in containers:
        if item.get("name") == contract.CONTAINER_NAME:
            message = (
                f"the name {contract.CONTAINER_NAME} is taken by a container that is not ours; rename it"
            )
            where = f"{path}.{kind}[{index}]"
            return container.installed(item) or Problem(Reason.FOREIGN_CONTAINER, message, where)
    return None


def _server(pod: Mapping[str, Any], wanted: Opted, path: str) -> Server | Problem:
    spec = mapping(pod.get("spec"))
    if mapping(spec.get("os")).get("name") == "windows":
        return Problem(Reason.WINDOWS_POD, "the registrar runs on Linux only", f"{path}.os.name")
    if _MIRROR in annotations_of(pod):
        message = "a static pod: its kubelet runs it from a file, which no webhook changes"
        return Problem(Reason.STATIC_POD, message, f"metadata.annotations[{_MIRROR}]")
    if wanted.engine is None:
        return wanted.problems[0]  # of its label
    return detect(pod, wanted.engine, wanted.wishes, path)


def _place(
    pod: Mapping[str, Any], containers: list[_Listed], server: Server, mode: InjectMode, nonce: str
) -> Installed | Problem:
    """Choose the port of a new registrar, if there can be one."""
    spec = mapping(pod.get("spec"))
    if mode is InjectMode.CONTAINER and _ends(pod, spec):
        message = (
            "beside an ordinary container a pod that ends never completes; inject-mode native settles it"
        )
        return Problem(Reason.JOB_WOULD_NOT_COMPLETE, message, "spec.restartPolicy")
    taken = {server.port}
    for _, _, item in containers:
        declared = item.get("ports")
        for port in declared if isinstance(declared, list) else ():
            if isinstance(port, dict) and isinstance(number := port.get("containerPort"), int):
                taken.add(number)
    ports, first = _PORTS, 0
    if spec.get("hostNetwork") is True:
        ports = _HOST_PORTS
        first = int.from_bytes(hashlib.sha256(nonce.encode()).digest()[:8]) % len(ports)
    free = (number for number in itertools.chain(ports[first:], ports[:first]) if number not in taken)
    if (chosen := next(free, None)) is not None:
        return Installed(nonce, chosen)
    return Problem(Reason.PORT_TAKEN, f"no port from {ports[0]} to {ports[-1]} is free in this pod", "spec")


def _token(spec: Mapping[str, Any], placed: Installed, broker: Broker) -> Installed | Problem:
    """Choose the volume that a new registrar has its token from."""
    if broker.ca is None:
        message = "the certificates of the broker are not known yet: no registrar could ask it"
        return Problem(Reason.BROKER_CA_UNKNOWN, message)
    return placed._replace(volume=access.free_name(spec))


def _access(wishes: Wishes, config: Injection, placed: Installed) -> access.Access:
    if config.broker is not None:
        return access.by_broker(config.broker, placed.volume)
    return access.by_secret(wishes.litellm_secret or config.litellm_secret)


def _ends(pod: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    owners = objects(mapping(pod.get("metadata")).get("ownerReferences"))
    return spec.get("restartPolicy", "Always") != "Always" or any(o.get("kind") == "Job" for _, o in owners)


def _settings(
    spec: Mapping[str, Any], server: Server, wishes: Wishes, cluster: str, placed: Installed
) -> Settings:
    said: dict[str, Any] = {
        name: value
        for name, value in zip(Wishes._fields, wishes, strict=True)
        if value is not None and name in _WISHED
    }
    if "model_info" in said:
        said["mode"] = said["model_info"].get("mode")
    return Settings(
        cluster=cluster,
        engine=server.engine,
        port=server.port,
        nonce=placed.nonce,
        scheme=server.scheme,
        host=server.host,
        path=server.path,
        server_ready=ready_check(spec["containers"][server.index]),
        grace_period=float(max(_grace(spec), _grace_needed(wishes))),
        listen_port=placed.port,
        **said,
    )


def _resources(
    spec: Mapping[str, Any], containers: list[_Listed], config: Injection
) -> dict[str, dict[str, str]] | None:
    if spec.get("resources") is not None:
        return None  # of the pod as a whole, which the registrar shares
    return config.resources(guaranteed=quantity.guaranteed(item for _, _, item in containers))


def _grace(spec: Mapping[str, Any]) -> int:
    found = spec.get(_GRACE)
    return found if isinstance(found, int) else _DEFAULT_GRACE


def _grace_needed(wishes: Wishes) -> int:
    propagation = _DEFAULTS["propagation"] if wishes.propagation is None else wishes.propagation
    drain_timeout = _DEFAULTS["drain_timeout"] if wishes.drain_timeout is None else wishes.drain_timeout
    return math.ceil(propagation + drain_timeout) + contract.GRACE_MARGIN


def _around(
    spec: Mapping[str, Any], server: Server, wishes: Wishes, installed: Installed, config: Injection
) -> tuple[tuple[Op, ...], tuple[Problem, ...]]:
    """Give what a registrar needs outside its own container."""
    hook = _hook(spec["containers"][server.index], server.index, wishes, installed)
    ops = [hook] if isinstance(hook, Op) else []
    if _grace(spec) < (needed := _grace_needed(wishes)):
        ops.append(Op("replace" if _GRACE in spec else "add", f"/spec/{_GRACE}", needed))
    if config.broker is not None and installed.volume and installed.volume not in access.volumes(spec):
        made = access.token_volume(installed.volume, config.token_audience, config.broker.expiration)
        ops.append(_append(spec, "volumes", made))
    return tuple(ops), (hook,) if isinstance(hook, Problem) else ()


def _pull_secrets(spec: Mapping[str, Any], config: Injection) -> list[Op]:
    """Add what the registrar's image is pulled with, behind what the pod has.

    Those of its ServiceAccount are there by now: the API server's plugin for them runs before webhooks, and
    only for pods with none (`Admit` in plugin/pkg/admission/serviceaccount/admission.go).
    """
    there = [one.get("name") for _, one in objects(spec.get("imagePullSecrets"))]
    missing = [{"name": name} for name in config.pull_secrets if name not in there]
    if isinstance(spec.get("imagePullSecrets"), list):
        return [Op("add", "/spec/imagePullSecrets/-", one) for one in missing]
    return [Op("add", "/spec/imagePullSecrets", missing)] if missing else []


def _hook(server: Mapping[str, Any], index: int, wishes: Wishes, installed: Installed) -> Op | Problem | None:
    """Put our preStop on the server; a user's own stays unless he gave it up."""
    path = f"/spec/containers/{index}/lifecycle"
    lifecycle, wanted = server.get("lifecycle"), container.drain_hook(installed.port, installed.nonce)
    if not isinstance(lifecycle, dict):
        return Op("add", path, {"preStop": wanted})
    found = lifecycle.get("preStop")
    if found == wanted:
        return None
    if not found:
        return Op("add", f"{path}/preStop", wanted)
    if wishes.pre_stop is PreStop.REPLACE or container.is_drain_hook(found):
        return Op("replace", f"{path}/preStop", wanted)
    message = "SIGTERM comes when it ends, drained or not; annotation pre-stop: replace takes ours instead"
    return Problem(Reason.OWN_PRE_STOP_KEPT, message, f"spec.containers[{index}].lifecycle.preStop")


def _append(spec: Mapping[str, Any], kind: str, built: Mapping[str, Any]) -> Op:
    if isinstance(spec.get(kind), list):
        return Op("add", f"/spec/{kind}/-", built)
    return Op("add", f"/spec/{kind}", [built])


def _unmeshed(pod: Mapping[str, Any], installed: Installed) -> dict[str, str]:
    """Give the annotations that keep the registrar's port out of service meshes, where they lack it."""
    return mesh.missing(annotations_of(pod), installed.port)


def _note(server: Server, image: str) -> str:
    """Note for people what was injected; nothing ever reads it."""
    facts = {
        "contract": contract.CONTRACT_VERSION,
        "image": image,
        "engine": server.engine,
        "container": server.name,
        "port": server.port,
    }
    return _compact(facts)


def _annotate(pod: Mapping[str, Any], wanted: Mapping[str, str]) -> list[Op]:
    found = mapping(pod.get("metadata")).get("annotations")
    if not isinstance(found, dict):
        return [Op("add", "/metadata/annotations", dict(wanted))] if wanted else []
    return [
        Op("replace" if key in found else "add", pointer("metadata", "annotations", key), value)
        for key, value in wanted.items()
    ]
