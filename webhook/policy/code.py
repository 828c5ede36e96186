"""Rules over code that comes with a model or beside it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from webhook.policy.composed import Object
from webhook.policy.extracted import found, known, off, one_of
from webhook.policy.kinds import Allowed, Choice
from webhook.policy.rule import Rule
from webhook.policy.subject import Subject
from webhook.policy.verdict import Finding
from webhook.sources.found import SwitchName

_GROUP: Final = "code"
_ABOUT: Final = frozenset(
    {
        None,  # whatever is hidden may be any of them
        SwitchName.TRUST_REMOTE_CODE,
        SwitchName.PLUGIN,
        SwitchName.DEV_MODE,
        SwitchName.INSECURE_SERIALIZATION,
        SwitchName.SHELL,
        SwitchName.UNKNOWN_OPTION,
    }
)


def _plugins(
    subject: Subject, value: Mapping[str, tuple[str, ...]], _group: Mapping[str, Any]
) -> Iterator[Finding]:
    allowed = value["allow"]
    for switch in subject.extract.switches:
        if switch.name is SwitchName.PLUGIN and switch.value not in allowed:
            yield Finding(switch.path, found(switch), one_of(allowed), switch.container)


RULES: Final = (
    Rule(
        _GROUP,
        "trustRemoteCode",
        Choice(),
        "code from a model's repository runs in the server (`--trust-remote-code` in every spelling)",
        off(SwitchName.TRUST_REMOTE_CODE, "a model that needs no code of its own"),
    ),
    Rule(
        _GROUP,
        "plugins",
        Object({"allow": Allowed(what="import paths, files and plug-in names")}, required=("allow",)),
        "code that the server is told to load: plug-ins, parsers, middleware, workers, connectors",
        _plugins,
    ),
    Rule(
        _GROUP,
        "insecureSerialization",
        Choice(),
        "objects from the network are unpickled (`VLLM_ALLOW_INSECURE_SERIALIZATION`)",
        off(SwitchName.INSECURE_SERIALIZATION, "safe serialization"),
    ),
    Rule(
        _GROUP,
        "devMode",
        Choice(),
        "development endpoints are open (`VLLM_SERVER_DEV_MODE`)",
        off(SwitchName.DEV_MODE, "no development mode"),
    ),
    Rule(
        _GROUP,
        "shellEntrypoint",
        Choice(),
        "a server starts through a shell",
        off(SwitchName.SHELL, "the server's own command"),
    ),
    Rule(
        _GROUP,
        "unknownOptions",
        Choice(),
        "an option that no known version of the server has: a later one may load code by it",
        off(SwitchName.UNKNOWN_OPTION, "options that are known here"),
    ),
    Rule(
        _GROUP,
        "unresolvable",
        Choice(),
        "it cannot be known from the pod which code runs; without it `defaults.onUnresolvable` counts",
        known(_ABOUT),
    ),
)
