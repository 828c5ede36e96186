"""What is to be said of pods that live: which were missed, whose registrar has not started. Pure."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from sidecar.contract import CONTAINER_NAME, CONTRACT_VERSION, ENV_CONTRACT
from webhook.container import registrar_of
from webhook.inject import Decision
from webhook.living.figures import Kind, PodFigures
from webhook.pods import ENDED, mapping, objects
from webhook.reasons import Problem, Reason

# Seconds that a registrar may be in trouble before that is said: a pull that fails is tried again within a
# minute (the kubelet waits 10 s first, then 20 s: pkg/kubelet/kubelet.go, `imageBackOffPeriod`).
PATIENCE: Final = 60.0
# What the kubelet says of a container that is on its way (pkg/kubelet/kubelet_pods.go); any other word is a
# trouble. Before its turn a native sidecar waits for the init containers: that may take an hour.
_ON_ITS_WAY: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
# Its word for one that ends again and again. Between two ends it runs, and is ready if that lasts.
_CRASHES: Final = "CrashLoopBackOff"
# What would be decided of a pod that was missed: as it is made anew it gets a registrar, at once or later.
_MISSED: Final = frozenset({Reason.INJECTED, Reason.BROKER_CA_UNKNOWN, Reason.CLUSTER_UNKNOWN})
_MISSED_MESSAGE: Final = (
    "this pod asks for a registrar and has none: it was made before the webhook was there, or while it was "
    "away. A new one gets it: kubectl rollout restart of its workload, or delete the pod"
)
# Versions of the contract that there have been; what a pod says beside them is not repeated.
CONTRACTS: Final = tuple(str(number) for number in range(1, CONTRACT_VERSION + 1))
OTHER_CONTRACT: Final = "other"
_NOT_STARTED: Final = "the registrar does not run, so its models are not registered"


class Trouble(NamedTuple):
    """Why a registrar does not run, in the kubelet's words."""

    word: str
    message: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class Registrar(NamedTuple):
    """What a pod's registrar was made as: the version of the contract (one of ours, or other), the image."""

    contract: str
    image: str


class LivingPod(NamedTuple):
    """What is kept of a pod that lives: its registrar, or, `without` one, why it has none."""

    namespace: str
    name: str
    uid: str
    registrar: Registrar | None = None
    without: Problem | None = None
    trouble: Trouble | None = None

    @property
    def about(self) -> dict[str, str]:
        """The pod as Events refer to it: an ObjectReference of core/v1."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }


class Said(NamedTuple):
    """What an Event says of an object."""

    about: Mapping[str, str]
    problem: Problem


def living(pod: Mapping[str, Any], decide: Callable[[Mapping[str, Any], str], Decision]) -> LivingPod | None:
    """Read a pod with a label of ours; None if it has ended, is being deleted, or asks for nothing.

    `decide` is the injector's decision on a pod in a namespace, as if it were made now.
    """
    metadata, status = mapping(pod.get("metadata")), mapping(pod.get("status"))
    if metadata.get("deletionTimestamp") or status.get("phase") in ENDED:
        return None
    namespace, name, uid = (str(metadata.get(part) or "") for part in ("namespace", "name", "uid"))
    found = LivingPod(namespace, name, uid)
    if (container := registrar_of(pod)) is not None:
        return found._replace(registrar=_registrar(container), trouble=trouble_of(status))
    decision = decide(pod, found.namespace)
    if decision.reason is None:
        return None
    return found._replace(without=_without(decision, decision.reason))


def _registrar(container: Mapping[str, Any]) -> Registrar:
    said = {str(entry.get("name")): entry.get("value") for _, entry in objects(container.get("env"))}
    contract = said.get(ENV_CONTRACT)
    image = str(container.get("image") or "")
    return Registrar(contract if contract in CONTRACTS else OTHER_CONTRACT, image)


def _without(decision: Decision, reason: Reason) -> Problem:
    if reason in _MISSED:
        return Problem(Reason.MISSED, _MISSED_MESSAGE)
    own = (problem for problem in decision.problems if problem.reason is reason)
    return next(own, Problem(reason, "it cannot have a registrar"))


def trouble_of(status: Mapping[str, Any]) -> Trouble | None:
    """Read the status of the registrar's container (core/v1 ContainerStatus)."""
    statuses = (
        item
        for kind in ("initContainerStatuses", "containerStatuses")
        for _, item in objects(status.get(kind))
        if item.get("name") == CONTAINER_NAME
    )
    found = next(statuses, {})
    state = mapping(found.get("state"))
    ended = mapping(state.get("terminated"))
    if state.get("running") and found.get("ready") is not True:
        ended = mapping(mapping(found.get("lastState")).get("terminated"))
    if ended:
        return Trouble(_CRASHES, f"it ended with {ended.get('exitCode')}, {ended.get('reason')}")
    waiting = mapping(state.get("waiting"))
    word = str(waiting.get("reason") or "")
    return None if word in _ON_ITS_WAY else Trouble(word, str(waiting.get("message") or ""))


class Living:
    """What is said of all of them: each thing once, for as long as it is so.

    `image` gives the image that a registrar gets which is injected now, by namespace.
    """

    def __init__(self, image: Callable[[str], str]) -> None:
        self._image = image
        self._since: dict[str, float] = {}
        self._said: set[tuple[str, Reason]] = set()

    def look(self, pods: Iterable[LivingPod], now: float, most: int) -> tuple[PodFigures, list[Said]]:
        """Count the pods that live at `now` (seconds), and give at `most` so many things to say.

        What there was no room for is given by the next look.
        """
        pods = list(pods)
        troubled = {pod.uid: self._since.get(pod.uid, now) for pod in pods if pod.trouble}
        self._since = troubled
        found = [(pod, problem) for pod in pods if (problem := self._problem(pod, now))]
        counted = Counter(problem.reason for _, problem in found)
        not_started = counted.pop(Reason.REGISTRAR_NOT_STARTED, 0)
        kinds = Counter(
            Kind(pod.registrar.contract, pod.registrar.image == self._image(pod.namespace))
            for pod in pods
            if pod.registrar
        )
        figures = PodFigures(kinds, not_started, counted)
        so = {(pod.uid, problem.reason): Said(pod.about, problem) for pod, problem in found}
        self._said &= so.keys()
        new = list(itertools.islice((key for key in so if key not in self._said), most))
        self._said.update(new)
        return figures, [so[key] for key in new]

    def _problem(self, pod: LivingPod, now: float) -> Problem | None:
        if pod.trouble and now - self._since[pod.uid] >= PATIENCE:
            return Problem(Reason.REGISTRAR_NOT_STARTED, f"{_NOT_STARTED}: {pod.trouble}")
        return pod.without
