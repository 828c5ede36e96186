"""A kubelet for one container: turns a pod into the process and the calls a real kubelet would make of it.

For tests and the demo, which start a container of a patched pod as a local process. Pure: the caller starts
the process and sends the calls. Semantics after the kubelet's own sources: pkg/kubelet/kubelet_pods.go
(makeEnvironmentVariables), third_party/forked/golang/expansion/expand.go, pkg/probe/http/request.go,
pkg/kubelet/lifecycle/handlers.go. Left out: variables of Services, envFrom, resourceFieldRef, ConfigMaps.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Secrets = Mapping[str, Mapping[str, str]]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_MAP_ENTRY = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class CreateContainerConfigError(ValueError):
    """The container cannot be started as the pod stands; named like the kubelet's own reason."""


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One GET of the kubelet: a probe or a lifecycle hook. `timeout` is in seconds."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 1.0


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable's value; `$$` is one dollar, an unknown name stays as it is."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        return "$" if name is None else variables.get(name, str(match[0]))

    return _REFERENCE.sub(replace, text)


def find_container(pod: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Give the container or init container of that name. Raises KeyError."""
    spec = pod["spec"]
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        if container["name"] == name:
            return dict(container)
    raise KeyError(f"the pod has no container {name!r}")


def container_process(
    pod: Mapping[str, Any], container_name: str, *, pod_ip: str, uid: str, node: str, secrets: Secrets
) -> tuple[list[str], dict[str, str]]:
    """Give the argument vector and the whole environment of one container's process.

    `secrets` holds the Secrets of the pod's namespace, decoded. A first word `python` becomes this very
    interpreter. The environment is only what the pod says: what the image and the runtime would add is not in
    it. Raises KeyError for an unknown container and CreateContainerConfigError for what cannot be resolved.
    """
    container = find_container(pod, container_name)
    env: dict[str, str] = {}
    for entry in container.get("env", ()):
        value = _value(entry, env, _Fields(pod, pod_ip, uid, node), secrets)
        if value is not None:
            env[entry["name"]] = value
    if not container.get("command"):
        raise CreateContainerConfigError(
            f"container {container_name}: no command, and the image's is not known here"
        )
    argv = [expand(word, env) for word in (*container["command"], *container.get("args", ()))]
    if argv[0] == "python":
        argv[0] = sys.executable
    return argv, env


def pre_stop(pod: Mapping[str, Any], container_name: str, pod_ip: str) -> HttpCall | None:
    """Give the call of the container's preStop httpGet hook; None when it has none.

    Its timeout is the pod's whole grace period: the kubelet waits that long for a hook.
    """
    container = find_container(pod, container_name)
    action = container.get("lifecycle", {}).get("preStop", {}).get("httpGet")
    grace = float(pod["spec"].get("terminationGracePeriodSeconds", 30))
    return action and _http_call(container, action, pod_ip, "kube-lifecycle/1.36", grace)


def readiness(pod: Mapping[str, Any], container_name: str, pod_ip: str) -> HttpCall | None:
    """Give the call of the container's httpGet readinessProbe; None when it has none."""
    container = find_container(pod, container_name)
    probe = container.get("readinessProbe", {})
    action = probe.get("httpGet")
    return action and _http_call(
        container, action, pod_ip, "kube-probe/1.36", float(probe.get("timeoutSeconds", 1))
    )


@dataclass(frozen=True, slots=True)
class _Fields:
    """What the downward API can tell of a running pod."""

    pod: Mapping[str, Any]
    pod_ip: str
    uid: str
    node: str

    def value(self, path: str) -> str:
        """Resolve a `fieldPath`. Raises CreateContainerConfigError for one that is not known here."""
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        if found := _MAP_ENTRY.fullmatch(path):
            return str(metadata.get(found[1], {}).get(found[2], ""))
        known = {
            "metadata.name": metadata.get("name"),
            "metadata.namespace": metadata.get("namespace", "default"),
            "metadata.uid": self.uid,
            "spec.nodeName": self.node,
            "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
            "status.podIP": self.pod_ip,
            "status.podIPs": self.pod_ip,
            "status.hostIP": self.pod_ip,
        }
        value: str | None = known.get(path)
        if value is None:
            raise CreateContainerConfigError(f"fieldPath {path!r} is not known here or not set in the pod")
        return value


def _value(entry: Mapping[str, Any], env: Mapping[str, str], fields: _Fields, secrets: Secrets) -> str | None:
    """Resolve one entry of `env`: None for an optional reference to nothing; only literals are expanded."""
    source = entry.get("valueFrom")
    if source is None:
        return expand(entry.get("value", ""), env)
    if "fieldRef" in source:
        return fields.value(source["fieldRef"]["fieldPath"])
    if "secretKeyRef" not in source:
        raise CreateContainerConfigError(f"env {entry['name']}: {', '.join(source)} is not known here")
    reference = source["secretKeyRef"]
    value = secrets.get(reference["name"], {}).get(reference["key"])
    if value is None and not reference.get("optional"):
        raise CreateContainerConfigError(
            f"secret {reference['name']!r} with key {reference['key']!r} not found"
        )
    return value


def _http_call(
    container: Mapping[str, Any], action: Mapping[str, Any], pod_ip: str, agent: str, timeout: float
) -> HttpCall:
    """Build the call of an httpGet action: the pod's own address unless `host` says otherwise."""
    port = action["port"]
    if isinstance(port, str) and not port.isdigit():
        named = {p.get("name"): p["containerPort"] for p in container.get("ports", ())}
        port = named[port]
    host = action.get("host") or pod_ip
    host = f"[{host}]" if ":" in host else host
    path = action.get("path", "/")
    headers = {"User-Agent": agent} | {h["name"]: h["value"] for h in action.get("httpHeaders", ())}
    return HttpCall(
        f"{action.get('scheme', 'HTTP').lower()}://{host}:{port}/{path.lstrip('/')}", headers, timeout
    )
