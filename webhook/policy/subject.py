"""What is judged: a pod, or the pod that a workload would make, with what is read from it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from sidecar.contract import CONTAINER_NAME, Engine
from webhook.extract import extract
from webhook.pods import annotations_of, labels_of, mapping, objects
from webhook.sources.found import Extract


class ContainerKind(StrEnum):
    """The three lists of containers a pod has."""

    INIT = "initContainers"
    MAIN = "containers"
    EPHEMERAL = "ephemeralContainers"


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
    another image is judged like everyone's.
    """

    pod: Mapping[str, Any] = field(repr=False)
    engine: Engine | None = None
    path: str = "spec"
    own_image: str = ""

    @property
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
    def containers(self) -> tuple[Container, ...]:
        """Every container: init, main and ephemeral ones."""
        return tuple(
            Container(kind, f"{self.path}.{kind}[{index}]", str(raw.get("name", "")), raw)
            for kind in ContainerKind
            for index, raw in objects(self.spec.get(kind))
        )

    @cached_property
    def extract(self) -> Extract:
        """Where the pod's models and code come from."""
        return extract(self.pod, self.engine, self.path)

    def is_registrar(self, container: Container) -> bool:
        """Tell whether a container is the registrar as the webhook injects it."""
        return container.name == CONTAINER_NAME and container.raw.get("image") == self.own_image != ""
