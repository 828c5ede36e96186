"""Where the processes call the Kubernetes API, found in their code: so, what rights they need."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from webhook.check.cluster import COLLECTIONS

WEBHOOK: Final = Path(__file__).parents[2] / "webhook"
# The verb of each method of webhook.kube.api.Api (kubernetes.io, "Authorization Overview", request verbs).
VERBS: Final = {
    "get": "get",
    "list": "list",
    "pages": "list",
    "watch": "watch",
    "create": "create",
    "rehearse": "create",
    "replace": "update",
    "patch": "patch",
    "merge": "patch",
    "strategic": "patch",
    "delete": "delete",
}
# What follows, leads and tells for others; what it calls is about the objects that it is made for.
TOOLS: Final = {"Followed": "follow", "Collection": "collection", "Leader": "leader", "Events": "events"}
# Of these verbs a right cannot be limited to names: there is none yet, or there are many.
_NAMELESS: Final = {"create", "list"}

Site = tuple[str, str]


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one kind, for an account; namespace "" is the whole cluster, name "" every name."""

    account: str
    namespace: str
    group: str
    resource: str
    name: str
    verb: str


@dataclass(frozen=True)
class About:
    """What a call is about: objects, who makes it, and the value (see `conditions`) that it is made with."""

    account: str
    group: str
    resource: str
    name: str = ""
    namespace: str = ""
    only_with: str = ""


@functools.cache
def sites() -> dict[Site, set[str]]:
    """Give each place in the code that calls the API, by module and callee, with the verbs that it needs."""
    tools = {tool: _verbs(WEBHOOK / "kube" / f"{module}.py") for tool, module in TOOLS.items()}
    skipped = {WEBHOOK / "kube" / f"{module}.py" for module in ("api", *TOOLS.values())}
    found: dict[Site, set[str]] = {}
    for file in sorted(WEBHOOK.rglob("*.py")):
        if file in skipped:
            continue
        module = str(file.relative_to(WEBHOOK).with_suffix(""))
        for callee in _callees(file):
            found[module, callee] = tools[callee] if callee in tools else {VERBS[callee]}
    return found


def _verbs(file: Path) -> set[str]:
    return {VERBS[callee] for callee in _callees(file) if callee in VERBS}


def _callees(file: Path) -> Iterator[str]:
    """Name the methods of an Api that are called in a file, and the tools that are made there."""
    tree = ast.parse(file.read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("webhook.kube.")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(value=ast.Name(id="api") | ast.Attribute(attr="_api"), attr=method):
                if method in VERBS:
                    yield method
            case ast.Name(id=name) if name in TOOLS and name in imported:
                yield name


def rights(verbs: set[str], about: About) -> Iterator[Right]:
    """Give the rights that a place needs for what it is about."""
    whole = Right(about.account, about.namespace, about.group, about.resource, about.name, "")
    for verb in verbs:
        yield replace(whole, verb=verb, name="" if verb in _NAMELESS else about.name)


def workloads() -> Sequence[tuple[str, str]]:
    """Give group and plural of everything that `check --cluster`, and the webhook's leader, judge."""
    return [(each.base.removeprefix("/apis/").partition("/")[0], each.plural) for each in COLLECTIONS]


def needed(table: Mapping[Site, Sequence[About]], given: set[str]) -> set[Right]:
    """Give all rights that the code needs, where these conditions hold."""
    return {
        right
        for site, verbs in sites().items()
        for about in table[site]
        if not about.only_with or about.only_with in given
        for right in rights(verbs, about)
    }
