"""The commands of a container that load something and are no servers, each read by its own reader."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from webhook.sources import downloads, hub, ollama_sources, transfers, web
from webhook.sources.argv import ENTRYPOINT, Call, basename
from webhook.sources.container import Reading
from webhook.sources.found import Item, Role, Source, Unknown, Unresolvable
from webhook.sources.spot import Spot
from webhook.sources.text import is_known

_Reader = Callable[[Reading, Call, int], Iterator[Item]]
_READERS: Final[Mapping[str, _Reader]] = {
    "ollama": ollama_sources.items,
    "hf": downloads.hf,
    "huggingface-cli": downloads.hf,
    "modelscope": downloads.modelscope,
    "curl": web.curl,
    "wget": web.wget,
    "nc": web.netcat,
    "ncat": web.netcat,
    "netcat": web.netcat,
    "http": web.httpie,
    "xh": web.httpie,
    "aws": transfers.aws,
    "s5cmd": transfers.s5cmd,
    "gsutil": transfers.gsutil,
    "gcloud": transfers.gcloud,
    "azcopy": transfers.azcopy,
    "rclone": transfers.rclone,
    "mc": transfers.mc,
    "mcli": transfers.mc,
    "oras": transfers.oras,
    "git": transfers.git,
}
# What starts the program named in its arguments and `argv.commands` leaves in place.
_WRAPPERS: Final = frozenset(
    {
        *(
            "exec",
            "command",
            "nohup",
            "env",
            "time",
            "timeout",
            "nice",
            "ionice",
            "stdbuf",
            "setsid",
            "retry",
        ),
        *("tini", "dumb-init", "catatonit", "gosu", "su-exec", "setpriv", "sudo", "numactl", "taskset"),
        *(
            "uv",
            "uvx",
            "pipx",
            "conda",
            "mamba",
            "micromamba",
            "poetry",
            "xargs",
            "busybox",
            "until",
            "flock",
        ),
    }
)
# What may stand between a wrapper and its program: options, variables, numbers, a subcommand, xargs' mark.
_BEFORE: Final = re.compile(r"-.*|[A-Za-z_]\w*=.*|\d[\w.]*|run|\{\}", re.DOTALL)
# They add words that nobody can read.
_FEEDING: Final = frozenset({"xargs", "parallel"})
_MAX_OPTIONS: Final = 30
# Command lines are short: what is longer is told, and not worth the time of an admission request.
_MAX_WORDS: Final = 5000
_MAX_WORD: Final = 65536
_MAX_ITEMS: Final = 500


def items(reading: Reading) -> Iterator[Item]:
    """Give everything that the commands of a container load, servers' own models aside.

    `into` of a source is absolute, by `workingDir` and the `cd` before it, or empty.
    """
    for count, item in enumerate(_all(reading)):
        if count == _MAX_ITEMS:
            detail = f"more than {_MAX_ITEMS} sources and switches; no more are read"
            yield Unresolvable(Role.WEIGHTS, Unknown.AMBIGUOUS, detail, item.path, reading.name)
            return
        yield item


def _all(reading: Reading) -> Iterator[Item]:
    folder = _working(reading)
    for call in reading.calls:
        if call.words[0] == "cd":
            folder = _joined(folder, call.words[1]) if len(call.words) > 1 else ""
            continue
        at = _loader(call.words)
        if at is None:
            continue
        if len(call.words) > _MAX_WORDS or max(map(len, call.words)) > _MAX_WORD:
            detail = "more words, or longer ones, than are read"
            yield Spot(reading, call).unresolvable(Role.WEIGHTS, Unknown.AMBIGUOUS, detail, at)
            continue
        if at:
            if any(basename(word) in _FEEDING for word in call.words[:at]):
                detail = f"words of {basename(call.words[at])} come from elsewhere"
                yield Spot(reading, call).unresolvable(Role.WEIGHTS, Unknown.VARIABLE, detail, at)
            own = dict(word.split("=", 1) for word in call.words[1:at] if "=" in word and word[0] != "-")
            call = call._replace(env={**call.env, **own})  # noqa: PLW2901 - what the wrapper makes of it
            for name, value in own.items():
                yield from hub.variable(Spot(reading, call), name, value)
        for item in _reader(call.words[at])(reading, call, at + 1):
            if isinstance(item, Source) and item.into:
                yield replace(item, into=_joined(folder, item.into))
            else:
                yield item


def loads(words: Sequence[str]) -> bool:
    """Tell whether words (one at least) are, or hold, a command that this module reads."""
    return _loader(words) is not None


def only_loads(words: Sequence[str]) -> bool:
    """Tell whether words (one at least) are a command that this module reads, and nothing else."""
    at = _loader(words)
    if not at:
        return at is not None
    # Another program before it would run, and take all that follows for its arguments.
    before = words[2 if basename(words[0]) == "flock" else 1 : at]
    return all(map(_BEFORE.fullmatch, before))


def _loader(words: Sequence[str]) -> int | None:
    """Give where a known program stands: first, or behind wrappers or an entrypoint nobody knows."""
    first = basename(words[0])
    if first in _READERS or first.startswith("python"):
        return 0
    if first not in _WRAPPERS and words[0] != ENTRYPOINT:
        return None
    for index, word in enumerate(words[1:_MAX_OPTIONS], 1):
        name = word[word.rfind("/") + 1 :]
        if name in _READERS or name[:6] == "python":
            return index
    return None


def _reader(word: str) -> _Reader:
    return _READERS.get(basename(word), downloads.python)


def _working(reading: Reading) -> str:
    folder = reading.container.get("workingDir")
    return folder if isinstance(folder, str) and folder[:1] == "/" else ""


def _joined(folder: str, path: str) -> str:
    """Join a path to the folder it is told in; empty if where that is cannot be known."""
    if not is_known(path) or not (folder or path[:1] == "/"):
        return ""
    return posixpath.normpath(posixpath.join(folder, path))
