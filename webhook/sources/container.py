"""One container, read: the commands it starts, and the servers among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

from webhook.pods import mapping, objects
from webhook.sources import programs
from webhook.sources.argv import (
    ENTRYPOINT,
    Call,
    argv,
    commands,
    environment,
    is_script,
    is_shell,
    places,
    strings,
)
from webhook.sources.options import Serving
from webhook.sources.programs import Image, Program
from webhook.sources.shell import UnreadableError

# Words at the beginning of a command in which a shell is looked for, behind wrappers.
_WRAPPERS_AT_MOST: Final = 30


class Run(NamedTuple):
    """A server that a container starts: its program, the words behind its name, the variables it has."""

    program: Program
    words: Sequence[str]
    env: Mapping[str, str]

    @property
    def serving(self) -> Serving:
        """What its command line says of where it serves; read when it is asked for."""
        return self.program.read(self.words, self.env)


@dataclass(eq=False)  # not frozen, which would make each of its many fields cost a call
class Reading:
    """A container and what could be read of it.

    `calls` are the commands it starts; `runs` the servers among them, as far as their programs are known.
    `unreadable` says why its command could not be read. `client` tells that it runs a known program otherwise
    than as a server. `hook` is where its command stands, if that is one the kubelet runs beside the
    container's own: `lifecycle.postStart.exec`.
    """

    index: int
    path: str
    container: Mapping[str, Any] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    words: tuple[str, ...] = field(repr=False)
    image: Image | None = field(default=None, repr=False)
    calls: tuple[Call, ...] = field(default=(), repr=False)
    runs: tuple[Run, ...] = field(default=(), repr=False)
    unreadable: str = ""
    client: bool = False
    hook: str = ""

    @property
    def name(self) -> str:
        """The container's name, or its path if it has none."""
        name = self.container.get("name")
        return name if isinstance(name, str) else self.path

    def place(self, call: Call, word: int) -> str:
        """Give the JSON path of a word of one of `calls`."""
        index = call.at(word)
        return f"{self.path}.{self._places[index]}" if index < len(self._places) else self.path

    def variable(self, name: str) -> str:
        """Give the JSON path of a variable; the last entry of a name counts, as in the kubelet."""
        index = self._variables.get(name)
        return f"{self.path}.image" if index is None else f"{self.path}.env[{index}]"

    @cached_property
    def _variables(self) -> dict[Any, int]:
        entries = objects(self.container.get("env"))
        return {name: index for index, entry in entries if isinstance(name := entry.get("name"), str)}

    @cached_property
    def _places(self) -> list[str]:
        if self.hook:
            return [f"{self.hook}.{place}" for place in places(within(self.container, self.hook), (), ())]
        entrypoint, default = _starts_with(self.image)
        return places(self.container, entrypoint, default)


def read(index: int, path: str, container: Mapping[str, Any]) -> Reading:
    """Read one container."""
    image = programs.image(container.get("image"))
    env = environment(container)
    if image and image.env:
        env = {**image.env, **env}
    words = argv(container, env, *_starts_with(image))
    return Reading(index, path, container, env, words, image, *_started(words, env))


def hook(reading: Reading, at: str) -> Reading | None:
    """Read a command that the kubelet runs beside a container's own; None if there is none.

    `at` is `lifecycle.postStart.exec` or alike. `$(NAME)` is expanded in probes, but not in lifecycle hooks
    (kubelet, `pkg/kubelet/prober/prober.go`, `pkg/kubelet/lifecycle/handlers.go`).
    """
    holder = within(reading.container, at)
    variables = {} if at.startswith("lifecycle") else reading.env
    words = tuple(argv(holder, variables, (), ()) if variables else strings(holder.get("command")))
    if not words:
        return None
    index, path, container, env = reading.index, reading.path, reading.container, reading.env
    return Reading(index, path, container, env, words, None, *_started(words, env), hook=at)


class _Started(NamedTuple):
    """What the words of a container start, as `Reading` has it."""

    calls: tuple[Call, ...] = ()
    runs: tuple[Run, ...] = ()
    unreadable: str = ""
    client: bool = False


def _started(words: tuple[str, ...], env: Mapping[str, str]) -> _Started:
    try:
        calls = commands(words, env, programs.start)
    except UnreadableError as error:
        return _Started(unreadable=str(error))
    runs, client = [], False
    for call in calls:
        if started := programs.start(call.words):
            runs.append(Run(*started, call.env))
        else:
            client |= programs.is_client(call.words)
    unreadable = "it starts no server known here" if not runs and is_script(words) else ""
    return _Started(tuple(calls), tuple(runs), unreadable, client and not runs)


def within(container: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    """Give the object that stands at a path of keys."""
    found = container
    for key in at.split("."):
        found = mapping(found.get(key))
    return found


def _starts_with(image: Image | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give ENTRYPOINT and CMD."""
    return (image.entrypoint, image.default) if image else ((ENTRYPOINT,), ())


def shell_at(reading: Reading) -> int | None:
    """Give where the shell stands that a container starts with; None if it starts with none."""
    starts = is_shell(reading.words[0]) or any(c.scripted or is_shell(c.words[0]) for c in reading.calls)
    if not starts and reading.calls:
        return None
    words = enumerate(reading.words[:_WRAPPERS_AT_MOST])
    return next((index for index, word in words if is_shell(word)), None)
