"""Texts of which a part is known only inside the running container.

Such a part stands as a mark between two NUL characters, which no real argument can hold: it names the
variable it comes from, as far as it is one. A mark that the shell would split into any number of words
(an unquoted variable) begins with an asterisk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NUL: Final = "\0"
_LOOSE: Final = "\0*"
_MARK: Final = re.compile(r"\0\*?([^\0]*)\0")
# `$$` and `$(NAME)` as the kubelet reads them (k8s.io/kubernetes/third_party/forked/golang/expansion): a name
# goes to the next bracket, and may hold whatever the API server takes for one (printable ASCII without `=`
# since Kubernetes 1.30).
_REFERENCE: Final = re.compile(r"\$(?:\$|\(([^)]*)\))")
# What the keys of a ConfigMap, and the names of services, can be.
_USUAL: Final = re.compile(r"[-._a-zA-Z0-9]+")
# Variables within variables can grow without end; what a command line holds of them is short. The most
# references that are looked at, too.
_MAX_ADDED: Final = 16384


def unknown(variable: str = "", *, loose: bool = False) -> str:
    """Make the mark for the text of a variable, or for what nothing names."""
    return f"{_LOOSE if loose else _NUL}{variable}{_NUL}"


def is_known(text: str) -> bool:
    """Tell whether every part of the text is known."""
    return _NUL not in text


def is_loose(text: str) -> bool:
    """Tell whether the shell may make several words of this text."""
    return _LOOSE in text


def variable_of(text: str) -> str:
    """Give the name of the variable whose text this is, whole; else an empty string."""
    match = _MARK.fullmatch(text)
    return match[1] if match else ""


def variables_in(text: str) -> tuple[str, ...]:
    """Give the names of the variables in a text; an empty one for what nothing names."""
    return tuple(_MARK.findall(text))


def readable(text: str) -> str:
    """Write the text for people, with `$(NAME)` where it is not known."""
    return _MARK.sub(lambda match: f"$({match[1] or '...'})", text)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Expand `$(NAME)` as the kubelet does in command, args and env.

    The kubelet leaves an unknown name as it stands; but a usual name unknown at admission may be known to it
    (envFrom, service links, another webhook), so here it is a mark. An unusual one is a shell's `$(command)`.
    """
    if "$" not in text:
        return text
    room = _MAX_ADDED

    def value(match: re.Match[str]) -> str:
        nonlocal room
        name = match[1]
        if name is None:
            found = "$"
        elif name in variables:
            found = variables[name]
        else:
            return unknown(name) if _USUAL.fullmatch(name) else match[0]
        room -= len(found)
        return found if room > 0 else ""

    # Behind the last bracket nothing is a reference, and nothing is looked for: that would take long.
    end = text.rfind(")") + 1
    expanded, count = _REFERENCE.subn(value, text[:end], _MAX_ADDED)
    expanded += text[end:].replace("$$", "$")
    return expanded if room > 0 and count < _MAX_ADDED else unknown()
