"""One layer of settings by name (annotations, what is carried, defaults), read by the one table. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sidecar.contract import DOMAIN, LABEL_CARRIED, LABEL_INJECT, LABEL_SERVER
from webhook import documents
from webhook.documents import DocumentError, Path
from webhook.key import Key
from webhook.keys_pod import POD_KEYS
from webhook.keys_rows import ROW_KEYS
from webhook.reasons import Reason, shown

PREFIX: Final = f"{DOMAIN}/"
TABLE: Final = (*POD_KEYS, *ROW_KEYS)

_LABELS: Final = frozenset({LABEL_SERVER, LABEL_INJECT, LABEL_CARRIED})
_BY_NAME: Final = {key.name: key for key in TABLE}
# More mistakes than these are not worth the time of an admission request.
MAX_MISTAKES: Final = 20
_MAX_KEY: Final = 63


class Mistake(NamedTuple):
    """What is wrong with one setting; `path` leads into its value."""

    name: str
    reason: Reason
    message: str
    path: Path = ()


def read(given: Mapping[str, Any], *, defaults: bool = False) -> tuple[dict[str, Any], list[Mistake]]:
    """Give the typed values by their field of `Wishes`, and what is wrong; a wrong setting counts as unsaid.

    Annotations are texts. In a file of `defaults` numbers, lists and objects may be written as such, and what
    describes a single server has no place.
    """
    typed: dict[str, Any] = {}
    singles: list[tuple[Key, Any]] = []
    mistakes: list[Mistake] = []
    for name, value in given.items():
        key = _BY_NAME.get(name)
        if key is None and len(mistakes) >= MAX_MISTAKES:
            continue
        if key is None:
            mistakes.append(Mistake(name, Reason.UNKNOWN_ANNOTATION, _unknown(name, defaults=defaults)))
        elif defaults and key.not_default:
            message = f"there is no default of it, {key.not_default}: annotate the workload or the pod"
            mistakes.append(Mistake(name, Reason.BAD_ANNOTATION, message))
        else:
            try:
                found = _typed(key, value, natural=defaults)
            except DocumentError as error:
                mistakes += _faults(name, error)
            except ValueError as error:
                mistakes.append(Mistake(name, Reason.BAD_ANNOTATION, _bad(key, value, error)))
            else:
                if key.keys:
                    singles.append((key, found))
                else:
                    typed[key.field] = found
    for key, found in singles:
        mistakes += _merge(key, found, typed)
    return typed, mistakes


def _typed(key: Key, value: Any, *, natural: bool) -> Any:
    if isinstance(value, str):
        documents.check_size(value)
        return key.parse(value)
    if natural and isinstance(value, int | float) and not isinstance(value, bool):
        return key.parse(str(value))
    if natural and key.natural is not None and isinstance(value, list | dict):
        documents.check_size(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
        return key.natural(value)
    raise ValueError


def _faults(name: str, error: DocumentError) -> list[Mistake]:
    return [
        Mistake(name, Reason.BAD_ANNOTATION, f"{documents.place(name, path)}: {message}", path)
        for path, message in error.found
    ]


def _bad(key: Key, value: Any, error: ValueError) -> str:
    # What is wrong stands before what is allowed: the end of a long warning is cut off.
    detail = f"{error}; " if error.args else ""
    return f"found {shown(value)}, {detail}allowed is {key.allowed.replace('`', '')}"


def _merge(key: Key, found: Any, typed: dict[str, Any]) -> list[Mistake]:
    """Put a single annotation into the object that it fills. Saying two things at once is a mistake."""
    held = typed.setdefault(key.field, {})
    mistakes = []
    for name in key.keys:
        if name in held and held[name] != found:
            whole = key.field.replace("_", "-")
            message = f"found {shown(found)}, but {whole} says {name}: {shown(held[name])}; say it once"
            mistakes.append(Mistake(key.name, Reason.BAD_ANNOTATION, message))
    typed[key.field] = {**held, **dict.fromkeys(key.keys, found)}
    return mistakes


def _unknown(name: str, *, defaults: bool) -> str:
    prefix = "" if defaults else PREFIX
    if name.removeprefix(PREFIX) in _BY_NAME:
        return f"it is written without its domain here: {name.removeprefix(PREFIX)}"
    if PREFIX + name in _LABELS:
        return f"{PREFIX}{name} is a label, not an annotation"
    # Who writes `model` means model-name, not mode.
    longer = [known for known in _BY_NAME if known.startswith(f"{name}-")]
    near = longer or difflib.get_close_matches(name[:_MAX_KEY].replace("_", "-").lower(), _BY_NAME, n=1)
    if near:
        return f"no such annotation; did you mean {prefix}{near[0]}?"
    return f"no such annotation; there are {', '.join(_BY_NAME)}"
