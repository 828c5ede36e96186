"""What else vLLM's command line and environment decide: code, run-time loading, parallelism, secrets.

From vLLM 0.32: `vllm/envs.py` for how each variable is read, `vllm/config/*.py` and
`vllm/engine/arg_utils.py` for options that name code, `vllm/plugins/__init__.py` for `VLLM_PLUGINS`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from webhook.pods import objects
from webhook.sources import hub, locations
from webhook.sources.command_line import Line, Word
from webhook.sources.found import Item, Role, Switch, SwitchName, Unknown, Unresolvable
from webhook.sources.spot import Spot
from webhook.sources.text import is_known, readable

USE_MODELSCOPE: Final = "VLLM_USE_MODELSCOPE"
# Each an import path, a file or the name of a plug-in; what is behind it are values that name none.
_PLUGINS: Final = {
    "tool-parser-plugin": ("",),
    "reasoning-parser-plugin": ("",),
    "logits-processors": (),
    "logits-processor-pattern": (),
    "middleware": (),
    "worker-cls": ("auto",),
    "worker-extension-cls": ("",),
    "scheduler-cls": (),
    "io-processor-plugin": (),
    "distributed-executor-backend": ("ray", "mp", "uni", "external_launcher"),
    # Python's logging calls whatever such a file names.
    "log-config-file": (),
}
# Keys of options that are objects, by their endings, whose values are imported.
_IMPORTED: Final = ("module_path", "_cls", "_class", "_plugin", "_qualname", "pylogging_config_file")
# Options that are objects end so.
_OBJECTS: Final = ("-config", "-overrides", "-kwargs", "-loras")
# Objects of which every value is imported.
_ALL_IMPORTED: Final = frozenset({"model-class-overrides", "inductor_passes"})
_PARALLEL: Final = {
    "tensor-parallel-size": SwitchName.TENSOR_PARALLEL,
    "pipeline-parallel-size": SwitchName.PIPELINE_PARALLEL,
}
# Options that say any of what `switches` gives.
_TELLING: Final = frozenset(
    {
        *(*_PLUGINS, *_PARALLEL, "data-parallel-size", "data-parallel-size-local", "trust-remote-code"),
        *("tool-server", "allowed-local-media-path", "weight-transfer-config", "api-key", "hf-token"),
    }
)
_MAX_DEPTH: Final = 20

# Read as an int: `bool(int(...))`; what is none stops the server.
_NUMBERS: Final = {
    "VLLM_SERVER_DEV_MODE": SwitchName.DEV_MODE,
    "VLLM_ALLOW_INSECURE_SERIALIZATION": SwitchName.INSECURE_SERIALIZATION,
}
# Anything but an empty value is one; several stand with commas between them.
_TEXTS: Final = {
    "VLLM_MODEL_REDIRECT_PATH": SwitchName.REDIRECT,
    "VLLM_PLUGINS": SwitchName.PLUGIN,
    "VLLM_LOGGING_CONFIG_PATH": SwitchName.PLUGIN,
    "VLLM_NCCL_SO_PATH": SwitchName.PLUGIN,
    "VLLM_CUDART_SO_PATH": SwitchName.PLUGIN,
    "VLLM_RUST_FRONTEND_PATH": SwitchName.PLUGIN,
}
_RUNTIME_LORA: Final = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
_LORA_REPOSITORIES: Final = "VLLM_LORA_RESOLVER_HF_REPO_LIST"
_RESOLVERS: Final = ("VLLM_LORA_RESOLVER_CACHE_DIR", _LORA_REPOSITORIES)
# The program's own binary (`_resolve_rust_cli_path`).
_RUST: Final = frozenset({"auto", "1", "true"})
_ALL: Final = (*_NUMBERS, *_TEXTS, _RUNTIME_LORA, *_RESOLVERS, USE_MODELSCOPE)


def is_true(text: str) -> bool:
    """Read a variable as vLLM reads `VLLM_USE_MODELSCOPE` and `VLLM_ALLOW_RUNTIME_LORA_UPDATING`."""
    return text.strip().lower() in {"1", "true"}


def environment(spot: Spot) -> Iterator[Item]:
    """Give what the variables that a command starts with switch on."""
    env, container = spot.call.env, spot.reading.name
    for name in _ALL:
        if name not in env:
            continue
        text, place = env[name], spot.set_at(name)
        if not is_known(text):
            detail = f"{name} is {readable(text)}"
            yield Unresolvable(_about(name), Unknown.VARIABLE, detail, place, container)
            continue
        for switch, value in _set(name, text):
            yield Switch(switch, value, place, container)
        if name == _LORA_REPOSITORIES:
            for repository in filter(None, map(str.strip, text.split(","))):
                yield from locations.items(Role.LORA, repository, place, container)
    if "envFrom" in spot.reading.container:
        yield from _unlisted(spot)


def _set(name: str, text: str) -> Iterator[tuple[SwitchName, str]]:
    """Give the switches that a variable with this text turns on, each with its value."""
    if name in _NUMBERS:
        if _number(text) != 0:
            yield _NUMBERS[name], name
    elif name == "VLLM_PLUGINS":
        yield from ((SwitchName.PLUGIN, part) for part in text.split(",") if part)
    elif name in _TEXTS:
        if text and not (name == "VLLM_RUST_FRONTEND_PATH" and text.lower() in _RUST):
            yield _TEXTS[name], text
    elif name == _RUNTIME_LORA:
        if is_true(text):
            yield SwitchName.RUNTIME_LOADING, name
    elif name in _RESOLVERS and text:
        yield SwitchName.RUNTIME_LOADING, name


def switches(spot: Spot, start: int, line: Line) -> Iterator[Item]:
    """Give the switches of a command line whose words begin at `start`."""
    if _TELLING.isdisjoint(line.found):
        return
    if given := line.flag("trust-remote-code"):
        written = spot.call.words[start + given.at].partition("=")[0]
        yield spot.switch(SwitchName.TRUST_REMOTE_CODE, written, start + given.at)
    for word in _code(line):
        yield _named(spot, start, SwitchName.PLUGIN, word)
    if (media := line.value("allowed-local-media-path")) and media.text:
        yield _named(spot, start, SwitchName.MEDIA_PATH, media)
    if weights := line.given("weight-transfer-config"):
        yield spot.switch(SwitchName.RUNTIME_LOADING, "--weight-transfer-config", start + weights.at)
    for name in ("api-key", "hf-token"):
        secrets = [word for word in line.values(name) if hub.is_secret(f"--{name}", word.text)]
        if secrets:
            yield spot.switch(SwitchName.SECRET, f"--{name}", start + secrets[0].at)
    yield from _parallel(spot, start, line)


def _code(line: Line) -> Iterator[Word]:
    """Give every word that names code to load."""
    for name, harmless in _PLUGINS.items():
        if name in line.found:
            yield from (word for word in line.values(name) if word.text not in harmless)
    if (server := line.value("tool-server")) and server.text == "demo":
        # It runs code that the model writes.
        yield server


def objects_of(line: Line) -> Iterator[tuple[str, Word, dict[str, Any] | None]]:
    """Give each option whose value is a JSON object, with it; None for one that a variable hides."""
    text = "".join(line.words.texts)
    if "{" not in text and is_known(text):
        return
    for name in line.found:
        for word in line.values(name):
            hidden = not is_known(word.text) and name.endswith(_OBJECTS)
            if hidden or word.text.lstrip()[:1] == "{":
                value = _object(word.text)
                if value is not None or hidden:
                    yield name, word, value


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and all(is_known(key) for key in value) else None


def within(spot: Spot, start: int, name: str, word: Word, value: dict[str, Any]) -> Iterator[Item]:
    """Give the switches inside an option that is an object."""
    for path, leaf in leaves(value):
        at = start + (word.keys or {}).get(path[0], word.at)
        if path[-1] == "trust_remote_code" and leaf not in (False, None):
            # `--hf-overrides` hands it on to the configuration's own loader, as `--mm-processor-kwargs` does.
            yield spot.switch(SwitchName.TRUST_REMOTE_CODE, f"--{name}.{'.'.join(path)}", at)
        elif isinstance(leaf, str) and leaf and _is_imported(name, path, leaf):
            yield _named(spot, start, SwitchName.PLUGIN, Word(leaf, at - start))


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give what stands in an object, with the keys on the way to it."""
    if len(path) > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for item in value:
            if path:
                yield from leaves(item, path)
    elif path:
        yield path, value


def _is_imported(name: str, path: tuple[str, ...], leaf: str) -> bool:
    key = path[-1].replace("-", "_")
    if key.endswith(_IMPORTED) or name in _ALL_IMPORTED or not _ALL_IMPORTED.isdisjoint(path):
        return True
    if key == "policy":
        # Beside names of its own, a KV cache's policy is an import path (`_resolve_policy`).
        return "." in leaf
    return name == "compilation-config" and key == "backend" and "." in leaf


def _parallel(spot: Spot, start: int, line: Line) -> Iterator[Item]:
    """Give over how many accelerators an engine is spread, unless it is spread over several pods."""
    nodes, executor = line.text("nnodes"), line.text("distributed-executor-backend")
    if nodes not in {None, "1"} or executor == "ray":
        return
    local = "data-parallel-size-local"
    data = local if local in line.found else "data-parallel-size"
    for name, switch in (*_PARALLEL.items(), (data, SwitchName.DATA_PARALLEL)):
        if word := line.value(name):
            yield _named(spot, start, switch, word)


def _named(spot: Spot, start: int, name: SwitchName, word: Word) -> Item:
    """Give a switch whose value is what a word says."""
    if not is_known(word.text):
        detail = f"it is {readable(word.text)}"
        return spot.unresolvable(name, Unknown.VARIABLE, detail, start + word.at)
    return spot.switch(name, word.text, start + word.at)


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _about(name: str) -> Role | SwitchName:
    if name == USE_MODELSCOPE:
        return Role.MODEL
    return _NUMBERS.get(name) or _TEXTS.get(name) or SwitchName.RUNTIME_LOADING


def _unlisted(spot: Spot) -> Iterator[Item]:
    """Say which envFrom may set vLLM's switches: it would, unless its prefix does not fit."""
    reading = spot.reading
    for index, entry in objects(reading.container.get("envFrom")):
        prefix = entry.get("prefix")
        prefix = prefix if isinstance(prefix, str) else ""
        if any(name.startswith(prefix) and name not in spot.call.env for name in _ALL):
            detail = "envFrom may set VLLM_PLUGINS and other switches of vLLM"
            place = f"{reading.path}.envFrom[{index}]"
            yield Unresolvable(SwitchName.PLUGIN, Unknown.VARIABLE, detail, place, reading.name)
            return
