"""Rules over code that comes with a model or beside it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules import subject, told
from webhook.sources.found import Extract, Role, Switch, SwitchName, Unknown, Unresolvable

AT = "spec.containers[0].args[0]"


def switched(*switches: tuple[SwitchName, str]) -> Any:
    """Give a pod with these switches."""
    return subject(
        {}, extract=Extract((), tuple(Switch(name, value, AT, "server") for name, value in switches))
    )


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("trustRemoteCode", SwitchName.TRUST_REMOTE_CODE),
        ("insecureSerialization", SwitchName.INSECURE_SERIALIZATION),
        ("devMode", SwitchName.DEV_MODE),
        ("shellEntrypoint", SwitchName.SHELL),
        ("unknownOptions", SwitchName.UNKNOWN_OPTION),
    ],
)
def test_switches(rule: str, name: SwitchName) -> None:
    """A switch is told with its value, and only by its own rule."""
    (line,) = told(f"code.{rule}", "deny", switched((name, "--x"), (SwitchName.REDIRECT, "/y")))
    assert line.startswith(f"{AT}: {name} --x -> ")


def test_plugins() -> None:
    """Each plug-in that is not listed is told; a listed one must be named in full."""
    judged = switched(*((SwitchName.PLUGIN, name) for name in ("a.b", "a.b.c", "a", "/x/parser.py")))
    assert told("code.plugins", {"allow": ["a.b", "/x/parser.py"]}, judged) == [
        f"{AT}: plugin a.b.c -> a.b or /x/parser.py",
        f"{AT}: plugin a -> a.b or /x/parser.py",
    ]


def test_a_long_value_leaves_room() -> None:
    """A long text of somebody else's does not push away what is wanted."""
    (line,) = told("code.plugins", {"allow": []}, switched((SwitchName.PLUGIN, "a" * 5000)))
    assert len(line) < 200
    assert line.endswith("… -> none")


@pytest.mark.parametrize(
    ("about", "counts"),
    [
        (None, True),
        (SwitchName.TRUST_REMOTE_CODE, True),
        (SwitchName.PLUGIN, True),
        (Role.MODEL, False),
        (SwitchName.HUB_ENDPOINT, False),
        (SwitchName.TENSOR_PARALLEL, False),
    ],
)
def test_unknown_code(about: Role | SwitchName | None, counts: bool) -> None:  # noqa: FBT001 - a table
    """Whatever may hide a switch of code is told, a script's whole text too."""
    item = Unresolvable(about, Unknown.SCRIPT, "it uses $(", AT, "server")
    judged = subject({}, extract=Extract((), (), (item,)))
    assert bool(told("code.unresolvable", "deny", judged)) is counts
