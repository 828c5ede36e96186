"""Which models Ollama is told to load: by its command line, by its API, by its variables.

From Ollama 0.17.4: `cmd/cmd.go` (commands and options, read by pflag), `api/types.go` and `server/routes.go`
(paths and bodies), `envconfig/config.go`. `run`, `pull` and `push` take a model's name; `create` reads a
Modelfile, whose FROM and ADAPTER no spec holds; `cp` and `/api/create` take one model for another.

**A server that names no model.** `ollama serve` has none on its command line: it serves what lies in its
store and what anybody who reaches its port pulls. No admission can close that. So the models of a pod are
those that some command of it pulls or runs, and what its store is mounted from (`store`): a platform team
says "these models only" by allowing `ollama://` names, and claims or images for stores that are filled
elsewhere. A pod that does neither gets its models only while it runs: `at_run_time` says so. It is no
switch `runtime-loading`, which owners can leave out; Ollama's they cannot.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from webhook.sources import locations, ollama_names
from webhook.sources.argv import Call
from webhook.sources.container import Reading
from webhook.sources.found import Item, Role, Source, Switch, SwitchName, Unknown, Unresolvable
from webhook.sources.locations import BadValueError
from webhook.sources.operands import Word, given, table
from webhook.sources.spot import Spot
from webhook.sources.text import is_known, is_loose, readable

_OPTIONS: Final = table(
    "-f|--file -q|--quantize --model --dimensions --format --keepalive"
    " --width --height --steps --seed --negative",
    "--insecure",
)
# What a command does with the model it names first.
_NAMING: Final = {"pull": Role.WEIGHTS, "push": Role.WEIGHTS, "cp": Role.WEIGHTS, "run": Role.MODEL}
# The same for the paths of the API; `create` and `copy` have keys of their own.
_API: Final = {
    **dict.fromkeys(("pull", "push", "create", "copy"), Role.WEIGHTS),
    **dict.fromkeys(("generate", "chat", "embed", "embeddings"), Role.MODEL),
}
_MAX_BODY: Final = 65536
_HOME: Final = "/root"
_REMOTE: Final = "ollama.com"


def items(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what an Ollama command loads; of `serve`, the hosts its variables let answer."""
    spot = Spot(reading, call)
    found = given(call.words, start, _OPTIONS)
    if not found.operands:
        return
    command, *operands = found.operands
    if not is_known(command.text) or any(is_loose(word.text) for word in operands):
        yield spot.unresolvable(Role.MODEL, Unknown.VARIABLE, "what Ollama is told is a variable", start)
        return
    for word in found.all("insecure"):
        yield spot.switch(SwitchName.INSECURE_REGISTRY, "--insecure", word.at)
    if command.text in {"serve", "start"}:
        yield from _remotes(spot)
    elif command.text == "create" and operands:
        file = found.last("file") or operands[0]
        yield spot.unresolvable(
            Role.WEIGHTS, Unknown.CONFIG_FILE, "FROM and ADAPTER stand in the Modelfile", file.at
        )
    elif command.text == "runner":
        # What the server starts for itself: it serves whatever file it is told.
        detail = "a runner of its own, with a model from a file"
        yield spot.unresolvable(Role.MODEL, Unknown.AMBIGUOUS, detail, command.at)
    elif command.text == "launch":
        yield from (_named(spot, Role.MODEL, word) for word in found.all("model"))
    elif command.text in _NAMING and operands:
        yield _named(spot, _NAMING[command.text], operands[0])


def store(reading: Reading, call: Call) -> Source | Unresolvable:
    """Give the directory that an `ollama serve` keeps its models in, as `envconfig.Models` finds it."""
    path = call.env.get("OLLAMA_MODELS", "")
    place = Spot(reading, call).set_at("OLLAMA_MODELS" if path else "HOME")
    if is_known(path):
        path = path.strip().strip("\"'")
    path = path or f"{call.env.get('HOME') or _HOME}/.ollama/models"
    if not is_known(path):
        return Unresolvable(Role.MODEL, Unknown.VARIABLE, f"it is {readable(path)}", place, reading.name)
    try:
        return locations.source(Role.MODEL, locations.path(path), place, reading.name)
    except BadValueError as error:
        return Unresolvable(Role.MODEL, Unknown.BAD_VALUE, str(error), place, reading.name)


def at_run_time(reading: Reading, call: Call) -> Unresolvable:
    """Say that a server names no model: for a pod that pulls none and whose store nothing filled."""
    detail = "ollama serve names no model: pull one in the pod, or mount a store that holds it"
    return Spot(reading, call).unresolvable(Role.MODEL, Unknown.RUNTIME, detail, 0)


def request(spot: Spot, url: Word, body: Word | None) -> Iterator[Item]:
    """Give what a request to Ollama's API loads; nothing if the URL is none of it.

    `body` is the text that is sent; a mark where it is a file's.
    """
    endpoint = api_path(url.text)
    role = _API.get(endpoint)
    if role is None or body is None:
        return
    pairs = _object(body.text)
    if pairs is None:
        readably = "it is no JSON object" if is_known(body.text) else f"it is {readable(body.text)}"
        yield spot.unresolvable(
            role,
            Unknown.BAD_VALUE if is_known(body.text) else Unknown.VARIABLE,
            f"the body of /api/{endpoint}: {readably[:100]}",
            body.at,
        )
        return
    if pairs.get("insecure"):
        yield spot.switch(SwitchName.INSECURE_REGISTRY, "insecure", body.at)
    if endpoint == "create":
        yield from _created(spot, pairs, body.at)
        return
    name = pairs.get("source") if endpoint == "copy" else pairs.get("model") or pairs.get("name")
    if isinstance(name, str) and name:
        yield _named(spot, role, Word(name, body.at))


def api_path(url: str) -> str:
    """Give what stands behind /api/ in a URL, as Go's router finds it; empty if that is not all of it."""
    if "api" not in url and "%" not in url:
        return ""
    try:
        path = urlsplit(url if "//" in url else f"//{url}").path
    except ValueError:
        return ""
    head, _, last = posixpath.normpath(unquote(path)).rpartition("/")
    return last if head.endswith("/api") else ""


def _created(spot: Spot, pairs: Mapping[str, Any], index: int) -> Iterator[Item]:
    """Give what /api/create makes a model of."""
    remote = pairs.get("remote_host")
    if isinstance(remote, str) and remote:
        yield spot.switch(SwitchName.HUB_ENDPOINT, remote, index)
    base = pairs.get("from")
    if isinstance(base, str) and base:
        yield _named(spot, Role.WEIGHTS, Word(base, index))
    # Older versions take a Modelfile, or the path of one.
    if not base or any(pairs.get(key) for key in ("files", "adapters", "modelfile", "path")):
        detail = "what /api/create makes a model of was uploaded, or stands in a Modelfile"
        yield spot.unresolvable(Role.WEIGHTS, Unknown.CONFIG_FILE, detail, index)


def _named(spot: Spot, role: Role, word: Word) -> Source | Unresolvable:
    if not is_known(word.text):
        return spot.variable(role, word)
    found = ollama_names.location(word.text)
    if found is None:
        return spot.unresolvable(role, Unknown.BAD_VALUE, "Ollama takes no such name", word.at)
    return spot.source(role, found, word.at)


def _remotes(spot: Spot) -> Iterator[Item]:
    """Give the hosts that `OLLAMA_REMOTES` lets answer in place of this server."""
    text = spot.call.env.get("OLLAMA_REMOTES", "")
    if not text:
        return
    place, name = spot.set_at("OLLAMA_REMOTES"), spot.reading.name
    if not is_known(text):
        detail = f"it is {readable(text)}"
        yield Unresolvable(SwitchName.HUB_ENDPOINT, Unknown.VARIABLE, detail, place, name)
        return
    for host in text.strip().strip("\"'").split(","):
        if host and host != _REMOTE:
            yield Switch(SwitchName.HUB_ENDPOINT, f"https://{host}", place, name)


def _object(text: str) -> dict[str, Any] | None:
    """Read a body as Go does: the first JSON value, keys in any case, a later key wins unless it is null."""
    if len(text) > _MAX_BODY:
        return None
    try:
        value, _ = _DECODER.raw_decode(text.lstrip(" \t\r\n"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, _Pairs):
        return None
    return {key.casefold(): inner for key, inner in value if inner is not None}


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order."""


# Marks of what is not known may stand within strings, so control characters are taken.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_Pairs, strict=False)
