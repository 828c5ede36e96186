"""vLLM's server: its command line, read as its own parser reads it, and what that says of where it serves.

From `vllm/utils/argparse_utils.py` (`FlexibleArgumentParser`) and `vllm/entrypoints/cli/serve.py` of
vLLM 0.32: before argparse sees the words, `vllm serve` moves `--model` to the front, underscores of option
names become dashes, `-O3` an option of its own, and `--a.b.c v` the object that JSON would spell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from webhook.sources.command_line import Line, Word, Words, parse
from webhook.sources.options import Serving
from webhook.sources.text import is_known, is_loose
from webhook.sources.vllm_options import SERVER

PORT: Final = 8000
_MODEL: Final = re.compile(r"--model=.")
# A line with a word that is written anew for argparse has this.
_REWRITTEN: Final = re.compile(r"^-(?:O|[^\n=]*[_.])", re.MULTILINE)
_LEVELS: Final = frozenset({"0", "1", "2", "3"})
# More words than anybody gives a server; what stands behind them is not read.
_MAX_WORDS: Final = 5000
# Deeper objects are none of vLLM's: further down the last one given counts whole.
_MAX_DEPTH: Final = 20


def line(words: Sequence[str], *, serve: bool) -> Line:
    """Read what stands behind `vllm serve`, or behind the module `vllm.entrypoints.openai.api_server`.

    `at` of each word counts in `words`. The model is the positional argument of `serve`; the module takes
    it from `--model` alone.
    """
    rest = len(words) - _MAX_WORDS
    if rest > 0:
        words = words[:_MAX_WORDS]
    joined = "\n".join(words)
    loose: list[Word] = []
    plain, moved = Words(words, range(len(words))), False
    if serve and "--model" in joined:
        plain, moved = _with_model_first(words)
    if _REWRITTEN.search(joined):
        plain, loose = _spelled(plain)
    found = parse(plain, SERVER)
    found.hidden.extend(loose)
    if rest > 0:
        found.hidden.append(Word(f"the rest, {rest} words,", _MAX_WORDS))
        found.open = True
    found.moved = moved
    return found


def model(found: Line, *, serve: bool) -> Word | None:
    """Give what names the model; None if nothing does, and vLLM takes its default."""
    if serve and found.positional is not None:
        return found.positional
    return found.value("model")


def read(words: Sequence[str], env: Mapping[str, str]) -> Serving:
    """Read what stands behind `vllm serve`."""
    return _serving(line(words, serve=True), env, serve=True)


def read_module(words: Sequence[str], env: Mapping[str, str]) -> Serving:
    """Read what stands behind `python -m vllm.entrypoints.openai.api_server`."""
    return _serving(line(words, serve=False), env, serve=False)


def read_image_env(words: Sequence[str], env: Mapping[str, str]) -> Serving:
    """Read what an image with an entrypoint of its own was given: vLLM's options, else names by variable."""
    serving = read(words, env)
    if serving.served_names:
        return serving
    name = env.get("SERVED_MODEL_NAME") or env.get("MODEL_NAME")
    return replace(serving, served_names=(name,)) if name else serving


def _serving(found: Line, env: Mapping[str, str], *, serve: bool) -> Serving:
    given = found.found
    names = tuple([word.text for word in found.values("served-model-name")])
    if not names and (named := model(found, serve=serve)) and found.sure:
        names = (named.text,)
    return Serving(
        port=found.text("port"),
        host=found.text("host"),
        unix_socket=found.text("uds"),
        tls=bool(found.text("ssl-keyfile") or found.text("ssl-certfile")),
        path=found.text("root-path") or "",
        served_names=names,
        api_key=found.text("api-key") or env.get("VLLM_API_KEY"),
        open=found.open or "config" in given,
        served="headless" not in given and "grpc" not in given,
    )


def _with_model_first(words: Sequence[str]) -> tuple[Words, bool]:
    """Move the first `--model` to the front, whatever stands before it; tell whether there was one."""
    order = list(range(len(words)))
    index = words.index("--model") if "--model" in words else len(words)
    joined = (i for i, word in enumerate(words[:index]) if word[:8] == "--model=" and _MODEL.match(word))
    index = next(joined, index)
    if index == len(words):
        return Words(words, order), False
    texts = list(words)
    if texts[index] != "--model":
        texts[: index + 1] = [texts[index].removeprefix("--model="), *texts[:index]]
        order[: index + 1] = [index, *order[:index]]
    elif index + 1 < len(texts):
        texts[: index + 2] = [texts[index + 1], *texts[:index]]
        order[: index + 2] = [index + 1, *order[:index]]
    return Words(texts, order), True


def _spelled(words: Words) -> tuple[Words, list[Word]]:
    """Give the words as argparse gets them, and those among objects that may bring further words."""
    texts: list[str] = []
    ats: list[int] = []
    dotted = False
    for index, (text, at) in enumerate(zip(words.texts, words.ats, strict=True)):
        taken = text
        if text[:2] == "--":
            name, equals, value = text.partition("=")
            head, dot, tail = name.partition(".")
            dotted |= bool(dot)
            taken = f"{head.replace('_', '-')}{dot}{tail}{equals}{value}"
        elif text[:2] == "-O" and text != "-O":
            texts.append("--optimization-level")
            ats.append(at)
            taken = text[3:] if text[2] == "=" else text[2:]
        elif text == "-O" and index + 1 < len(words.texts) and words.texts[index + 1] in _LEVELS:
            taken = "--optimization-level"
        elif text[:1] == "-":
            dotted |= "." in text.partition("=")[0]
        texts.append(taken)
        ats.append(at)
    return _objects(texts, ats) if dotted else (Words(texts, ats), [])


def _objects(texts: list[str], ats: list[int]) -> tuple[Words, list[Word]]:
    """Put each option of which parts are given with dots together as one object, behind all others."""
    kept: list[int] = []
    loose: list[Word] = []
    objects: dict[str, tuple[dict[str, Any], dict[str, int]]] = {}
    index = 0
    while index < len(texts):
        name, equals, text = texts[index].partition("=")
        at = ats[index]
        needed = 1 if equals else 2
        if name[:1] != "-" or "." not in name or not is_known(name) or index + needed > len(texts):
            kept.append(index)
            index += 1
            continue
        if not equals:
            text, at = texts[index + 1], ats[index + 1]
        index += needed
        if is_loose(text):
            loose.append(Word(text, at))
        value = text.split(",") if name[-1:] == "+" else _json(text)
        name, *path = name.removesuffix("+").split(".")
        tree, places = objects.setdefault(name, ({}, {}))
        places[path[0]] = at
        for key in reversed(path[1:_MAX_DEPTH]):
            value = {key: value}
        _merge(tree, {path[0]: value}, 0)
    keys: dict[int, Mapping[str, int]] = {}
    words = [texts[i] for i in kept]
    places_of = [ats[i] for i in kept]
    for name, (tree, places) in objects.items():
        last = max(places.values())
        keys[len(words) + 1] = places
        words += [name, json.dumps(tree)]
        places_of += [last, last]
    return Words(words, places_of, keys), loose


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _merge(into: dict[str, Any], update: Mapping[str, Any], depth: int) -> None:
    for key, value in update.items():
        old = into.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and depth < _MAX_DEPTH:
            _merge(old, value, depth + 1)
        elif isinstance(value, list) and isinstance(old, list):
            old.extend(value)
        else:
            into[key] = value
