"""Where the registrars of living pods are, and which pods have not been routable for too long. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from sidecar.broker_contract import State
from webhook.container import installed, registrar_of
from webhook.pods import mapping
from webhook.registered import registered

# Of a registrar that has told nothing, or nothing that is known here.
SILENT: Final = "silent"
STATES: Final = (*(state.value for state in State), SILENT)
# Seconds until a pod that is not routable counts as one that has not been for too long.
TOO_LONG: Final = 300.0


class Told(NamedTuple):
    """What a pod's registrar has told of it last, by the condition that the broker has written.

    `state` is one of `STATES`. `since` is when the pod began to be routable, or not to be; of one whose
    registrar has told nothing, when it was made. It is as Kubernetes writes it: in UTC, to the second, so
    that texts compare as times do (k8s.io/apimachinery/pkg/apis/meta/v1/time.go, MarshalJSON).
    """

    state: str
    routable: bool
    since: str


class TellingPod(Protocol):
    """What is needed of a pod; `told` is None if its registrar tells the broker nothing."""

    @property
    def uid(self) -> str:
        """Its uid."""

    @property
    def deleting(self) -> bool:
        """Whether it has a deletionTimestamp."""

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""

    @property
    def told(self) -> Told | None:
        """What its registrar has told."""


@dataclass(frozen=True, slots=True)
class RegistrarFigures:
    """How many registrars are in each state, and of which pods nothing has been routable for too long."""

    states: Mapping[str, int]
    not_routable: Mapping[str, int]


def told(pod: Mapping[str, Any]) -> Told | None:
    """Read a pod; None: it has no registrar, or one that reaches LiteLLM itself and tells nobody."""
    container = registrar_of(pod)
    if container is None or (found := installed(container)) is None or not found.volume:
        return None
    made = mapping(pod.get("metadata")).get("creationTimestamp")
    since = made if isinstance(made, str) else ""
    said = registered(pod)
    if said is None:
        return Told(SILENT, routable=False, since=since)
    return Told(said.state.value if said.state else SILENT, said.routable, said.since or since)


def count(pods: Iterable[TellingPod], served: Container[str], before: str) -> RegistrarFigures:
    """Count those that live. A pod that is being deleted is not to be routable any more.

    `served` are uids of pods that have a row to which LiteLLM sends requests: a registrar that is older than
    such reports never told. What has not been routable since `before`, or longer, has not been for too long.
    """
    states: Counter[str] = Counter()
    not_routable: Counter[str] = Counter()
    for pod in pods:
        if pod.ended or (said := pod.told) is None:
            continue
        states[said.state] += 1
        silently = said.state == SILENT and pod.uid in served
        if not (pod.deleting or said.routable or silently) and said.since <= before:
            not_routable[said.state] += 1
    return RegistrarFigures(states, not_routable)
