"""What is judged: a pod, or the pod that a workload would make, with what is read from it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

from sidecar.broker_contract import DEFAULT_AUDIENCE
from sidecar.contract import CONTAINER_NAME, Engine
from webhook.extract import extract
from webhook.pods import ContainerKind, annotations_of, labels_of, mapping, objects
from webhook.sources.found import Extract

# Of one pod: etcd holds no more than 1.5 MB of it, the kubelet runs far fewer, and none that is honest has as
# many. 1000 are judged in a tenth of a second.
MAX_CONTAINERS: Final = 1000
_LISTS: Final = tuple((kind, kind.value) for kind in ContainerKind)


class Container(NamedTuple):
    """One container, raw, with its JSON path."""

    kind: ContainerKind
    path: str
    name: str
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """A pod under judgement. `path` is where its spec stands: `spec`, or `spec.template.spec`.

    `own_image` is the image the webhook gives registrars; a container that is called like ours but runs
    another image is judged like everyone's. `own_audience` is whom the registrars' tokens are for: a broker,
    not the API server.
    """

    pod: Mapping[str, Any] = field(repr=False)
    engine: Engine | None = None
    path: str = "spec"
    own_image: str = ""
    own_audience: str = DEFAULT_AUDIENCE

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """The pod's spec."""
        return mapping(self.pod.get("spec"))

    @property
    def metadata_path(self) -> str:
        """Where the pod's metadata stands."""
        return self.path.removesuffix("spec") + "metadata"

    @property
    def labels(self) -> Mapping[str, Any]:
        """The pod's labels."""
        return labels_of(self.pod)

    @property
    def annotations(self) -> Mapping[str, Any]:
        """The pod's annotations."""
        return annotations_of(self.pod)

    @cached_property
    def size(self) -> int:
        """How many containers are listed, whatever they are."""
        lists = [self.spec.get(name) for _, name in _LISTS]
        return sum(len(found) for found in lists if isinstance(found, list))

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        """Every container: init, main and ephemeral ones."""
        found = []
        for kind, name in _LISTS:
            if name in self.spec:
                path = f"{self.path}.{name}["
                for index, raw in objects(self.spec[name]):
                    found.append(Container(kind, f"{path}{index}]", str(raw.get("name", "")), raw))
        return tuple(found)

    @cached_property
    def variables(self) -> frozenset[str]:
        """The names of all variables that containers set by `env`, in small letters."""
        return frozenset(
            [
                name.lower()
                for container in self.containers
                if "env" in container.raw
                for _, entry in objects(container.raw["env"])
                if isinstance(name := entry.get("name"), str)
            ]
        )

    @cached_property
    def extract(self) -> Extract:
        """Where the pod's models and code come from."""
        return extract(self.pod, self.engine, self.path)

    def is_registrar(self, container: Container) -> bool:
        """Tell whether a container is the registrar as the webhook injects it."""
        return container.name == CONTAINER_NAME and container.raw.get("image") == self.own_image != ""
