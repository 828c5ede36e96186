"""Rules over what a pod reaches, and the secrets that lie open in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from webhook.pods import objects
from webhook.policy.composed import Object
from webhook.policy.extracted import off, one_of, short
from webhook.policy.kinds import Allowed, Choice, Name
from webhook.policy.rule import Rule
from webhook.policy.subject import Container, Subject
from webhook.policy.verdict import Finding
from webhook.sources.found import SwitchName

_GROUP: Final = "egress"
# What curl, Python's and Go's libraries take from the environment, in either case.
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")
# As a command sets one, in small letters and without the quotes a shell drops; an empty one is none.
_SET: Final = re.compile(r"(?<!no)_proxy=(?=[^\s;&|])")
_QUOTING: Final = str.maketrans("", "", "'\"\\\n")
_QUOTED: Final = re.compile(r"""['"\\\n]""")


def _label(subject: Subject, value: Mapping[str, Any], _group: Mapping[str, Any]) -> Iterator[Finding]:
    key, values = value["key"], value["values"]
    label = subject.labels.get(key)
    if label not in values:
        there = "no label" if label is None else short(str(label))
        yield Finding(f"{subject.metadata_path}.labels[{key}]", there, one_of(values))


def _proxies(subject: Subject, _value: Any, _group: Mapping[str, Any]) -> Iterator[Finding]:
    by_variable = not subject.variables.isdisjoint(_PROXIES)
    for container in subject.containers:
        by_word = _may_set(container.raw)
        if (by_variable or by_word) and not subject.is_registrar(container):
            if by_variable:
                yield from _variables(container)
            yield from _words(container)


def _may_set(raw: Mapping[str, Any]) -> bool:
    """Tell whether the words of a container are worth a second look: most are not."""
    for field in ("command", "args"):
        words = raw.get(field)
        if not words or not isinstance(words, list):
            continue
        text = "\0".join([word for word in words if isinstance(word, str)])
        if "=" in text and ("proxy" in (text := text.lower()) or _QUOTED.search(text)):
            return True
    return False


def _variables(container: Container) -> Iterator[Finding]:
    for index, entry in objects(container.raw.get("env")):
        name = entry.get("name")
        set_here = entry.get("value") or entry.get("valueFrom")
        if set_here and isinstance(name, str) and name.lower() in _PROXIES:
            # The value may hold a password.
            yield Finding(f"{container.path}.env[{index}]", name, "no proxy", container.name)


def _words(container: Container) -> Iterator[Finding]:
    """Find a proxy that a script, or `env` before a program, sets."""
    for field in ("command", "args"):
        words = container.raw.get(field)
        for index, word in enumerate(words if isinstance(words, list) else ()):
            if isinstance(word, str) and "=" in word and _SET.search(word.translate(_QUOTING).lower()):
                path = f"{container.path}.{field}[{index}]"
                yield Finding(path, "a proxy is set", "no proxy", container.name)


RULES: Final = (
    Rule(
        _GROUP,
        "requireLabel",
        Object({"key": Name(), "values": Allowed(what="the label's values")}, required=("key", "values")),
        "the label by which a NetworkPolicy knows the pod",
        _label,
    ),
    Rule(
        _GROUP,
        "proxyEnv",
        Choice(),
        "`HTTP_PROXY`, `HTTPS_PROXY` or `ALL_PROXY`, in either case, in any container",
        _proxies,
    ),
    Rule(
        _GROUP,
        "secretsInArgs",
        Choice(),
        "a key or a token as plain text on the command line or in a variable; it is never shown",
        off(SwitchName.SECRET, "a Secret, by `valueFrom.secretKeyRef`"),
    ),
    Rule(
        _GROUP,
        "mediaPaths",
        Choice(),
        "requests may read files of the server (`--allowed-local-media-path`)",
        off(SwitchName.MEDIA_PATH, "no local media path"),
    ),
)
