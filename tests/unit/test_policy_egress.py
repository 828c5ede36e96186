"""Rules over what a pod reaches, and the secrets that lie open in it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules import OWN_IMAGE, subject, told
from webhook.sources.found import Extract, Switch, SwitchName

AT = "spec.containers[0].args[0]"
LABEL = {"key": "example.com/egress", "values": ["models-only", "none"]}


def of(*env: dict[str, Any], **more: Any) -> Any:
    """Give a pod of one container with these variables."""
    container = {"name": "server", "image": "x", "env": list(env), **more}
    return subject({"spec": {"containers": [container]}}, extract=Extract())


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"example.com/egress": "none"}, None),
        ({}, "no label"),
        ({"example.com/egress": "all"}, "all"),
        ({"example.com/egress": "Models-Only"}, "Models-Only"),
        ({"egress": "none"}, "no label"),
    ],
)
def test_label(labels: dict[str, str], found: str | None) -> None:
    """The pod has the label with one of the values."""
    judged = subject({"metadata": {"labels": labels}}, extract=Extract())
    line = f"metadata.labels[example.com/egress]: {found} -> models-only or none"
    assert told("egress.requireLabel", LABEL, judged) == ([line] if found else [])


def test_label_of_a_workload() -> None:
    """In a workload the label belongs on the template."""
    judged = subject({}, path="spec.template.spec", extract=Extract())
    (line,) = told("egress.requireLabel", LABEL, judged)
    assert line.startswith("spec.template.metadata.labels[")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "All_Proxy"])
def test_proxy(name: str) -> None:
    """A proxy is told without its value, which may hold a password."""
    judged = of({"name": "A", "value": "b"}, {"name": name, "value": "http://u:hidden@proxy"})
    assert told("egress.proxyEnv", "deny", judged) == [f"spec.containers[0].env[1]: {name} -> no proxy"]


@pytest.mark.parametrize(
    "env",
    [
        {"name": "NO_PROXY", "value": "*"},
        {"name": "HTTPS_PROXY", "value": ""},
        {"name": "HTTPS_PROXY"},
        {"name": "MY_HTTPS_PROXY", "value": "x"},
        {"name": 7, "value": "x"},
    ],
)
def test_no_proxy(env: dict[str, Any]) -> None:
    """An empty variable is no proxy."""
    assert told("egress.proxyEnv", "deny", of(env)) == []


def test_proxy_of_a_secret() -> None:
    """A proxy that comes from elsewhere is one."""
    env = {"name": "HTTPS_PROXY", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    assert len(told("egress.proxyEnv", "deny", of(env))) == 1


@pytest.mark.parametrize(
    "words",
    [
        {"command": ["env", "HTTPS_PROXY=http://x", "vllm"]},
        {"args": ["export https_proxy=http://x; vllm"]},
        {"args": ["export HTTPS_PRO''XY=http://x; vllm"]},
        {"args": ['export "https_pro\\\nxy=http://x"; vllm']},
        {"args": ["S=HTTPS; export ${S}_PROXY=http://x; vllm"]},
    ],
)
def test_proxy_on_a_command_line(words: dict[str, Any]) -> None:
    """A proxy that only a command sets is one, however the shell spells it."""
    (line,) = told("egress.proxyEnv", "deny", of(**words))
    assert line.endswith("a proxy is set -> no proxy")


@pytest.mark.parametrize("script", ["unset https_proxy; x", "https_proxy= x", "NO_PROXY=* x", "x --proxy=y"])
def test_no_proxy_on_a_command_line(script: str) -> None:
    """A proxy that is taken away, or for nothing, is none."""
    assert told("egress.proxyEnv", "deny", of(args=[script])) == []


def test_proxy_of_the_registrar() -> None:
    """The registrar itself may go through a proxy; what only has its name may not."""
    env = [{"name": "HTTPS_PROXY", "value": "x"}]
    assert told("egress.proxyEnv", "deny", of(*env, name="registrar", image=OWN_IMAGE)) == []
    assert len(told("egress.proxyEnv", "deny", of(*env, name="registrar"))) == 1


@pytest.mark.parametrize(
    ("rule", "name", "value"),
    [
        ("secretsInArgs", SwitchName.SECRET, "--api-key"),
        ("mediaPaths", SwitchName.MEDIA_PATH, "/"),
    ],
)
def test_switches(rule: str, name: SwitchName, value: str) -> None:
    """A switch is told with its value, and only by its own rule."""
    switches = (Switch(name, value, AT, "server"), Switch(SwitchName.DEV_MODE, "", AT, "server"))
    (line,) = told(f"egress.{rule}", "deny", subject({}, extract=Extract((), switches)))
    assert line.startswith(f"{AT}: {name} {value} -> ")
