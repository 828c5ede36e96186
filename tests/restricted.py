"""The restricted Pod Security Standard, checked of one container that must stand by itself.

Written from the standard's own text (kubernetes.io/docs/concepts/security/pod-security-standards, both the
Baseline and the Restricted table), not from what our code builds. "By itself" means that nothing is taken
from the pod's security context: a field that may come from either must be set on the container.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_PROFILES = {"RuntimeDefault", "Localhost"}


def violations(container: Mapping[str, Any]) -> list[str]:
    """Give every control that the container breaks, by the name it has in the standard's tables."""
    return [*_baseline(container), *_restricted(container)]


def _context(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return container.get("securityContext") or {}


def _baseline(container: Mapping[str, Any]) -> Iterator[str]:
    context = _context(container)
    if (context.get("windowsOptions") or {}).get("hostProcess") not in (None, False):
        yield "HostProcess: windowsOptions.hostProcess must be unset or false"
    if context.get("privileged") not in (None, False):
        yield "Privileged Containers: privileged must be unset or false"
    if any(port.get("hostPort") not in (None, 0) for port in container.get("ports") or ()):
        yield "Host Ports: hostPort must be unset or 0"
    if any("host" in handler for handler in _network_handlers(container)):
        yield "Host Probes / Lifecycle Hooks: host must be unset"
    if (context.get("appArmorProfile") or {}).get("type") not in (None, *_PROFILES):
        yield "AppArmor: appArmorProfile.type must be unset, RuntimeDefault or Localhost"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "SELinux: type must be a container type, user and role unset"
    if context.get("procMount") not in (None, "Default"):
        yield "/proc Mount Type: procMount must be unset or Default"


def _network_handlers(container: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    lifecycle = container.get("lifecycle") or {}
    holders = [lifecycle.get("preStop"), lifecycle.get("postStart")]
    holders += [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
    for holder in holders:
        for kind in ("httpGet", "tcpSocket"):
            if holder and holder.get(kind):
                yield holder[kind]


def _restricted(container: Mapping[str, Any]) -> Iterator[str]:
    context = _context(container)
    if context.get("allowPrivilegeEscalation") is not False:
        yield "Privilege Escalation: allowPrivilegeEscalation must be false"
    if context.get("runAsNonRoot") is not True:
        yield "Running as Non-root: runAsNonRoot must be true"
    if context.get("runAsUser") in (None, 0):
        yield "Running as Non-root user: runAsUser must be set to a non-zero value"
    if (context.get("seccompProfile") or {}).get("type") not in _PROFILES:
        yield "Seccomp: seccompProfile.type must be RuntimeDefault or Localhost"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "Capabilities: ALL must be dropped"
    if not set(capabilities.get("add") or ()) <= {"NET_BIND_SERVICE"}:
        yield "Capabilities: only NET_BIND_SERVICE may be added"
