"""What SGLang, TGI and KServe's huggingfaceserver load, by command line and variables.

The tables are those of `webhook.sources.openai`, with its sources. Variables: TGI's (`launcher/src/main.rs`:
MODEL_ID, REVISION, TRUST_REMOTE_CODE, ...), SGLANG_USE_MODELSCOPE and SGLANG_EXTERNAL_MODEL_PACKAGE. A server
that names no model has one of its own: TGI's is `bigscience/bloom-560m`, KServe's lies in /mnt/models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from webhook.sources import locations, openai
from webhook.sources.argv import Call
from webhook.sources.container import Reading
from webhook.sources.found import Item, Role, Switch, SwitchName, Unknown
from webhook.sources.said import Said, Told
from webhook.sources.spot import Spot
from webhook.sources.text import is_known, readable

_TGI_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("MODEL_ID",),
    "revision": ("REVISION",),
    "trust-remote-code": ("TRUST_REMOTE_CODE",),
    "tokenizer": ("TOKENIZER_CONFIG_PATH",),
    "lora-list": ("LORA_ADAPTERS",),
    "tensor-parallel": ("NUM_SHARD",),
}
_SGLANG_PACKAGE: Final = "SGLANG_EXTERNAL_MODEL_PACKAGE"
_TGI_MODEL: Final = "bigscience/bloom-560m"
_KSERVE_MODEL: Final = "/mnt/models"
_MAX_JSON: Final = 65536


def sglang(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what SGLang loads."""
    spot = Spot(reading, call)
    said = Said(spot, start, openai.SGLANG)
    yield from said.common()
    modelscope = call.env.get("SGLANG_USE_MODELSCOPE", "").lower() in {"1", "true"}
    scheme = locations.MODELSCOPE if modelscope else locations.HUB
    revision = said.text("revision")
    yield from said.source(Role.MODEL, "model", revision, scheme)
    if not said.all("model") and not said.all("config"):
        words = call.words[start:]
        if words and words[0][:1] != "-":
            # Newer versions take it without an option's name.
            yield from said.model(Role.MODEL, Told(words[0], reading.place(call, start)), revision, scheme)
    yield from said.source(Role.TOKENIZER, "tokenizer", revision, scheme)
    yield from said.source(Role.DRAFT, "draft", said.text("draft-revision"), scheme)
    yield from said.source(Role.WEIGHTS, "token-map", "", scheme)
    yield from said.source(Role.WEIGHTS, "restore", "", scheme)
    yield from _loras(said, "lora-paths", scheme)
    yield from said.on(SwitchName.TRUST_REMOTE_CODE, "trust-remote-code")
    yield from said.on(SwitchName.PLUGIN, "enable-custom-logit-processor")
    yield from said.switch(SwitchName.PLUGIN, "plugins")
    yield from said.switch(SwitchName.PLUGIN, "hooks")
    if package := call.env.get(_SGLANG_PACKAGE):
        yield Switch(SwitchName.PLUGIN, readable(package), spot.set_at(_SGLANG_PACKAGE), said.name)
    yield from said.parallel()


def tgi(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what `text-generation-launcher` loads."""
    said = Said(Spot(reading, call), start, openai.TGI, _TGI_VARIABLES)
    yield from said.common()
    revision = said.text("revision")
    model = said.last("model") or Told(_TGI_MODEL, said.spot.reading.place(call, 0))
    yield from said.model(Role.MODEL, model, revision)
    for value in said.all("tokenizer"):
        yield from said.file(Role.TOKENIZER, value)
    for value in said.all("lora-list"):
        for part in said.parts(Role.LORA, value):
            if isinstance(part, Told):
                name, equals, path = part.text.partition("=")
                text, _, pinned = (path if equals else name).partition("@")
                yield from said.model(Role.LORA, Told(text.strip(), part.path), pinned)
            else:
                yield part
    yield from said.on(SwitchName.TRUST_REMOTE_CODE, "trust-remote-code")
    yield from said.switch(SwitchName.TENSOR_PARALLEL, "tensor-parallel")


def huggingfaceserver(reading: Reading, call: Call, start: int) -> Iterator[Item]:
    """Give what KServe's `python -m huggingfaceserver` loads: by id, else from a directory or URI."""
    said = Said(Spot(reading, call), start, openai.HUGGINGFACESERVER)
    yield from said.common()
    revision = said.text("revision")
    model = (
        said.last("model") or said.last("directory") or Told(_KSERVE_MODEL, said.spot.reading.place(call, 0))
    )
    yield from said.model(Role.MODEL, model, revision)
    yield from said.source(Role.TOKENIZER, "tokenizer", said.text("tokenizer-revision"))
    for value in said.all("draft"):
        draft = _object(value.text)
        if draft is None or not is_known(value.text):
            detail = f"the draft's configuration is {readable(value.text)[:80]}"
            yield said.unresolvable(Role.DRAFT, Unknown.BAD_VALUE, detail, value.path)
        elif isinstance(text := draft.get("model"), str):
            pinned = draft.get("revision")
            told = Told(text, value.path)
            yield from said.model(Role.DRAFT, told, pinned if isinstance(pinned, str) else "")
    yield from _loras(said, "lora-modules", locations.HUB)
    yield from said.on(SwitchName.TRUST_REMOTE_CODE, "trust-remote-code")
    yield from said.switch(SwitchName.PLUGIN, "plugin")
    yield from said.switch(SwitchName.MEDIA_PATH, "media")
    yield from said.parallel()


def _loras(said: Said, name: str, scheme: str) -> Iterator[Item]:
    """Give adapters: `name=path`, a path alone, or JSON with `path` (vLLM) or `lora_path` (SGLang)."""
    for value in said.all(name):
        text = value.text
        if text[:1] == "{":
            told = _object(text) or {}
            path = told.get("path") or told.get("lora_path")
            if not isinstance(path, str):
                detail = f"an adapter is {readable(text)[:80]}"
                yield said.unresolvable(Role.LORA, Unknown.BAD_VALUE, detail, value.path)
                continue
            text = path
        elif "=" in text:
            text = text.partition("=")[2]
        yield from said.model(Role.LORA, Told(text, value.path), scheme=scheme)


def _object(text: str) -> dict[str, Any] | None:
    if len(text) > _MAX_JSON:
        return None
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
