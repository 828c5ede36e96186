"""Programs that start the one named in their arguments: where in their words that one begins.

Each option a wrapper takes is known here, with those that take a value: a word taken for a value that is
none would hide the program that really runs. Options that load code or variables from elsewhere are left out
on purpose (`env -S`, `uv run --with`, `uvx --from`). From the manuals of GNU coreutils, util-linux, tini,
dumb-init, gosu, sudo, numactl, uv, conda, Nsight Systems, OpenTelemetry and ddtrace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from webhook.sources.text import is_known


class _Wrapper(NamedTuple):
    """What a wrapper takes before the program: options, a subcommand, other words, variables.

    `any_valued` are wrappers all of whose other options take a value.
    """

    valued: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    words: int = 0
    subcommand: str = ""
    variables: bool = False
    any_valued: bool = False


class Wrapped(NamedTuple):
    """Where the program begins, and what the wrapper sets for it."""

    at: int
    env: Mapping[str, str]
    directory: str = ""


def _wrapper(valued: str = "", flags: str = "", **other: Any) -> _Wrapper:
    return _Wrapper(frozenset(valued.split()), frozenset(flags.split()))._replace(**other)


_CONDA: Final = _wrapper(
    "-n --name -p --prefix", "--no-capture-output --live-stream -v --verbose", subcommand="run"
)
_USER: Final = _wrapper(words=1)
_WRAPPERS: Final[Mapping[str, _Wrapper]] = {
    "exec": _wrapper("-a", "-c -l"),
    "command": _wrapper(flags="-p"),
    "nohup": _wrapper(),
    "env": _wrapper("-u --unset -C --chdir", "- -i -0 -v --ignore-environment --debug", variables=True),
    "time": _wrapper("-f --format", "-p -v --portability --verbose"),
    "timeout": _wrapper(
        "-k -s --kill-after --signal", "-f -p -v --foreground --preserve-status --verbose", words=1
    ),
    "nice": _wrapper("-n --adjustment"),
    "ionice": _wrapper("-c -n --class --classdata", "-t --ignore"),
    "stdbuf": _wrapper("-i -o -e --input --output --error"),
    "setsid": _wrapper(flags="-c -f -w --ctty --fork --wait"),
    "tini": _wrapper("-p -e", "-g -s -v -vv -vvv -w"),
    "dumb-init": _wrapper("-r --rewrite", "-c -v --single-child --verbose"),
    "catatonit": _wrapper(flags="-g"),
    "gosu": _USER,
    "su-exec": _USER,
    "setpriv": _wrapper(
        "--reuid --regid --groups --inh-caps --ambient-caps --bounding-set --securebits --pdeathsig",
        "--clear-groups --keep-groups --init-groups --no-new-privs --nnp --reset-env",
    ),
    "sudo": _wrapper(
        "-u -g --user --group", "-E -H -n -P --preserve-env --set-home --non-interactive", variables=True
    ),
    "numactl": _wrapper(
        "-i -m -w -N -C -p -P --interleave --membind --weighted-interleave --cpunodebind --physcpubind"
        " --preferred --preferred-many",
        "-a -b -l --all --balancing --localalloc",
    ),
    "taskset": _wrapper(flags="-a -c --all-tasks --cpu-list", words=1),
    "opentelemetry-instrument": _wrapper(any_valued=True),
    "ddtrace-run": _wrapper(flags="-d -p --debug --profiling"),
    "nsys": _wrapper(subcommand="profile", any_valued=True),
    "uv": _wrapper(
        "-p --python --extra --group",
        "-q --quiet -v --verbose --active --all-extras --frozen --locked --no-dev --no-project --no-sync"
        " --offline",
        subcommand="run",
    ),
    "uvx": _wrapper("-p --python", "-q --quiet -v --verbose --offline"),
    **dict.fromkeys(("conda", "mamba", "micromamba"), _CONDA),
}
# Options by which a wrapper hands the program variables that are not read here.
_HANDING: Final = frozenset({"-e", "--env-var", "--env-var-file"})
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_DIGITS: Final = re.compile(r"-\d+", re.ASCII)
_MAX_WORDS: Final = 60


def wrapped(words: Sequence[str], name: str) -> Wrapped | None:
    """Tell where the program begins that a wrapper of this name starts; None if that is not certain."""
    wrapper = _WRAPPERS.get(name)
    if wrapper is None or (wrapper.subcommand and words[1:2] != (wrapper.subcommand,)):
        return None
    env: dict[str, str] = {}
    directory = ""
    at = 2 if wrapper.subcommand else 1
    last = min(len(words), _MAX_WORDS)
    while at < last and words[at] != "--":
        word = words[at]
        if wrapper.variables and (match := _VARIABLE.match(word)):
            env[match[0][:-1]] = word[match.end() :]
            at += 1
        elif word[:1] == "-":
            if not (length := _length(wrapper, word)) or (length > 1 and at + 1 == last):
                return None
            set_here = _set(name, word, words[at + length - 1])
            if set_here is None:
                return None
            env |= set_here.env
            directory = set_here.directory or directory
            at += length
        else:
            break
    at += wrapper.words + (at < last and words[at] == "--")
    return Wrapped(at, env, directory) if at < last else None


def _length(wrapper: _Wrapper, word: str) -> int:
    """Give how many words an option takes, itself included; 0 if nothing is known of it."""
    name, equals, _ = word.partition("=") if word[:2] == "--" else (word, "", "")
    if not is_known(name) or (wrapper.any_valued and name in _HANDING):
        return 0
    if name in wrapper.valued or (wrapper.any_valued and (equals or word[:2] == "--" or word[2:] == "")):
        return 1 if equals else 2
    short = word[1:2] != "-"
    joined = short and (
        word[:2] in wrapper.valued
        or (_DIGITS.fullmatch(word) is not None and "-n" in wrapper.valued)
        or all(f"-{letter}" in wrapper.flags for letter in word[1:])
    )
    return 1 if name in wrapper.flags or joined else 0


def _set(name: str, option: str, value: str) -> Wrapped | None:
    """Give what an option sets for the program; None if that leads to an interpreter from elsewhere."""
    option, equals, behind = option.partition("=")
    value = behind if equals else value
    if name == "env" and option in {"-C", "--chdir"}:
        return Wrapped(0, {}, value)
    if name in {"conda", "mamba", "micromamba"} and option in {"-p", "--prefix"}:
        return Wrapped(0, {"PATH": f"{value}/bin"})
    if name in {"uv", "uvx"} and option[:2] in {"-p", "--"} and "/" in value:
        return None
    return Wrapped(0, {})
