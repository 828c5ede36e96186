"""The names file: YAML of a closed schema to Names, or everything that is wrong with it. Pure.

apiVersion: names.litellm-registrar.io/v1
kind: ModelNames
spec:
  namespaces:
  - match: "*"
    allow: ["{namespace}/*"]
  - {match: team-a, allow: ["qwen-*"], share: [gpt-4o], hosts: [llm.team-a.example], teams: [team-a]}
  - {match: gpu-nodes, hostNetwork: true}
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sidecar.contract import DOMAIN
from webhook import values
from webhook.broker.names import NAMESPACE, Entry, Grant, Names
from webhook.config import Sheet
from webhook.documents import DocumentError, Fault, Path
from webhook.near import AMONG_FEW
from webhook.near import Names as Known
from webhook.policy.kinds import Flag, each, refused, texts
from webhook.reasons import shown

API_VERSION: Final = f"names.{DOMAIN}/v1"
KIND: Final = "ModelNames"

_NAMES: Final = "a list of names, in which `*` stands for any characters"
_MATCH: Final = "the name of a namespace, in which `*` stands for any characters"
_HOSTS: Final = "a list of DNS names and IP addresses"
_TEAMS: Final = "a list of ids of LiteLLM's teams"
_NAMESPACES: Final = re.compile(r"[a-z0-9*-]{1,63}")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_NEAR: Final = Known((NAMESPACE.strip("{}"),), shortest=AMONG_FEW)
_MAX_NAME: Final = 253

T = TypeVar("T")


def parse(text: str) -> Names:
    """Read a names file. Raises ConfigError with everything that is wrong, each with its path and line."""
    sheet = Sheet(text)
    top = sheet.object(sheet.value, (), ("apiVersion", "kind", "spec"))
    for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if top.get(key) != wanted:
            sheet.problem((key,), f"found {shown(top.get(key))}, allowed is {wanted}")
    spec = sheet.object(top.get("spec"), ("spec",), ("namespaces",))
    path: Path = ("spec", "namespaces")
    items = sheet.items(spec.get("namespaces"), path)
    entries = [_entry(sheet, item, (*path, index)) for index, item in enumerate(items)]
    for index, entry in enumerate(entries):
        if entry.match and entry.match in [other.match for other in entries[:index]]:
            sheet.problem((*path, index, "match"), f"{shown(entry.match)} is there twice")
    sheet.done()
    return Names(tuple(entries))


def doubts(names: Names) -> list[str]:
    """Say what is allowed to stand in the file, and its author probably did not mean."""
    found = []
    for entry in names.entries:
        whom = "every namespace" if entry.match == "*" else f"namespace {entry.match}"
        if "*" in entry.grant.share:
            found.append(f"{whom} may take a share of the requests to any name")
        if entry.match == "*" and entry.grant.host_network:
            found.append("every namespace may register pods with the address of their node")
        if entry.grant.allow == ():
            found.append(f"{whom} is given no name by this entry, and needs another to use any")
    return found


def _entry(sheet: Sheet, item: Any, path: Path) -> Entry:
    found = sheet.object(item, path, tuple(_READERS))
    if isinstance(item, dict) and "match" not in item:
        sheet.problem(path, "match must be there")
    elif isinstance(item, dict) and len(item) == 1:
        sheet.problem(path, "says nothing of these namespaces")

    def read(key: str, absent: T) -> T:
        if key not in found:
            return absent
        value = sheet.taken(_READERS[key], found[key], (*path, key))
        return absent if value is None else value

    grant = Grant(
        allow=read("allow", None),
        share=read("share", ()),
        hosts=frozenset(read("hosts", ())),
        host_network=read("hostNetwork", absent=False),
        teams=frozenset(read("teams", ())),
    )
    return Entry(read("match", ""), grant)


def _match(value: Any) -> str:
    if not isinstance(value, str) or not _NAMESPACES.fullmatch(value):
        raise refused(value, _MATCH)
    return value


def _patterns(value: Any) -> tuple[str, ...]:
    return tuple(each(enumerate(texts(value, _NAMES)), _pattern))


def _pattern(text: str) -> str:
    if len(text) > _MAX_NAME:
        raise _fault(f"found {shown(text)}, allowed are up to {_MAX_NAME} characters")
    for placeholder in _PLACEHOLDER.findall(text):
        if f"{{{placeholder}}}" != NAMESPACE:
            near = (
                f"did you mean {NAMESPACE}?" if _NEAR.nearest(placeholder) else f"there is only {NAMESPACE}"
            )
            raise _fault(f"{shown(text)}: unknown {{{placeholder}}}, {near}")
    if set("{}").intersection(_PLACEHOLDER.sub("", text)):
        raise _fault(f"{shown(text)}: a brace that belongs to no placeholder")
    return text


def _hosts(value: Any) -> tuple[str, ...]:
    return tuple(each(enumerate(texts(value, _HOSTS)), _host))


def _host(text: str) -> str:
    try:
        return values.host(text).lower()
    except ValueError:
        raise _fault(f"found {shown(text)}, allowed is a DNS name or an IP address") from None


def _fault(message: str) -> DocumentError:
    return DocumentError([Fault((), message)])


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "match": _match,
    "allow": _patterns,
    "share": _patterns,
    "hosts": _hosts,
    "hostNetwork": Flag().parse,
    "teams": lambda value: texts(value, _TEAMS),
}
