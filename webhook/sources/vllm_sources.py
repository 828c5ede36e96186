"""Everything that vLLM's command line loads: model, tokenizer, configuration, drafts, adapters, weights.

From vLLM 0.32: `vllm/engine/arg_utils.py`, `vllm/config/{model,speculative,load}.py`,
`vllm/entrypoints/openai/models/protocol.py` (`LoRAModulePath`), `vllm/transformers_utils/config.py`; the
older options from the versions that had them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from webhook.sources import locations, programs, vllm
from webhook.sources.argv import Call
from webhook.sources.command_line import Line, Word
from webhook.sources.container import Reading
from webhook.sources.found import Item, Role, SwitchName, Unknown
from webhook.sources.locations import HUB, MODELSCOPE, BadValueError
from webhook.sources.spot import Spot
from webhook.sources.text import is_known, readable
from webhook.sources.vllm_switches import (
    USE_MODELSCOPE,
    environment,
    is_true,
    leaves,
    objects_of,
    switches,
    within,
)

# What is served when nothing names a model (`vllm/config/model.py`).
DEFAULT: Final = "Qwen/Qwen3-0.6B"
# The subcommands of `vllm` whose model is the positional argument.
_POSITIONAL: Final = frozenset({"serve", "render", "create"})
# Not of these programs is the table of options.
_OTHERS: Final = frozenset({"bench", "run-batch", "preload"})
# Drafts without a model of their own (`SpeculativeConfig.__post_init__`).
_NO_DRAFT: Final = frozenset({"ngram", "[ngram]"})
# Options that name adapters, or drafts as older versions had them.
_ADAPTERS: Final = frozenset(
    {
        *("lora-modules", "prompt-adapters", "qlora-adapter-name-or-path", "spec-model", "speculative-model"),
    }
)
_OWN_CONFIG: Final = frozenset({"auto", "vllm", ""})
# A shell's own commands that run, or define, what stands elsewhere.
_CHANGING: Final = frozenset({"eval", "source", ".", "alias", "trap", "enable", "hash"})
_UNSURE: Final = "which word is the model depends on the version"
_MAX_SHOWN: Final = 5
_MAX_TEXT: Final = 80


class _Command(NamedTuple):
    """One command line of vLLM, and what its sources have in common."""

    spot: Spot
    start: int
    line: Line
    scheme: str

    def load(self, role: Role, word: Word, revision: str = "", at: int | None = None) -> Iterator[Item]:
        """Give the source that a word names; `at` is another word that stands for it."""
        place = self.spot.reading.place(self.spot.call, self.start + (word.at if at is None else at))
        container = self.spot.reading.name
        yield from locations.items(role, word.text, place, container, revision=revision, scheme=self.scheme)

    def unresolvable(self, about: Role | None, reason: Unknown, detail: str, word: Word) -> Item:
        """Say that what a word stands for cannot be known."""
        return self.spot.unresolvable(about, reason, detail, self.start + word.at)


def items(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give every source and switch of a vLLM; `start` is the first word behind the program, or subcommand."""
    serve = start > 0 and call.words[start - 1] in _POSITIONAL
    line = vllm.line(call.words[start:], serve=serve)
    scheme = MODELSCOPE if is_true(call.env.get(USE_MODELSCOPE, "")) else HUB
    command = _Command(Spot(reading, call), start, line, scheme)
    yield from _doubts(command)
    yield from _models(command, serve=serve)
    if not _ADAPTERS.isdisjoint(line.found):
        yield from _adapters(command)
    for name, word, value in objects_of(line):
        if value is None:
            detail = f"--{name} is {readable(word.text)[:_MAX_TEXT]}"
            yield command.unresolvable(None, Unknown.VARIABLE, detail, word)
            continue
        yield from _loaded(command, name, word, value)
        yield from within(command.spot, start, name, word, value)
    yield from switches(command.spot, start, line)
    yield from environment(command.spot)


def _doubts(command: _Command) -> Iterator[Item]:
    """Give what may be any option: unknown words, abbreviations of several, a config file."""
    line, spot = command.line, command.spot
    if spot.call.scripted:
        yield from _changing(spot)
    subcommand = spot.call.words[1] if programs.loads(spot.call.words) else "serve"
    if subcommand not in {"serve", *programs.VLLM_LOADERS}:
        detail = f"vllm {readable(subcommand)[:_MAX_TEXT]}: no version known here has such a command"
        yield spot.unresolvable(None, Unknown.AMBIGUOUS, detail, 1)
    for word in line.hidden[:_MAX_SHOWN]:
        detail = f"{readable(word.text)[:_MAX_TEXT]} may bring any option"
        yield command.unresolvable(None, Unknown.VARIABLE, detail, word)
    known = _OTHERS.isdisjoint(spot.call.words[: command.start])
    for doubt in line.doubts:
        written = readable(doubt.word.text.partition("=")[0])[:_MAX_TEXT]
        if doubt.candidates:
            detail = f"{written} may be {' or '.join(doubt.candidates)}"
            yield command.unresolvable(None, Unknown.AMBIGUOUS, detail, doubt.word)
        elif known:
            yield spot.switch(SwitchName.UNKNOWN_OPTION, written, command.start + doubt.word.at)
    if given := line.given("config"):
        detail = f"{readable(line.text('config') or 'a file')[:_MAX_TEXT]} may set any option"
        yield command.unresolvable(None, Unknown.CONFIG_FILE, detail, Word("", given.at))


def _changing(spot: Spot) -> Iterator[Item]:
    """Give the commands of the same script after which nothing of it need mean what it says."""
    for call in spot.reading.calls:
        if call.scripted and call.words[0] in _CHANGING:
            detail = f"{call.words[0]} may run anything, and change what the other commands mean"
            yield Spot(spot.reading, call).unresolvable(None, Unknown.SCRIPT, detail, 0)


def _models(command: _Command, *, serve: bool) -> Iterator[Item]:
    """Give the model and what belongs to it; its revision is its tokenizer's too, unless that has its own."""
    line = command.line
    revision = line.text("revision") or ""
    model = vllm.model(line, serve=serve)
    if serve and not line.sure:
        yield command.unresolvable(Role.MODEL, Unknown.AMBIGUOUS, _UNSURE, model or Word("", -1))
        model = None
    elif model is not None:
        for word in (model, *_other_models(command, model)):
            yield from command.load(Role.MODEL, word, revision)
    elif "config" not in line.found and not line.hidden:
        model = Word(DEFAULT, -1)
        yield from command.load(Role.MODEL, model, revision)
    yield from _of_model(command, model, revision)
    if config := line.value("hf-config-path"):
        yield from command.load(Role.CONFIG, config, revision)
    generation = line.value("generation-config")
    if generation and generation.text not in _OWN_CONFIG:
        # Fetched without a revision, whatever else has one (`try_get_generation_config`).
        yield from command.load(Role.CONFIG, generation)
    if (weights := line.value("load-format")) and weights.text.lower() == "ipc_cache":
        detail = "weights that a daemon, `vllm preload`, holds"
        yield command.unresolvable(Role.WEIGHTS, Unknown.RUNTIME, detail, weights)
    if (template := line.value("chat-template")) and not _is_inline(template.text):
        yield from _file(command, Role.CONFIG, template)
    if cache := line.value("download-dir"):
        yield from _file(command, Role.CACHE, cache)


def _of_model(command: _Command, model: Word | None, revision: str) -> Iterator[Item]:
    """Give tokenizer and code, where options say of them what is not said of the model."""
    line = command.line
    own = line.value("tokenizer-revision")
    tokenizer = line.value("tokenizer") or (model if own else None)
    if tokenizer is not None:
        at = own.at if own and "tokenizer" not in line.found else None
        yield from command.load(Role.TOKENIZER, tokenizer, own.text if own else revision, at)
    trusted = line.flag("trust-remote-code")
    if trusted and model is not None and is_known(model.text):
        yield from _code(command, model, line.value("code-revision") or Word(revision, trusted.at))


def _other_models(command: _Command, model: Word) -> Iterator[Word]:
    """Give what another version, or the other entrypoint, would take for the model.

    A positional model beside `--model` is refused by 0.32, and was taken before. Of several `--model`,
    `vllm serve` takes the first, the module of older images the last.
    """
    line, spot = command.line, command.spot
    others = list(line.extras[:1]) if line.moved else []
    decided = spot.call.first or spot.call.scripted or spot.reading.container.get("command")
    if not decided and (last := line.value("model")):
        others.append(last)
    yield from (word for word in others if word.text != model.text)


def _code(command: _Command, model: Word, revision: Word) -> Iterator[Item]:
    """Give the code of a model's repository; what lies elsewhere comes along with the model itself."""
    for item in command.load(Role.CODE, model, revision.text, revision.at):
        if getattr(item, "local", None) is None:
            yield item


def _adapters(command: _Command) -> Iterator[Item]:
    """Give LoRA modules: `name=path`, a JSON object, or a list of such; and those of older options."""
    line = command.line
    for word in line.values("lora-modules"):
        text = word.text
        if "=" in text and "," not in text:
            yield from command.load(Role.LORA, Word(text.partition("=")[2], word.at))
        elif text:
            yield from _described(command, word)
    for word in line.values("prompt-adapters"):
        yield from command.load(Role.LORA, Word(word.text.partition("=")[2], word.at))
    if adapter := line.value("qlora-adapter-name-or-path"):
        yield from command.load(Role.LORA, adapter)
    for name in ("spec-model", "speculative-model"):
        draft = line.value(name)
        if draft and draft.text not in _NO_DRAFT:
            yield from _draft(command, draft, "")


def _described(command: _Command, word: Word) -> Iterator[Item]:
    """Give the adapters that a JSON text describes."""
    if not is_known(word.text) and word.text[:1] not in "{[":
        yield command.unresolvable(Role.LORA, Unknown.VARIABLE, f"it is {readable(word.text)}", word)
        return
    try:
        found = json.loads(word.text, strict=False)
    except (ValueError, RecursionError):
        yield command.unresolvable(Role.LORA, Unknown.BAD_VALUE, "neither name=path nor JSON", word)
        return
    for module in found if isinstance(found, list) else [found]:
        path = module.get("path") if isinstance(module, dict) else None
        if isinstance(path, str):
            yield from command.load(Role.LORA, Word(path, word.at))
        else:
            yield command.unresolvable(Role.LORA, Unknown.BAD_VALUE, "an adapter without a path", word)


def _loaded(command: _Command, name: str, word: Word, value: dict[str, Any]) -> Iterator[Item]:
    """Give what is loaded by an option that is an object."""
    keys = word.keys or {}
    if name == "speculative-config":
        spec = {key.replace("-", "_"): item for key, item in value.items()}
        at = {key.replace("-", "_"): item for key, item in keys.items()}
        draft, revision = spec.get("model"), spec.get("revision")
        if isinstance(draft, str) and draft not in _NO_DRAFT:
            place = Word(draft, at.get("model", word.at))
            yield from _draft(command, place, revision if isinstance(revision, str) else "")
            code = spec.get("code_revision")
            if isinstance(code, str) and command.line.flag("trust-remote-code"):
                yield from _code(command, place, Word(code, at.get("code_revision", word.at)))
    elif name == "default-mm-loras":
        for key, path in value.items():
            if isinstance(path, str):
                yield from command.load(Role.LORA, Word(path, keys.get(key, word.at)))
    if name in {"model-loader-extra-config", "speculative-config"}:
        for path, leaf in leaves(value):
            if isinstance(leaf, str) and leaf and path != ("model",):
                yield from _leaf(command, path[-1], Word(leaf, keys.get(path[0], word.at)))


def _leaf(command: _Command, key: str, word: Word) -> Iterator[Item]:
    """Give what a key of a loader's object means: `tensorizer_uri`, `tensorizer_dir`, a store's address."""
    if key == "s3_endpoint":
        url = word.text if "://" in word.text else f"https://{word.text}"
        yield command.spot.switch(SwitchName.HUB_ENDPOINT, url, command.start + word.at)
    elif "://" in word.text or word.text[:1] == "/":
        yield from command.load(Role.WEIGHTS, word)


def _draft(command: _Command, word: Word, revision: str) -> Iterator[Item]:
    """Give the draft model; a dotted name is a class that is imported (`_is_custom_proposer_path`)."""
    parts = word.text.split(".")
    if len(parts) > 1 and all(part.isidentifier() for part in parts):
        yield command.spot.switch(SwitchName.PLUGIN, word.text, command.start + word.at)
    else:
        yield from command.load(Role.DRAFT, word, revision)


def _file(command: _Command, role: Role, word: Word) -> Iterator[Item]:
    """Give a file of the container."""
    if not is_known(word.text):
        yield command.unresolvable(role, Unknown.VARIABLE, f"it is {readable(word.text)}", word)
        return
    try:
        yield command.spot.source(role, locations.path(word.text), command.start + word.at)
    except BadValueError as error:
        yield command.unresolvable(role, Unknown.BAD_VALUE, str(error), word)


def _is_inline(template: str) -> bool:
    """Tell a chat template from the path of one; a server tries it as a path first."""
    return any(mark in template for mark in ("{{", "{%", "{#", "\n"))
