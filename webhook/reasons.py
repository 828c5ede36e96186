"""Every reason the webhook may give, by one name that feeds the log line and the answer alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

# An admission warning should stay within 256 characters, so what was found takes only some of them.
_MAX_SHOWN: Final = 60


class Reason(StrEnum):
    """Why something was skipped, refused or is worth a warning. The first word of every message."""

    # which pod, which settings
    BAD_LABEL = "bad_label"
    UNKNOWN_ANNOTATION = "unknown_annotation"
    BAD_ANNOTATION = "bad_annotation"

    # which container is the server, and where it listens
    NO_SERVER = "no_server"
    SEVERAL_SERVERS = "several_servers"
    NOT_LEADER = "not_leader"
    COMMAND_UNRESOLVABLE = "command_unresolvable"
    PORT_UNKNOWN = "port_unknown"
    UNIX_SOCKET = "unix_socket"
    LOOPBACK_ONLY = "loopback_only"
    TLS_NEEDS_HOST = "tls_needs_host"

    # adding the registrar
    INJECTED = "injected"
    ALREADY_INJECTED = "already_injected"
    FOREIGN_CONTAINER = "foreign_container"
    WINDOWS_POD = "windows_pod"
    STATIC_POD = "static_pod"
    JOB_WOULD_NOT_COMPLETE = "job_would_not_complete"
    PORT_TAKEN = "port_taken"
    OWN_PRE_STOP_KEPT = "own_pre_stop_kept"
    BROKER_CA_UNKNOWN = "broker_ca_unknown"
    CLUSTER_UNKNOWN = "cluster_unknown"
    KUBELETS_UNKNOWN = "kubelets_unknown"
    SECRET_IGNORED = "secret_ignored"  # noqa: S105 - a reason's name

    # what a label on a workload, or on a running pod, leads to
    CARRIED = "carried"
    PODS_REPLACED = "pods_replaced"
    PODS_INTERRUPTED = "pods_interrupted"
    LABEL_RUNNING_POD = "label_running_pod"

    # what is said of pods that live
    MISSED = "missed"
    REGISTRAR_NOT_STARTED = "registrar_not_started"

    # what the policy does not allow, now or when an exception ends; the rules' ids tell what
    POLICY_VIOLATION = "policy_violation"
    EXCEPTION_ENDS = "exception_ends"

    # the review, and the webhook itself
    UNSUPPORTED_VERSION = "unsupported_version"
    BAD_REVIEW = "bad_review"
    INTERNAL_ERROR = "internal_error"
    NO_CERTIFICATE = "no_certificate"
    NOT_PUBLISHED = "not_published"

    # whether the API server reaches the webhook at all
    SELF_TEST = "self_test"
    NOT_REACHED = "not_reached"


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason with its sentence; `path` is the field it is about, like `spec.containers[0].args`."""

    reason: Reason
    message: str
    path: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.reason, self.path, self.message) if part)


def shown(value: Any) -> str:
    """Write a value that was found into a message: short, whatever it is and however deep."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]!r}..."
    if isinstance(value, dict | list):
        return "a JSON object" if isinstance(value, dict) else "a list"
    return json.dumps(value)
