"""Rules over the probes of the model server. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar.contract import CONTAINER_NAME, Engine
from webhook.annotations import read
from webhook.candidates import Likeness, choose, likeness
from webhook.pods import ContainerKind, mapping
from webhook.policy.kinds import Required
from webhook.policy.rule import Rule
from webhook.policy.subject import Container, Subject
from webhook.policy.verdict import Finding
from webhook.reasons import Problem
from webhook.sources import container as containers

_GROUP: Final = "probes"
_KINDS: Final = ("readiness", "startup", "liveness")
_HANDLERS: Final = ("httpGet", "tcpSocket", "exec", "grpc")
# Of more containers than this all are meant where the server cannot be told; none is read again.
_MAX_READ: Final = 50
_WORKER_INDEX: Final = "leaderworkerset.sigs.k8s.io/worker-index"


def _required(subject: Subject, value: tuple[str, ...], _group: Mapping[str, Any]) -> Iterator[Finding]:
    missing = {
        container.path: lacking
        for container in subject.containers
        if container.kind is ContainerKind.MAIN
        and container.name != CONTAINER_NAME
        and (lacking := [kind for kind in value if not _is_probed(container, kind)])
    }
    # finding the server takes longer than all the rest
    for container in _servers(subject) if missing else ():
        for kind in missing.get(container.path, ()):
            path, wanted = f"{container.path}.{kind}Probe", f"a {kind} probe of the server"
            yield Finding(path, "none", wanted, container.name)


def _is_probed(container: Container, kind: str) -> bool:
    probe = mapping(container.raw.get(f"{kind}Probe"))
    return any(handler in probe for handler in _HANDLERS)


def _servers(subject: Subject) -> Iterator[Container]:
    """Give the container that is the server; all that run one or have its image where it cannot be told.

    A worker of a LeaderWorkerSet serves nobody.
    """
    if subject.labels.get(_WORKER_INDEX, "0") != "0":
        return
    engine = subject.engine or Engine.AUTO
    wishes, _ = read(subject.annotations, f"{subject.metadata_path}.annotations")
    chosen = choose(subject.spec, engine, wishes, subject.path)
    if not isinstance(chosen, Problem):
        yield from (container for container in subject.containers if container.path == chosen.path)
        return
    main = [container for container in subject.containers if container.kind is ContainerKind.MAIN]
    for container in main:
        if len(main) > _MAX_READ or _looks_like(container, engine):
            yield container


def _looks_like(container: Container, engine: Engine) -> bool:
    return likeness(containers.read(0, container.path, container.raw), engine) >= Likeness.IMAGE


RULES: Final = (
    Rule(
        _GROUP,
        "require",
        Required(_KINDS),
        "probes that the server's container must have",
        _required,
    ),
)
