"""The registrar's container as it stands in a pod: built here, and recognised here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, NamedTuple

from sidecar import contract
from sidecar.contract import Settings
from webhook.access import Access, literal, mounted
from webhook.pods import ContainerKind, mapping, objects

_ENV: Final = {field.name: field.metadata["env"] for field in fields(Settings)}
_ENV_NONCE: Final = _ENV["nonce"]
_ENV_LISTEN_PORT: Final = _ENV["listen_port"]

# The restricted Pod Security Standard in full, so that the container passes whatever the pod's own
# security context says.
_SECURITY: Final[Mapping[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
# The same in every pod. `NVIDIA_VISIBLE_DEVICES=void`: where the container runtime hands out GPUs by this
# variable, an image that sets it to `all` would see every GPU of the node without asking for one.
_FIXED_ENV: Final[tuple[Mapping[str, Any], ...]] = (
    {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"},
    *(
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in contract.DOWNWARD_FIELDS.items()
    ),
)
# Readiness is a latch in the registrar (true from the first registration on), so a failing probe means a
# registrar that is starved or restarting: a minute of that does not take a healthy server out of its Service.
_READINESS: Final[Mapping[str, int]] = {"periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 30}


class Installed(NamedTuple):
    """A registrar that a pod has; `volume` is the one its token comes from, empty if it has none."""

    nonce: str
    port: int
    volume: str = ""


def drain_hook(port: int, nonce: str) -> dict[str, Any]:
    """Give the preStop handler that asks the registrar to drain; the kubelet sends it to the pod's IP."""
    return {
        "httpGet": {
            "path": contract.DRAIN_PATH,
            "port": port,
            "scheme": "HTTP",
            "httpHeaders": [{"name": contract.NONCE_HEADER, "value": nonce}],
        }
    }


def is_drain_hook(handler: object) -> bool:
    """Tell whether a preStop handler is one of ours, be it an old one with another nonce or port."""
    action = mapping(mapping(handler).get("httpGet"))
    headers = objects(action.get("httpHeaders"))
    marked = any(header.get("name") == contract.NONCE_HEADER for _, header in headers)
    return action.get("path") == contract.DRAIN_PATH and marked


def registrar(
    settings: Settings,
    *,
    image: str,
    access: Access,
    api_key: Mapping[str, Any] | None,
    resources: Mapping[str, Any] | None,
    ids: tuple[int | None, int | None],
    native: bool,
) -> dict[str, Any]:
    """Build the container.

    `access` is how it reaches LiteLLM. `ids` are those of user and group, None the cluster's choice.
    `api_key` is the body of the environment variable that holds the server's own key: `value`, as the server
    itself gets it, or `valueFrom`. `native` makes it a sidecar for the list of init containers. Parts that
    never change are shared: do not write into them.
    """
    container: dict[str, Any] = {
        "name": contract.CONTAINER_NAME,
        "image": image,
        "command": list(contract.COMMAND),
        "env": _environment(settings, access, api_key),
        "ports": [{"name": contract.CONTAINER_NAME, "containerPort": settings.listen_port}],
        "readinessProbe": {
            "httpGet": {"path": contract.READY_PATH, "port": settings.listen_port, "scheme": "HTTP"},
            **_READINESS,
        },
        "lifecycle": {"preStop": drain_hook(settings.listen_port, settings.nonce)},
        "securityContext": _security(*ids),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if access.mounts:
        container["volumeMounts"] = list(access.mounts)
    if resources is not None:
        container["resources"] = resources
    if native:
        container["restartPolicy"] = "Always"
    return container


def _security(user: int | None, group: int | None) -> Mapping[str, Any]:
    """Give the security context. A group comes with a user only: some runtimes fail without.

    (`run_as_group` in k8s.io/cri-api, runtime/v1/api.proto: "the runtime MUST error out".)
    """
    if user is None:
        return _SECURITY
    ids = {"runAsUser": user} if group is None else {"runAsUser": user, "runAsGroup": group}
    return dict(sorted({**_SECURITY, **ids}.items()))


def _environment(
    settings: Settings, access: Access, api_key: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:
    env: list[Mapping[str, Any]] = [
        {"name": name, "value": literal(value) if "$" in value else value}
        for name, value in settings.to_env().items()
    ]
    env += _FIXED_ENV
    env += access.env
    if api_key is not None:
        env.append({"name": contract.ENV_SERVER_API_KEY, **_copied(api_key)})
    return env


def _copied(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make a reference optional: a missing one is a state the registrar says, not a pod that hangs."""
    source = body.get("valueFrom")
    if not isinstance(source, Mapping):
        return {"value": literal(str(body.get("value", "")))}
    kinds = ("secretKeyRef", "configMapKeyRef", "fileKeyRef")
    return {
        "valueFrom": {
            key: {**ref, "optional": True} if key in kinds and isinstance(ref, Mapping) else ref
            for key, ref in source.items()
        }
    }


def registrar_of(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Find a pod's registrar, by whatever name its image goes; None: it has none that is ours.

    Native sidecars stand among the init containers.
    """
    spec = mapping(pod.get("spec"))
    for kind in (ContainerKind.INIT, ContainerKind.MAIN):
        for _, container in objects(spec.get(kind)):
            if container.get("name") == contract.CONTAINER_NAME and installed(container) is not None:
                return container
    return None


def installed(container: Mapping[str, Any]) -> Installed | None:
    """Read a container called `registrar`: what ours was given, or None for one that is not ours."""
    values = {str(entry.get("name")): entry.get("value") for _, entry in objects(container.get("env"))}
    nonce, port = values.get(_ENV_NONCE), values.get(_ENV_LISTEN_PORT)
    if contract.ENV_CONTRACT not in values or not isinstance(nonce, str) or not nonce:
        return None
    if isinstance(port, str) and port.isascii() and port.isdigit():
        return Installed(nonce, int(port), mounted(container))
    return Installed(nonce, contract.DEFAULT_PORT, mounted(container))
