"""Code that comes into a server from around it: variables that say where code lies, volumes over its own.

Only what leads into a volume counts: what lies in the image is the image's. Sources: Python's "Command line
and environment" (`PYTHONPATH` and its like; `-m` puts the working directory before all else), ld.so(8),
bash(1), execvp(3).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Final

from webhook.pods import objects
from webhook.sources.argv import Call, basename
from webhook.sources.container import Reading
from webhook.sources.found import Item, Switch, SwitchName, Unknown, Unresolvable
from webhook.sources.spot import Spot
from webhook.sources.text import is_known, readable, variable_of
from webhook.sources.volumes import Volumes, directories

_VARIABLES: Final = (
    *("PATH", "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "BASH_ENV"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE"),
)
# Bash makes functions of variables that are called so.
_FUNCTION: Final = "BASH_FUNC_"
# They change the last file that they are told, unless an option names another; any of them.
_COPYING: Final = frozenset({"cp", "mv", "ln", "install", "rsync"})
_EDITING: Final = frozenset({"tee", "patch", "dd"})
_TARGET: Final = ("-t", "--target-directory")
_IN_PLACE: Final = ("-i", "--in-place")
_FILE_WITHIN: Final = 10
# Of one variable; more of them take more time than anybody has.
_MAX_PARTS: Final = 30
# Where images keep programs and libraries: below these, and in these wholes.
_PACKAGES: Final = frozenset({"site-packages", "dist-packages"})
_WHOLES: Final = ((), ("usr",), ("usr", "local"), ("opt", "venv"))
_WITHIN: Final = frozenset(
    {
        *((*whole, name) for whole in _WHOLES for name in ("bin", "sbin", "lib", "lib64")),
        ("etc", "ld.so.preload"),
    }
)
_DEEPEST: Final = 3
# Of the node's kernel, not of a program.
_MODULES: Final = ("lib", "modules")


def items(reading: Reading, volumes: Volumes) -> Iterator[Item]:
    """Give what a container takes from volumes as if it were its image's own, as plug-ins."""
    for index, mount in objects(reading.container.get("volumeMounts")):
        path = mount.get("mountPath")
        if isinstance(path, str) and _hides_programs(path):
            place = f"{reading.path}.volumeMounts[{index}]"
            yield Switch(SwitchName.PLUGIN, path, place, reading.name)
    yield from _functions(reading)
    known: dict[str, tuple[str, str]] = {}
    for call, directory in directories(reading):
        yield from _variables(reading, call, volumes, directory, known)
        yield from _runs(reading, call, volumes, directory)
        for at, text in _written(call):
            path = posixpath.join(directory, text)
            if path[:1] == "/" and is_known(path) and _hides_programs(posixpath.normpath(path)):
                yield Spot(reading, call).switch(SwitchName.PLUGIN, path, at)


def _runs(reading: Reading, call: Call, volumes: Volumes, directory: str) -> Iterator[Item]:
    """Give the program or the file of Python that a command takes from a volume, and Python's directory."""
    spot, name = Spot(reading, call), basename(call.words[0])
    files = [0]
    if name.startswith("python"):
        files += [at for at, word in enumerate(call.words[1:_FILE_WITHIN], 1) if word.endswith(".py")]
        if directory and volumes.place(reading, directory).volume:
            yield spot.switch(SwitchName.PLUGIN, directory, 0)
    for at in files:
        word = call.words[at]
        if "/" in word and is_known(word) and volumes.place(reading, word, directory).volume:
            yield spot.switch(SwitchName.PLUGIN, word, at)


def _written(call: Call) -> Iterator[tuple[int, str]]:
    """Give the files that a command writes, and which of its words say so."""
    if call.output:
        yield 0, call.output
    words, name = call.words, basename(call.words[0])
    if name in _COPYING and not any(word.startswith(_TARGET) for word in words):
        yield len(words) - 1, words[-1]
    elif (
        name in _COPYING
        or name in _EDITING
        or (name == "sed" and any(w.startswith(_IN_PLACE) for w in words))
    ):
        for at, word in enumerate(words[1:], 1):
            yield at, word.removeprefix("of=").removeprefix("--target-directory=")


def _hides_programs(path: str) -> bool:
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    if not _PACKAGES.isdisjoint(parts):
        return True
    within = any(parts[:depth] in _WITHIN for depth in range(1, _DEEPEST + 1))
    return parts in _WHOLES or (within and parts[:2] != _MODULES)


def _functions(reading: Reading) -> Iterator[Item]:
    for index, entry in objects(reading.container.get("env")):
        name = entry.get("name")
        if isinstance(name, str) and name.startswith(_FUNCTION):
            yield Switch(SwitchName.PLUGIN, name, f"{reading.path}.env[{index}]", reading.name)


def _variables(
    reading: Reading, call: Call, volumes: Volumes, directory: str, known: dict[str, tuple[str, str]]
) -> Iterator[Item]:
    """Give what the variables of a command lead to; `known` are those that were looked at before."""
    for name in _VARIABLES:
        text = call.env.get(name, "")
        if not text or known.get(name) == (text, directory):
            continue
        known[name] = text, directory
        place = Spot(reading, call).set_at(name)
        parts = text.replace(" ", ":").split(":", _MAX_PARTS)
        if len(parts) > _MAX_PARTS:
            detail = f"{name} has more than {_MAX_PARTS} parts"
            yield Unresolvable(SwitchName.PLUGIN, Unknown.AMBIGUOUS, detail, place, reading.name)
        for part in filter(None, parts[:_MAX_PARTS]):
            if is_known(part):
                if volumes.place(reading, part, directory).volume:
                    yield Switch(SwitchName.PLUGIN, part, place, reading.name)
            elif (variable := variable_of(part)) in reading.env and not is_known(reading.env[variable]):
                detail = f"{name} holds {readable(part)}"
                yield Unresolvable(SwitchName.PLUGIN, Unknown.VARIABLE, detail, place, reading.name)
