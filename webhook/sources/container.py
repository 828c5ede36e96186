"""One container, read: the commands it starts, and the servers among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from webhook.pods import objects
from webhook.sources import programs
from webhook.sources.argv import ENTRYPOINT, Call, argv, commands, environment, is_script, places
from webhook.sources.options import Serving
from webhook.sources.programs import Image, Program
from webhook.sources.shell import UnreadableError


@dataclass(frozen=True)
class Reading:
    """A container and what could be read of it.

    `calls` are the commands it starts; `runs` the servers among them, as far as their programs are known.
    `unreadable` says why its command could not be read. `client` tells that it runs a known program otherwise
    than as a server.
    """

    index: int
    path: str
    container: Mapping[str, Any] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    words: tuple[str, ...] = field(repr=False)
    image: Image | None = field(default=None, repr=False)
    calls: tuple[Call, ...] = field(default=(), repr=False)
    runs: tuple[tuple[Program, Serving], ...] = ()
    unreadable: str = ""
    client: bool = False

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
        for index, entry in reversed(list(objects(self.container.get("env")))):
            if entry.get("name") == name:
                return f"{self.path}.env[{index}]"
        return f"{self.path}.image"

    @cached_property
    def _places(self) -> list[str]:
        entrypoint, default = _starts_with(self.image)
        return places(self.container, entrypoint, default)


def read(index: int, path: str, container: Mapping[str, Any]) -> Reading:
    """Read one container."""
    image = programs.image(container.get("image"))
    env = environment(container)
    if image and image.env:
        env = {**image.env, **env}
    words = argv(container, env, *_starts_with(image))
    calls, runs, client = [], [], False
    try:
        for call in commands(words, env, programs.start):
            calls.append(call)
            if started := programs.start(call.words):
                runs.append((started.program, started.program.read(started.words, call.env)))
            else:
                client |= programs.is_client(call.words)
    except UnreadableError as error:
        return Reading(index, path, container, env, words, image, unreadable=str(error))
    unreadable = "it starts no server known here" if is_script(words) and not runs else ""
    return Reading(
        index,
        path,
        container,
        env,
        words,
        image,
        tuple(calls),
        tuple(runs),
        unreadable,
        client and not runs,
    )


def _starts_with(image: Image | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give ENTRYPOINT and CMD."""
    return (image.entrypoint, image.default) if image else ((ENTRYPOINT,), ())
