"""What the variables of a container say of hubs, stores and secrets, whatever program reads them.

From `huggingface_hub/constants.py` (HF_ENDPOINT, HUGGINGFACE_CO_STAGING; the staging hub's address),
`modelscope/hub/constants.py` (MODELSCOPE_DOMAIN), AWS' "Service-specific endpoints", `vllm/envs.py` and
KServe's `storage` (S3_ENDPOINT_URL, S3_ENDPOINT), and the READMEs of images with an entrypoint of their own,
which take their model by variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from webhook.pods import objects
from webhook.sources import locations
from webhook.sources.argv import Call
from webhook.sources.container import Reading
from webhook.sources.found import (
    Backing,
    Item,
    Local,
    Location,
    Role,
    Source,
    Switch,
    SwitchName,
    Unknown,
    Unresolvable,
)
from webhook.sources.spot import Spot
from webhook.sources.text import is_known, readable

_HUB: Final = "HF_ENDPOINT"
_STAGING: Final = "HUGGINGFACE_CO_STAGING"
_STAGING_URL: Final = "https://hub-ci.huggingface.co"
_DOMAIN: Final = "MODELSCOPE_DOMAIN"
_ENDPOINTS: Final = frozenset(
    {
        *(_HUB, "HF_INFERENCE_ENDPOINT", _DOMAIN, "MODELSCOPE_ENDPOINT"),
        *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "S3_ENDPOINT_URL", "S3_ENDPOINT"),
        "RUNAI_STREAMER_S3_ENDPOINT",
        *("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", "RCLONE_S3_ENDPOINT", "MODEL_ENDPOINT"),
        *("STORAGE_EMULATOR_HOST", "AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_BLOB_ENDPOINT"),
    }
)
# Files that may say where stores are (AWS, "Service-specific endpoints"; rclone, "Global flags").
_FILES: Final = frozenset({"AWS_CONFIG_FILE", "RCLONE_CONFIG"})
_NAMED: Final = _ENDPOINTS | _FILES | {_STAGING}
# `huggingface_hub` takes these for yes.
_TRUE: Final = frozenset({"1", "on", "yes", "true"})

# The endings of names whose values are secrets.
_SECRETS: Final = (
    *("_TOKEN", "API_KEY", "APIKEY", "_SECRET", "SECRET_KEY", "ACCESS_KEY", "PRIVATE_KEY", "_SAS"),
    *("PASSWORD", "PASSWD", "_PASS", "CREDENTIALS", "_PAT"),
)
# Names with such an ending that hold none: switches, special tokens of tokenizers, files.
_NO_SECRETS: Final = re.compile(
    r"(?:BOS|EOS|PAD|UNK|SEP|CLS|MASK|STOP|IMAGE|AUDIO|VIDEO|SPECIAL|PER|DISABLE_IMPLICIT)_TOKEN$|SSH_AUTH_SOCK",
)
# Values that are none: nothing, a switch, a number, a path, a marker, what another injector fills in.
_NO_SECRET: Final = re.compile(
    r"(?i)|[01yn]|true|false|yes|no|none|null|empty|dummy|unused|not[-_ ]?(?:needed|required|used)"
    r"|sk-no-key-required|\d{1,6}|/[\w./-]+|<[^<>]*>|\[[^][]*\]|(?:vault|secretref|ref\+\w+|awssm|gcpsm|azkv):.+",
    re.ASCII | re.DOTALL,
)
# What is looked for among the variables that a command sets for itself.
_COMMON: Final = (
    *(
        *sorted(_ENDPOINTS | _FILES),
        _STAGING,
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HUGGINGFACEHUB_API_TOKEN",
    ),
    *(
        "HF_API_TOKEN",
        "MODELSCOPE_API_TOKEN",
        "VLLM_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "S3_SECRET_ACCESS_KEY",
    ),
)
_CACHES: Final = (
    *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "XDG_CACHE_HOME", "HOME"),
    *("VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "MODELSCOPE_CACHE"),
)
_CACHE: Final = "/.cache"
# The model of an image with an entrypoint of its own, best first.
_MODELS: Final = (
    *("HF_MODEL_ID", "MODEL_ID", "HF_MODEL", "MODEL_PATH", "MODEL_NAME", "MODEL", "SERVED_MODEL_NAME"),
)
_REVISIONS: Final = ("HF_MODEL_REVISION", "MODEL_REVISION", "REVISION")


def environment(reading: Reading) -> Iterator[Item]:
    """Give the endpoints and secrets among a container's variables, and those its commands set."""
    for name, value in reading.env.items():
        if name.endswith(_SECRETS) or name in _NAMED:
            yield from variable(Spot(reading, Call(reading.words, reading.env)), name, value)
    if "envFrom" in reading.container:
        yield from _unlisted(reading)
    known: Mapping[str, str] = reading.env
    for call in reading.calls:
        if call.env is known:
            continue
        spot = Spot(reading, call)
        for name in _COMMON:
            if name in call.env and call.env[name] != known.get(name):
                yield from variable(spot, name, call.env[name])
        known = call.env


def caches(reading: Reading) -> Iterator[Source]:
    """Give the folders in which a server looks for what was downloaded, or compiled, before it asks for it.

    `huggingface_hub/constants.py`, the documentation of vLLM's, Triton's and torch's caches.
    """
    for name in _CACHES:
        if (path := reading.env.get(name, "")) and is_known(path):
            yield _cache(path, reading.variable(name), reading)
    for index, mount in objects(reading.container.get("volumeMounts")):
        there = mount.get("mountPath")
        if isinstance(there, str) and _CACHE in there:
            yield _cache(there, f"{reading.path}.volumeMounts[{index}]", reading)


def _cache(path: str, place: str, reading: Reading) -> Source:
    local = Local(path, Backing.CONTAINER)
    return Source(Role.CACHE, Location("file", path), place, reading.name, local)


def models(reading: Reading) -> Iterator[Item]:
    """Give the model that a variable tells an image with an entrypoint of its own; for no other container."""
    name = next((name for name in _MODELS if reading.env.get(name)), None)
    if name is None:
        return
    revision = next((reading.env[r] for r in _REVISIONS if reading.env.get(r)), "")
    text, place = reading.env[name], reading.variable(name)
    yield from locations.items(Role.MODEL, text, place, reading.name, revision=revision)


def variable(spot: Spot, name: str, value: str) -> Iterator[Item]:
    """Give the endpoint or the secret that one variable of a command is."""
    if name in _ENDPOINTS:
        yield from _endpoint(spot, name, value)
    elif name in _FILES and value:
        detail = f"{name} may say where stores are"
        place, container = spot.set_at(name), spot.reading.name
        yield Unresolvable(SwitchName.HUB_ENDPOINT, Unknown.CONFIG_FILE, detail, place, container)
    elif name == _STAGING and value.lower() in _TRUE:
        yield Switch(SwitchName.HUB_ENDPOINT, _STAGING_URL, spot.set_at(name), spot.reading.name)
    elif name.endswith(_SECRETS) and is_secret(name, value):
        yield Switch(SwitchName.SECRET, name, spot.set_at(name), spot.reading.name)


def is_secret(name: str, value: str) -> bool:
    """Tell whether the value of a variable that is named like a secret is one, as plain text."""
    return is_known(value) and not _NO_SECRET.fullmatch(value[:200]) and not _NO_SECRETS.search(name)


def _endpoint(spot: Spot, name: str, value: str) -> Iterator[Item]:
    place, container = spot.set_at(name), spot.reading.name
    if not is_known(value):
        detail = f"it is {readable(value)}"
        yield Unresolvable(SwitchName.HUB_ENDPOINT, Unknown.VARIABLE, detail, place, container)
    elif value:
        url = value if "://" in value else f"https://{value}"
        yield Switch(SwitchName.HUB_ENDPOINT, url, place, container)


def _unlisted(reading: Reading) -> Iterator[Item]:
    """Say which envFrom may set HF_ENDPOINT: it would, unless env sets it or its prefix does not fit."""
    if _HUB in reading.env:
        return
    for index, entry in objects(reading.container["envFrom"]):
        prefix = entry.get("prefix")
        if isinstance(prefix, str) and not _HUB.startswith(prefix):
            continue
        detail = f"envFrom may set {_HUB}; env can settle it"
        place = f"{reading.path}.envFrom[{index}]"
        yield Unresolvable(SwitchName.HUB_ENDPOINT, Unknown.VARIABLE, detail, place, reading.name)
        return
