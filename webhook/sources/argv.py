"""From a raw container to the commands it runs: what the kubelet, the shell and wrappers make of it.

An image's own entrypoint is not in the manifest; it is known for the images named in
`webhook.sources.programs`, and a mark for all others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from webhook.pods import objects
from webhook.sources.shell import Command, UnreadableError, simple_commands
from webhook.sources.text import expand, unknown

# The first word of a container whose image decides what runs.
ENTRYPOINT: Final = unknown("ENTRYPOINT", loose=True)
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "zsh"})
# Programs that start the one named in their arguments.
_WRAPPERS: Final = frozenset(
    {
        *("exec", "command", "nohup", "env", "time", "timeout", "nice", "ionice", "stdbuf", "setsid"),
        *("tini", "dumb-init", "catatonit", "gosu", "su-exec", "setpriv", "sudo", "numactl", "taskset"),
        *("opentelemetry-instrument", "ddtrace-run", "nsys", "uv", "uvx", "conda", "mamba", "micromamba"),
    }
)
_MAX_NESTING: Final = 2
_MAX_VARIABLES: Final = 2000
# Where a wrapper's, or a shell's, own options are looked at.
_MAX_OPTIONS: Final = 30


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """Give the variables of a container by name; those with `valueFrom` as marks.

    The value of a repeated name is the last one; `$(NAME)` refers to entries before it.
    """
    found: dict[str, str] = {}
    for _, entry in itertools.islice(objects(container.get("env")), _MAX_VARIABLES):
        name, value = entry.get("name"), entry.get("value")
        if not isinstance(name, str):
            continue
        if entry.get("valueFrom") is not None:
            found[name] = unknown(name)
        else:
            found[name] = expand(value, found) if isinstance(value, str) else ""
    return found


def argv(
    container: Mapping[str, Any], env: Mapping[str, str], entrypoint: Sequence[str], default: Sequence[str]
) -> tuple[str, ...]:
    """Give the words the container starts with, one at least.

    `entrypoint` and `default` are ENTRYPOINT and CMD of its image;
    `command` replaces both, `args` only the CMD (Kubernetes: "Define a command and arguments").
    """
    command, args = _strings(container.get("command")), _strings(container.get("args"))
    if command:
        words: Sequence[str] = [*command, *args]
    else:
        words = [*entrypoint, *(args or default)]
    return tuple([expand(word, env) if "$" in word else word for word in words])


def commands(
    words: Sequence[str], env: Mapping[str, str], starts: Callable[[Sequence[str]], object], nesting: int = 0
) -> Iterator[Command]:
    """Give each command these words (one at least) start, behind wrappers and shells, in order.

    `starts` tells whether words begin with a program worth finding behind a wrapper. Raises UnreadableError.
    """
    words, env = _unwrapped(words, env, starts)
    script = _script(words)
    if script is None:
        yield Command(tuple(words), env)
        return
    if nesting == _MAX_NESTING:
        raise UnreadableError("it starts shells within shells")
    for command in simple_commands(script, env):
        yield from commands(command.words, command.env, starts, nesting + 1)


def is_script(words: Sequence[str]) -> bool:
    """Tell whether the words are a shell with its script."""
    return _script(words) is not None


def basename(word: str) -> str:
    """Give the last part of a path."""
    return word.rsplit("/", 1)[-1]


def _unwrapped(
    words: Sequence[str], env: Mapping[str, str], starts: Callable[[Sequence[str]], object]
) -> tuple[Sequence[str], Mapping[str, str]]:
    """Drop a wrapper and its options, whatever they are; keep the variables that `env` sets.

    An unknown entrypoint counts as one that ends with `exec "$@"`, if what it is given is a program.
    """
    if words[0] != ENTRYPOINT and basename(words[0]) not in _WRAPPERS:
        return words, env
    for index in range(1, min(len(words), _MAX_OPTIONS)):
        rest = words[index:]
        if starts(rest) or _is_shell(rest[0]):
            set_here = (word.partition("=") for word in words[1:index] if "=" in word and word[0] != "-")
            return rest, {**env, **{name: value for name, _, value in set_here}}
    return words, env


def _is_shell(word: str) -> bool:
    return basename(word) in _SHELLS


def _script(words: Sequence[str]) -> str | None:
    """Give the script of `sh -c script`, whatever other options stand before it."""
    if not _is_shell(words[0]):
        return None
    asked, index = False, 1
    while index < len(words) and words[index][:1] in {"-", "+"}:
        option = words[index]
        single = option[1:2] != "-"
        asked |= single and "c" in option
        # `-o pipefail`, alone or at the end of others as in `-euo pipefail`
        index += 2 if single and option[-1] in "oO" else 1
    return words[index] if asked and index < len(words) else None


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
