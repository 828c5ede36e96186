"""From a raw container to the commands it runs: what the kubelet, the shell and wrappers make of it.

An image's own entrypoint is not in the manifest; it is known for the images named in
`webhook.sources.programs`, and a mark for all others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from webhook.pods import objects
from webhook.sources.shell import UnreadableError, simple_commands
from webhook.sources.text import expand, unknown
from webhook.sources.wrappers import wrapped

# The first word of a container whose image decides what runs.
ENTRYPOINT: Final = unknown("ENTRYPOINT", loose=True)
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "zsh"})
# Among the variables of a command, where a wrapper starts it; no variable is called so.
DIRECTORY: Final = "env -C"
_MAX_NESTING: Final = 2
_MAX_WRAPPERS: Final = 8
# Of one container; `webhook.extract` tells of one that has more.
MAX_VARIABLES: Final = 2000


class Call(NamedTuple):
    """One command a container starts: its words (one at least) and the variables it starts with.

    `first` is where its words begin among the container's own; those of a script (`scripted`) all stand in
    that one word, and may send what they write to a file (`output`).
    """

    words: tuple[str, ...]
    env: Mapping[str, str]
    first: int = 0
    scripted: bool = False
    output: str = ""

    def at(self, word: int) -> int:
        """Give which of the container's words this word of the command stands in."""
        return self.first if self.scripted else self.first + word


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """Give the variables of a container by name; those with `valueFrom` as marks.

    The value of a repeated name is the last one; `$(NAME)` refers to entries before it.
    """
    found: dict[str, str] = {}
    if "env" not in container:
        return found
    for _, entry in itertools.islice(objects(container["env"]), MAX_VARIABLES):
        name = entry.get("name")
        if not isinstance(name, str):
            continue
        if entry.get("valueFrom") is not None:
            found[name] = unknown(name)
            continue
        value = entry.get("value")
        if not isinstance(value, str):
            value = ""
        found[name] = expand(value, found) if "$" in value else value
    return found


def argv(
    container: Mapping[str, Any], env: Mapping[str, str], entrypoint: Sequence[str], default: Sequence[str]
) -> tuple[str, ...]:
    """Give the words the container starts with, one at least.

    `entrypoint` and `default` are ENTRYPOINT and CMD of its image;
    `command` replaces both, `args` only the CMD (Kubernetes: "Define a command and arguments").
    """
    command, args = strings(container.get("command")), strings(container.get("args"))
    if command:
        words: Sequence[str] = [*command, *args]
    else:
        words = [*entrypoint, *(args or default)]
    return tuple([expand(word, env) if "$" in word else word for word in words])


def places(container: Mapping[str, Any], entrypoint: Sequence[str], default: Sequence[str]) -> list[str]:
    """Give, for each word of `argv`, the field of the container it stands in: `args[3]`, or `image`."""
    command, args = _places(container, "command"), _places(container, "args")
    if command:
        return command + args
    return ["image"] * len(entrypoint) + (args or ["image"] * len(default))


def commands(
    words: Sequence[str], env: Mapping[str, str], starts: Callable[[Sequence[str]], object]
) -> list[Call]:
    """Give each command these words (one at least) start, behind wrappers and shells, in order.

    `starts` tells whether words begin with a program worth finding behind a wrapper. Raises UnreadableError.
    """
    return _calls(Call(tuple(words), env), starts, 0)


def is_script(words: Sequence[str]) -> bool:
    """Tell whether the words are a shell with its script."""
    return _script(words) is not None


def _calls(call: Call, starts: Callable[[Sequence[str]], object], nesting: int) -> list[Call]:
    call = _unwrapped(call, starts)
    at = _script(call.words)
    if at is None:
        return [call]
    if nesting == _MAX_NESTING:
        raise UnreadableError("it starts shells within shells")
    found = []
    for command in simple_commands(call.words[at], call.env):
        within = Call(command.words, command.env, call.at(at), scripted=True, output=command.output)
        found += _calls(within, starts, nesting + 1)
    return found


def basename(word: str) -> str:
    """Give the last part of a path."""
    return word.rpartition("/")[2]


def _unwrapped(call: Call, starts: Callable[[Sequence[str]], object]) -> Call:
    """Drop wrappers and their options; keep the variables and the directory that they set.

    An unknown entrypoint counts as one that ends with `exec "$@"`, if what it is given is a program.
    """
    found = call
    if call.words[0] == ENTRYPOINT:
        if len(call.words) == 1:
            return call
        found = Call(call.words[1:], call.env, call.at(1), call.scripted, call.output)
    for _ in range(_MAX_WRAPPERS):
        inner = wrapped(found.words, basename(found.words[0]))
        if inner is None:
            break
        env = {**found.env, **inner.env} if inner.env else found.env
        if inner.directory:
            env = {**env, DIRECTORY: inner.directory}
        found = found._replace(words=found.words[inner.at :], env=env, first=found.at(inner.at))
    return found if call.words[0] != ENTRYPOINT or starts(found.words) or is_shell(found.words[0]) else call


def is_shell(word: str) -> bool:
    """Tell whether a word names a shell."""
    return basename(word) in _SHELLS


def _script(words: Sequence[str]) -> int | None:
    """Give where the script of `sh -c script`, or of `trap`, stands, whatever options stand before it."""
    if words[0] == "trap":
        at = 2 if words[1:2] == ("--",) else 1
        return at if len(words) > at + 1 and words[at] not in {"", "-"} else None
    if not is_shell(words[0]):
        return None
    asked, index = False, 1
    while index < len(words) and words[index][:1] in {"-", "+"}:
        option = words[index]
        single = option[1:2] != "-"
        asked |= single and "c" in option
        # `-o pipefail`, alone or at the end of others as in `-euo pipefail`
        index += 2 if single and option[-1] in "oO" else 1
    return index if asked and index < len(words) else None


def _places(container: Mapping[str, Any], field: str) -> list[str]:
    value = container.get(field)
    if not isinstance(value, list):
        return []
    return [f"{field}[{index}]" for index, item in enumerate(value) if isinstance(item, str)]


def strings(value: Any) -> list[str]:
    """Give the texts of what should be a list of texts."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
