"""What else runs in a server's container: programs of which nobody knows what they start or change."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from webhook.sources import programs
from webhook.sources.argv import Call, basename, is_shell
from webhook.sources.container import Reading
from webhook.sources.found import Role, Unknown, Unresolvable
from webhook.sources.text import is_known, readable
from webhook.sources.tools import installs_known, is_harmless
from webhook.sources.volumes import Volumes, directories

_SOURCING: Final = frozenset({"source", "."})
# They look, filter or wait, or start workers of the server's own. What `cp` and its like change is told by
# `webhook.sources.fillers` and `webhook.sources.foreign_code`.
_TOOLS: Final = frozenset(
    {
        *("awk", "basename", "cat", "cut", "dirname", "env", "getent", "grep", "head", "jq", "ldconfig"),
        "nproc",
        *("printenv", "ray", "sed", "seq", "sort", "tail", "tee", "tr", "uname", "uniq", "wc", "which"),
        *("cp", "find", "ln", "mv", "mktemp", "nc", "shift", "pkill", "nvidia-cuda-mps-control"),
    }
)
# Where scripts lie that another command has just written.
_SCRATCH: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - paths that are looked for
# Words by which a tool runs what they say, or installs what no index of packages has.
_STARTING: Final[Mapping[str, tuple[str, ...]]] = {
    "env": ("-S", "--split-string"),
    "find": ("-exec", "-ok", "-fprint", "-fls"),
    "nc": ("-e", "-c", "--exec", "--sh-exec"),
    "ray": ("job", "submit", "exec", "up"),
    **dict.fromkeys(
        ("pip", "pip3"),
        (
            *("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-r", "--requirement", "-e"),
            *("--editable", "git+", "http:", "https:", "file:", "."),
        ),
    ),
}
_PIP: Final = "pip"
_PIPS: Final = frozenset({_PIP, "pip3"})
# `s/a/b/g`, `3p`, `$d`; another command of sed may run a program, or write.
_SED: Final = re.compile(r"s([/|#,@])(?:(?!\1)[^\n])*\1(?:(?!\1)[^\n])*\1[gpI\d]*|[\d,$]*[pdq]")
_SED_FILE: Final = re.compile(r"-[A-Za-z]*[fe]|--(?:file|expression)")
_SORT_OUT: Final = re.compile(r"-[A-Za-z]*o|--[oc]")
_MAX_SHOWN: Final = 60


def items(reading: Reading, volumes: Volumes) -> Iterator[Unresolvable]:
    """Give the programs that a server's container runs beside it, or in a hook, and nobody knows."""
    for call, directory in directories(reading):
        if programs.start(call.words) or _is_the_images(reading, call, volumes, directory):
            continue
        if not _is_tool(call):
            name = readable(basename(call.words[0]))[:_MAX_SHOWN]
            detail = f"what {name} runs beside the server"
            yield Unresolvable(None, Unknown.SCRIPT, detail, reading.place(call, 0), reading.name)


def scripts(reading: Reading, volumes: Volumes) -> Iterator[Unresolvable]:
    """Give the scripts beside an Ollama server that nobody can read: each can tell it to pull."""
    for call, directory in directories(reading):
        name = basename(call.words[0])
        python = name.startswith("python")
        if not python and not is_shell(name) and name not in _SOURCING and name != "eval":
            continue
        # What code of Python loads is told where downloads are.
        read = python and not {"-c", "-m"}.isdisjoint(call.words)
        if not read and not _is_the_images(reading, call, volumes, directory):
            detail = f"what {readable(name)[:_MAX_SHOWN]} tells the Ollama beside it"
            place = reading.place(call, 0)
            yield Unresolvable(Role.WEIGHTS, Unknown.SCRIPT, detail, place, reading.name)


def _is_tool(call: Call) -> bool:
    name, words = basename(call.words[0]), call.words[1:]
    if name.startswith("python"):
        if words[:2] != ("-m", _PIP):
            return False
        name, words = _PIP, words[2:]
        call = call._replace(words=(name, *words))
    if any(word.startswith(_STARTING.get(name, ())) for word in words):
        return False
    if check := _READING_ONLY.get(name):
        # Variables tell pip of other indexes too.
        return check(words) and not (name in _PIPS and any(key.startswith("PIP_") for key in call.env))
    return name in _TOOLS or is_harmless(call)


def _edits_plainly(words: Sequence[str]) -> bool:
    """Tell whether sed's script is one that neither runs nor writes anything."""
    told = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "-e"]
    scripts = told or [word for word in words if word[:1] != "-"][:1]
    other = any(word != "-e" and _SED_FILE.match(word) for word in words)
    return not other and all(is_known(script) and _SED.fullmatch(script) for script in scripts)


# What these are told can make them run programs, or write files.
_READING_ONLY: Final[Mapping[str, Callable[[Sequence[str]], bool]]] = {
    "awk": lambda words: (
        not any(mark in word for word in words for mark in ("system", "|", ">", "getline", "-f"))
    ),
    "env": lambda words: not words,
    "sed": _edits_plainly,
    "sort": lambda words: not any(map(_SORT_OUT.match, words)),
    "uniq": lambda words: sum(word[:1] != "-" for word in words) <= 1,
    "pip": installs_known,
    "pip3": installs_known,
}


def _is_the_images(reading: Reading, call: Call, volumes: Volumes, directory: str) -> bool:
    """Tell whether a shell or Python runs a file that surely is the image's own."""
    name = basename(call.words[0])
    if not is_shell(name) and not name.startswith("python") and name not in _SOURCING:
        return False
    file = next((word for word in call.words[1:] if word[:1] not in {"-", "+"}), "")
    if not file or not is_known(file) or not {"-c", "-m"}.isdisjoint(call.words):
        return False
    place = volumes.place(reading, file, directory)
    return not place.volume and not place.unknown and not place.path.startswith(_SCRATCH)
