"""What else runs in a server's container: programs of which nobody knows what they start or change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.sources import programs
from webhook.sources.argv import Call, basename, is_shell
from webhook.sources.container import Reading
from webhook.sources.fillers import is_harmless
from webhook.sources.found import Unknown, Unresolvable
from webhook.sources.text import is_known, readable
from webhook.sources.volumes import Volumes, directories

_SOURCING: Final = frozenset({"source", "."})
# They look, filter or wait, or start workers of the server's own. What `cp` and its like change is told by
# `webhook.sources.fillers` and `webhook.sources.foreign_code`.
_TOOLS: Final = frozenset(
    {
        *(
            "awk",
            "basename",
            "cat",
            "cut",
            "dirname",
            "env",
            "getent",
            "grep",
            "head",
            "jq",
            "ldconfig",
            "nproc",
        ),
        *("printenv", "ray", "sed", "seq", "sort", "tail", "tee", "tr", "uname", "uniq", "wc", "which"),
        *("cp", "ln", "mv", "mktemp", "shift", "pkill", "nvidia-cuda-mps-control"),
    }
)
# Where scripts lie that another command has just written.
_SCRATCH: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - paths that are looked for
# Of `env` and `find`: what follows is a command, and they are no mere tools.
_STARTING: Final = ("-S", "--split-string", "-exec", "-ok")
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


def _is_tool(call: Call) -> bool:
    name = basename(call.words[0])
    if name in {"env", "find"}:
        return not any(word.startswith(_STARTING) for word in call.words[1:])
    return name in _TOOLS or (is_harmless(call) and not name.startswith("python"))


def _is_the_images(reading: Reading, call: Call, volumes: Volumes, directory: str) -> bool:
    """Tell whether a shell or Python runs a file, or a module, that surely is the image's own."""
    name = basename(call.words[0])
    if not is_shell(name) and not name.startswith("python") and name not in _SOURCING:
        return False
    file = next((word for word in call.words[1:] if word[:1] not in {"-", "+"}), "")
    if not file or not is_known(file) or "-c" in call.words:
        return False
    if "-m" in call.words:
        return True
    place = volumes.place(reading, file, directory)
    return not place.volume and not place.unknown and not place.path.startswith(_SCRATCH)
