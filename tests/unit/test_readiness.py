"""The server's own readinessProbe, copied for the registrar."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.contract import ReadyCheck
from webhook.readiness import ready_check

PORTS = [{"name": "metrics", "containerPort": 9090}, {"name": "http", "containerPort": 8000}]


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ({"httpGet": {"port": 8000}}, ReadyCheck(port=8000, path="/")),
        ({"httpGet": {"port": "http", "path": "/health"}}, ReadyCheck(port=8000, path="/health")),
        ({"httpGet": {"port": "8001"}}, ReadyCheck(port=8001, path="/")),
        (
            {"httpGet": {"port": 1, "scheme": "HTTPS", "path": ""}, "timeoutSeconds": 3},
            ReadyCheck(port=1, scheme="https", path="/", timeout=3.0),
        ),
        (
            {"httpGet": {"port": 1, "httpHeaders": [{"name": "Host", "value": "a"}, {"name": "B"}]}},
            ReadyCheck(port=1, path="/", headers=(("Host", "a"), ("B", ""))),
        ),
        ({"tcpSocket": {"port": "http"}}, ReadyCheck(port=8000)),
        ({"tcpSocket": {"port": 22}, "timeoutSeconds": 0}, ReadyCheck(port=22)),
    ],
)
def test_copied(probe: dict[str, Any], expected: ReadyCheck) -> None:
    """An httpGet or tcpSocket probe is copied, with the kubelet's defaults and its reading of named ports."""
    assert ready_check({"ports": PORTS, "readinessProbe": probe}) == expected


@pytest.mark.parametrize(
    "probe",
    [
        None,
        {},
        {"exec": {"command": ["true"]}},
        {"grpc": {"port": 8000}},
        {"httpGet": {"port": 8000, "host": "example.com"}},
        {"tcpSocket": {"port": 8000, "host": "example.com"}},
        {"httpGet": {"port": "no-such-name"}},
        {"httpGet": {"port": 0}},
        {"httpGet": {"port": 65536}},
        {"httpGet": {}},
        {"httpGet": None},
        "probe",
    ],
)
def test_not_copied(probe: Any) -> None:
    """Probes of another host, of another kind, or of a port that cannot be told are left out."""
    assert ready_check({"ports": PORTS, "readinessProbe": probe}) is None


def test_no_probe() -> None:
    """A container without a probe gives none; a livenessProbe is not one."""
    assert ready_check({"livenessProbe": {"httpGet": {"port": 8000}}}) is None
