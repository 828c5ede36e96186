"""Rules over what a pod may do to its node, part by part as in the Pod Security Standards. Pure.

Source: kubernetes.io/docs/concepts/security/pod-security-standards, Baseline and Restricted; fields that have
no effect on Kubernetes 1.30 and newer (seccomp annotations) are not looked at. The parts that are in neither:
`hostUsers` (user namespaces) and `shareProcessNamespace` (the other containers' environment lies open).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from webhook.pods import listed, mapping, objects
from webhook.policy.extracted import short
from webhook.policy.kinds import Choice, Required
from webhook.policy.rule import Rule
from webhook.policy.subject import Container, Subject
from webhook.policy.verdict import Finding
from webhook.reasons import shown

_GROUP: Final = "podSecurity"
_PROFILES: Final = ("RuntimeDefault", "Localhost")
_SELINUX_TYPES: Final = ("container_t", "container_init_t", "container_kvm_t", "container_engine_t")
# What a container has anyway; more than these is an addition.
_CAPABILITIES: Final = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_BY_DEFAULT: Final = "none beyond a runtime's default"
# The one that Restricted leaves.
_ONLY: Final = "NET_BIND_SERVICE"
# Linux knows 41.
_MAX_CAPABILITIES: Final = 100
_SYSCTLS: Final = frozenset(
    {
        *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"),
        *("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_syncookies"),
        *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"),
        *("net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
    }
)
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
# The volume that the API server's ServiceAccount plugin adds, by its name.
_AUTOMOUNTED: Final = "kube-api-access-"
# Audiences of clouds' token services: the API server takes no token that is for them.
_FOREIGN: Final = frozenset(
    {"sts.amazonaws.com", "sts.amazonaws.com.cn", "pods.eks.amazonaws.com", "api://AzureADTokenExchange"}
)


class _Field(NamedTuple):
    """A field of security contexts that must not be set otherwise; of the pod's too, if `of_pod`."""

    part: str
    keys: tuple[str, ...]
    allowed: tuple[Any, ...]
    of_pod: bool = True

    @property
    def wanted(self) -> str:
        """What may be there."""
        words = [str(value).lower() if isinstance(value, bool) else value for value in self.allowed]
        return " or ".join(filter(None, words)) or "no such field"


_FIELDS: Final = (
    _Field("privileged", ("privileged",), (False,), of_pod=False),
    _Field("procMount", ("procMount",), ("Default",), of_pod=False),
    _Field("unconfinedSeccomp", ("seccompProfile", "type"), _PROFILES),
    _Field("unconfinedAppArmor", ("appArmorProfile", "type"), _PROFILES),
    _Field("seLinuxOptions", ("seLinuxOptions", "type"), ("", *_SELINUX_TYPES)),
    _Field("seLinuxOptions", ("seLinuxOptions", "user"), ("",)),
    _Field("seLinuxOptions", ("seLinuxOptions", "role"), ("",)),
    _Field("hostProcess", ("windowsOptions", "hostProcess"), (False,)),
)
_HOST_FLAGS: Final = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBING: Final = frozenset({*_PROBES, "lifecycle"})

# A container, its security context, the pod's spec -> the field below the container, found, wanted
_Found = Iterable[tuple[str, str, str]]
_Check = Callable[[Container, Mapping[str, Any], Mapping[str, Any]], _Found]


def _privilege_escalation(
    _container: Container, context: Mapping[str, Any], _spec: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    field = "allowPrivilegeEscalation"
    if context.get(field) is not False:
        yield f"securityContext.{field}", _seen(context.get(field)), "false"


def _root(
    _container: Container, context: Mapping[str, Any], spec: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    own = context.get("runAsNonRoot")
    # where the pod says false, that is the finding
    if own not in (None, True) or (
        own is None and mapping(spec.get("securityContext")).get("runAsNonRoot") is None
    ):
        yield "securityContext.runAsNonRoot", _seen(own), "true, here or for the pod"
    if context.get("runAsUser") == 0:
        yield "securityContext.runAsUser", "0", "another user"


def _no_seccomp(
    _container: Container, context: Mapping[str, Any], spec: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    profile = context.get("seccompProfile")
    if profile is None:
        profile = mapping(spec.get("securityContext")).get("seccompProfile")
    kind = mapping(profile).get("type")
    if kind not in _PROFILES:
        yield "securityContext.seccompProfile.type", _seen(kind), " or ".join(_PROFILES)


def _kept_capabilities(
    _container: Container, context: Mapping[str, Any], _spec: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    capabilities = mapping(context.get("capabilities"))
    if "ALL" not in listed(capabilities.get("drop")):
        yield "securityContext.capabilities.drop", "not ALL", "ALL"
    kept = [name for name in listed(capabilities.get("add")) if name != _ONLY]
    if kept:
        yield "securityContext.capabilities.add", _seen(kept[0]), f"at most {_ONLY}"


def _added_capabilities(
    _container: Container, context: Mapping[str, Any], _spec: Mapping[str, Any]
) -> _Found:
    capabilities = context.get("capabilities")
    added = listed(capabilities.get("add")) if isinstance(capabilities, dict) else ()
    if len(added) > _MAX_CAPABILITIES:
        return [("securityContext.capabilities.add", f"{len(added)} of them", _BY_DEFAULT)]
    return (
        [
            (f"securityContext.capabilities.add[{index}]", _seen(name), _BY_DEFAULT)
            for index, name in enumerate(added)
            if not isinstance(name, str) or name not in _CAPABILITIES
        ]
        if added
        else ()
    )


def _host_ports(container: Container, _context: Mapping[str, Any], spec: Mapping[str, Any]) -> _Found:
    ports = container.raw.get("ports")
    if not ports or not isinstance(ports, list):
        return ()
    found = []
    for index, port in enumerate(ports):
        if not isinstance(port, dict) or (number := port.get("hostPort")) in (None, 0):
            continue
        # In the host's network the API server gives every port of a pod, and none of a template, its own
        # number (SetDefaults_PodSpec in pkg/apis/core/v1/defaults.go): the part hostNetwork speaks of those.
        if spec.get("hostNetwork") is not True or number != port.get("containerPort"):
            found.append((f"ports[{index}].hostPort", _seen(number), "none"))
    return found


def _host_probes(container: Container, _context: Mapping[str, Any], _spec: Mapping[str, Any]) -> _Found:
    raw = container.raw
    if _PROBING.isdisjoint(raw):
        return ()
    holders = [(field, raw[field]) for field in _PROBES if field in raw]
    if "lifecycle" in raw:
        hooks = mapping(raw["lifecycle"])
        holders += [(f"lifecycle.{hook}", hooks.get(hook)) for hook in ("postStart", "preStop")]
    return [
        (f"{field}.{kind}.host", _seen(host), "none: the pod itself is asked")
        for field, holder in holders
        for kind in ("httpGet", "tcpSocket")
        if (host := mapping(mapping(holder).get(kind)).get("host"))
    ]


# The parts that are about each container by itself, beside `_FIELDS`.
_OF_CONTAINER: Final[Mapping[str, _Check]] = {
    "addCapabilities": _added_capabilities,
    "hostPorts": _host_ports,
    "hostProbes": _host_probes,
    "privilegeEscalation": _privilege_escalation,
    "runAsRoot": _root,
    "noSeccomp": _no_seccomp,
    "keepCapabilities": _kept_capabilities,
}


def _hostpaths(subject: Subject) -> Iterator[Finding]:
    for index, volume in objects(subject.spec.get("volumes")):
        if volume.get("hostPath") is not None:
            path = f"{subject.path}.volumes[{index}].hostPath"
            yield Finding(path, _seen(mapping(volume["hostPath"]).get("path")), "another kind of volume")


def _host_users(subject: Subject) -> Iterator[Finding]:
    if subject.spec.get("hostUsers") is not False:
        yield Finding(f"{subject.path}.hostUsers", _seen(subject.spec.get("hostUsers")), "false")


def _pods_root(subject: Subject) -> Iterator[Finding]:
    context, path = mapping(subject.spec.get("securityContext")), f"{subject.path}.securityContext"
    if context.get("runAsNonRoot") not in (None, True):
        yield Finding(f"{path}.runAsNonRoot", _seen(context["runAsNonRoot"]), "true")
    if context.get("runAsUser") == 0:
        yield Finding(f"{path}.runAsUser", "0", "another user")


def _sysctls(subject: Subject) -> Iterator[Finding]:
    for index, item in objects(mapping(subject.spec.get("securityContext")).get("sysctls")):
        name = item.get("name")
        if not isinstance(name, str) or name not in _SYSCTLS:
            path = f"{subject.path}.securityContext.sysctls[{index}].name"
            yield Finding(path, _seen(name), "only those the kubelet calls safe")


def _apparmor_annotations(subject: Subject) -> Iterator[Finding]:
    for key, value in subject.annotations.items():
        if key.startswith(_APPARMOR) and not _is_apparmor_profile(value):
            yield Finding(f"{subject.metadata_path}.annotations[{key}]", _seen(value), "runtime/default")


def _is_apparmor_profile(value: Any) -> bool:
    return isinstance(value, str) and (value in {"", "runtime/default"} or value.startswith("localhost/"))


# The parts that are about the pod as a whole.
_OF_POD: Final[Mapping[str, Callable[[Subject], Iterable[Finding]]]] = {
    "hostPath": _hostpaths,
    "hostUsers": _host_users,
    "runAsRoot": _pods_root,
    "unsafeSysctls": _sysctls,
    "unconfinedAppArmor": _apparmor_annotations,
}
PARTS: Final = tuple(
    dict.fromkeys([*_HOST_FLAGS, *_OF_POD, *(field.part for field in _FIELDS), *_OF_CONTAINER])
)


class _Plan(NamedTuple):
    """What is looked at for some of the parts."""

    flags: tuple[str, ...]
    of_pod: tuple[tuple[str, Callable[[Subject], Iterable[Finding]]], ...]
    pods_fields: tuple[_Field, ...]
    fields: tuple[_Field, ...]
    # of security contexts: without one of these none of the fields is there
    keys: frozenset[str]
    of_container: tuple[tuple[str, _Check], ...]


@functools.lru_cache(maxsize=64)  # one for each list that a policy has
def _plan(parts: tuple[str, ...]) -> _Plan:
    fields = tuple(field for field in _FIELDS if field.part in parts)
    return _Plan(
        tuple(flag for flag in _HOST_FLAGS if flag in parts),
        tuple(item for item in _OF_POD.items() if item[0] in parts),
        tuple(field for field in fields if field.of_pod),
        fields,
        frozenset(field.keys[0] for field in fields),
        tuple(item for item in _OF_CONTAINER.items() if item[0] in parts),
    )


def _denied(subject: Subject, value: tuple[str, ...], _group: Mapping[str, Any]) -> Iterator[Finding]:
    plan, spec = _plan(value), subject.spec
    for flag in plan.flags:
        if spec.get(flag) not in (None, False):
            yield Finding(f"{subject.path}.{flag}", _seen(spec[flag]), "false", part=flag)
    for part, check_pod in plan.of_pod:
        for finding in check_pod(subject):
            yield finding._replace(part=part)
    if "securityContext" in spec:
        yield from _fields(mapping(spec["securityContext"]), subject.path, "", plan.pods_fields)
    for container in subject.containers:
        context = mapping(container.raw.get("securityContext"))
        if not plan.keys.isdisjoint(context):
            yield from _fields(context, container.path, container.name, plan.fields)
        for part, check in plan.of_container:
            for field, seen, wanted in check(container, context, spec):
                yield Finding(f"{container.path}.{field}", seen, wanted, container.name, part)


def _fields(
    context: Mapping[str, Any], path: str, name: str, fields: tuple[_Field, ...]
) -> Iterator[Finding]:
    for field in fields:
        value = context.get(field.keys[0])
        for key in field.keys[1:] if value is not None else ():
            value = mapping(value).get(key)
        if value is not None and value not in field.allowed:
            where = f"{path}.securityContext.{'.'.join(field.keys)}"
            yield Finding(where, _seen(value), field.wanted, name, field.part)


def _tokens(subject: Subject, _value: Any, _group: Mapping[str, Any]) -> Iterator[Finding]:
    automounted = subject.spec.get("automountServiceAccountToken")
    if automounted is not False:
        yield Finding(f"{subject.path}.automountServiceAccountToken", _seen(automounted), "false")
    for index, volume in objects(subject.spec.get("volumes")):
        # this one goes with the field
        if automounted is not False and str(volume.get("name")).startswith(_AUTOMOUNTED):
            continue
        for number, source in objects(mapping(volume.get("projected")).get("sources")):
            token = source.get("serviceAccountToken")
            if token is not None and not _is_foreign(mapping(token).get("audience"), subject.own_audience):
                path = f"{subject.path}.volumes[{index}].projected.sources[{number}].serviceAccountToken"
                yield Finding(path, "a token for the Kubernetes API", "no token, or one for another audience")


def _is_foreign(audience: Any, own: str) -> bool:
    return isinstance(audience, str) and (audience in _FOREIGN or audience == own)


def _seen(value: Any) -> str:
    return "nothing" if value is None else short(shown(value))


RULES: Final = (
    Rule(
        _GROUP,
        "deny",
        Required(PARTS),
        "what no pod may have, each part a rule of its own. Of the Pod Security Standard Restricted are "
        "`privilegeEscalation`, `runAsRoot`, `noSeccomp` and `keepCapabilities`, of none "
        "`shareProcessNamespace` and `hostUsers` (a pod without user namespaces), of Baseline all others",
        _denied,
        parts=PARTS,
    ),
    Rule(
        _GROUP,
        "serviceAccountToken",
        Choice(),
        "a token for the Kubernetes API: mounted unless `automountServiceAccountToken` is false, or by hand; "
        "the registrar's token for the broker is none",
        _tokens,
    ),
)
