"""Objects that owners write of a row: `model_info`, `litellm_params`, overrides of both. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from sidecar import patterns
from webhook.documents import DocumentError, Fault, Path
from webhook.kinds import FLAG, Kind
from webhook.litellm_keys import (
    INFO,
    LITELLMS,
    OWN_KEY,
    PARAMS,
    REFUSED_INFO,
    REFUSED_PARAMS,
    SENT,
    SUPPORTS,
)
from webhook.near import Names
from webhook.reasons import shown

# More are not worth the time of an admission request.
MAX_FAULTS: Final = 20
_MAX_KEY: Final = 253
OVERRIDE_KEYS: Final = ("match", "model_info", "litellm_params")
_NEAR_INFO: Final = Names((*INFO, *REFUSED_INFO))


def params(value: Any, path: Path = ()) -> dict[str, Any]:
    """Check an object of `litellm_params`. Raises DocumentError with everything that is wrong."""
    return _checked(value, path, _param_faults)


def info(value: Any, path: Path = ()) -> dict[str, Any]:
    """Check an object of `model_info`. Raises DocumentError with everything that is wrong."""
    return _checked(value, path, _info_faults)


def override(value: Any, path: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Check one of `overrides`: give its pattern, `model_info` and `litellm_params`. Raises DocumentError."""
    if not isinstance(value, dict):
        raise DocumentError([Fault(path, f"found {shown(value)}, allowed is an object of {_listed()}")])
    faults = [
        Fault((*path, key), _unknown(key, OVERRIDE_KEYS, f"allowed are {_listed()}"))
        for key in value
        if key not in OVERRIDE_KEYS
    ]
    match = value.get("match")
    if not isinstance(match, str):
        faults.append(Fault((*path, "match"), f"found {shown(match)}, needed is a regular expression"))
    else:
        try:
            patterns.checked(match)
        except ValueError as error:
            faults.append(Fault((*path, "match"), str(error)))
    for key, find in (("model_info", _info_faults), ("litellm_params", _param_faults)):
        if key in value:
            faults += islice(find(value[key], (*path, key)), MAX_FAULTS)
    if len(value.keys() & {"model_info", "litellm_params"}) == 0:
        faults.append(Fault(path, "says nothing: model_info, litellm_params or both are needed"))
    if faults:
        raise DocumentError(faults)
    return str(match), value.get("model_info", {}), value.get("litellm_params", {})


def _listed() -> str:
    return ", ".join(OVERRIDE_KEYS)


def _checked(value: Any, path: Path, find: Callable[[Any, Path], Iterable[Fault]]) -> dict[str, Any]:
    if faults := list(islice(find(value, path), MAX_FAULTS)):
        raise DocumentError(faults)
    return dict(value)


def _param_faults(value: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(path, f"found {shown(value)}, allowed is an object")
        return
    for key, found in value.items():
        here = (*path, key)
        if key in PARAMS:
            yield from _of(PARAMS[key], found, here)
        elif key in REFUSED_PARAMS:
            yield Fault(here, REFUSED_PARAMS[key])
        elif key in INFO:
            yield Fault(here, "it belongs in model_info")
        else:
            yield Fault(here, _unknown(key, PARAMS, f"{SENT}; the README lists what is allowed"))


def _info_faults(value: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(path, f"found {shown(value)}, allowed is an object")
        return
    for key, found in value.items():
        here = (*path, key)
        if key in INFO:
            yield from _of(INFO[key], found, here)
        elif key in REFUSED_INFO:
            yield Fault(here, REFUSED_INFO[key])
        elif key in PARAMS or "_cost" in key or "cost_per_" in key:
            yield Fault(here, "LiteLLM drops it here: it belongs in litellm_params")
        elif not 0 < len(key) <= _MAX_KEY or not key.isprintable():
            yield Fault(here, f"a key is 1 to {_MAX_KEY} printable characters")
        elif near := _NEAR_INFO.nearest(key):
            yield Fault(here, f"did you mean {near}?")
        elif key.startswith(SUPPORTS):
            yield from _of(FLAG, found, here)
        elif why := not_own(key, found):
            yield Fault(here, why)


def not_own(key: str, value: Any) -> str:
    """Tell why an unknown key of `model_info` cannot be the owner's own; empty if it can."""
    if key.startswith(LITELLMS):
        return "unknown, and keys that begin so are LiteLLM's"
    items = value if isinstance(value, list) else [value]
    if not OWN_KEY.fullmatch(key) and any(isinstance(item, dict | list) for item in items):
        return "unknown; an object of your own needs a key with a -, . or / in it, like example.com/contact"
    return ""


def _of(kind: Kind, value: Any, path: Path) -> Iterator[Fault]:
    if value is not None and not kind.takes(value):  # null takes back what is said farther away
        yield Fault(path, f"found {shown(value)}, allowed is {kind.allowed.replace('`', '')}")


def _unknown(key: str, known: Iterable[str], otherwise: str) -> str:
    near = difflib.get_close_matches(key[:_MAX_KEY].replace("-", "_").lower(), known, n=1)
    return f"unknown, did you mean {near[0]}?" if near else f"unknown; {otherwise}"
