"""Which rows of LiteLLM are not as they should be. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.row_contract import OWNER_KEY

JSON = dict[str, Any]
_BLOCK: Final = ("cluster", "namespace", "pod", "pod_uid")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row as it should be: `block` is whose it is, `length` the context of its model in tokens."""

    name: str
    api_base: str
    block: Mapping[str, str]
    length: int
    blocked: bool = False


def wrong(
    wanted: Mapping[str, Wanted], stored: Mapping[str, str], shown: Sequence[Mapping[str, JSON]]
) -> list[str]:
    """Name each row that is missing, that nobody wants, or that says what is not so.

    `stored` are the rows of the database, as it writes them, without foreign ones, by id; `shown` is what
    each replica of LiteLLM shows of all its rows.
    """
    found = [f"{key} is not in the database: {wanted[key].name}" for key in wanted.keys() - stored.keys()]
    found += [f"{key} is nobody's: {_whose(stored[key])}" for key in stored.keys() - wanted.keys()]
    for key in wanted.keys() & stored.keys():
        found += [f"{key} in the database: {what}" for what in _stored(wanted[key], json.loads(stored[key]))]
        for replica, rows in enumerate(shown):
            found += [f"{key} on replica {replica}: {what}" for what in _shown(wanted[key], rows.get(key))]
    for replica, rows in enumerate(shown):
        ghosts = sorted(rows.keys() - stored.keys())
        found += [f"{key} on replica {replica} is in no database" for key in ghosts]
    return sorted(found)


def _whose(row: str) -> str:
    found = json.loads(row)
    return f"{found['model_name']} of {found['model_info'].get(OWNER_KEY)}"


def _stored(wanted: Wanted, row: JSON) -> Iterator[str]:
    if row["model_name"] != wanted.name:
        yield f"called {row['model_name']}, not {wanted.name}"
    if bool(row.get("blocked")) is not wanted.blocked:
        yield f"blocked is {row.get('blocked')}"
    info = row["model_info"]
    block = {name: info.get(OWNER_KEY, {}).get(name) for name in _BLOCK}
    if block != wanted.block:
        yield f"is said to be of {block}"
    if info.get("max_input_tokens") != wanted.length:
        yield f"max_input_tokens is {info.get('max_input_tokens')}, not {wanted.length}"


def _shown(wanted: Wanted, row: JSON | None) -> Iterator[str]:
    if row is None:
        yield "not there"
        return
    if row["litellm_params"].get("api_base") != wanted.api_base:
        yield f"leads to {row['litellm_params'].get('api_base')}, not {wanted.api_base}"
    if bool(row["model_info"].get("blocked")) is not wanted.blocked:
        yield f"blocked is {row['model_info'].get('blocked')}"
