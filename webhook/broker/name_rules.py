"""Which names a row may have: one function a rule, each raises RefusedError. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Final

from sidecar.contract import LITELLM_REFERENCE
from webhook.broker.names import Grant
from webhook.broker.shapes import Holder, RefusedError, Rule
from webhook.reasons import shown
from webhook.values import is_name

# LiteLLM gives them a meaning where keys and teams list models (SpecialModelNames in
# litellm/proxy/_types.py, 1.106; `default` and `all` were such words in older ones).
_SPECIAL: Final = frozenset({"all-proxy-models", "all-team-models", "no-default-models", "default", "all"})
# LiteLLM takes the id of a row where a name is asked for (`has_model_id` in litellm/router.py): UUIDs, hashes
# of configured rows, ours. And by names of this beginning it keeps the rows of teams.
_ID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32,}|registrar-[0-9a-f]{24}-.*"
    r"|model_name_.*_[0-9a-f]{8}-.*",
    re.IGNORECASE | re.DOTALL,
)
# Scripts whose letters pass for Latin ones.
_ALIKE: Final = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU")


def plain(name: str) -> None:
    """Refuse what is no name of a model, or passes for another: patterns, ids, look-alikes."""
    why = ""
    if not is_name(name):
        why = "allowed are 1 to 253 printable characters, no blanks around them"
    elif "*" in name:
        why = "a name with * stands for every model that fits it"
    elif name.lower().startswith(LITELLM_REFERENCE):
        why = "it looks like the name of a secret of LiteLLM's"
    elif name.lower() in _SPECIAL:
        why = "the word means something else to LiteLLM"
    elif _ID.fullmatch(name):
        why = "it looks like the id of a row"
    elif unicodedata.normalize("NFKC", name) != name or _mixed(name):
        why = "it has letters that pass for others"
    if why:
        raise RefusedError(Rule.MODEL_NAME, f"model_name: found {shown(name)}, {why}")


def granted(name: str, namespace: str, grant: Grant) -> None:
    """Refuse a name that the names file does not give the namespace."""
    if not grant.allows(name):
        allowed = ", ".join((grant.allow or ()) + grant.share)
        message = f"model_name: found {shown(name)}, allowed in namespace {namespace} are {shown(allowed)}"
        raise RefusedError(Rule.NAME_NOT_ALLOWED, message)


def free(name: str, namespace: str, cluster: str, holders: Collection[Holder], grant: Grant) -> None:
    """Refuse a name that rows of elsewhere have: a share of its requests would come here."""
    if grant.shares(name) or all(holder == Holder(cluster, namespace) for holder in holders):
        return
    message = (
        f"model_name: requests for {shown(name)} reach rows that are not of namespace {namespace}, by their "
        "name or by one with `*`; another name is needed, or a line under `share` of the broker's names file"
    )
    raise RefusedError(Rule.NAME_TAKEN, message)


def free_model(model: str, serving: Collection[Holder], grant: Grant) -> None:
    """Refuse a `litellm_params.model` that rows of no registrar have too.

    LiteLLM takes requests by it where it is no row's name (`deployment_names` in
    litellm/proxy/route_llm_request.py, 1.106), and what one such row says of its model for all of them. Rows
    of registrars have it alike wherever the same model is served.
    """
    if not grant.shares(model) and any(not holder.namespace for holder in serving):
        message = (
            f"litellm_params.model: a row that is of no registrar has {shown(model)} too; another provider, "
            "or name at the server, is needed, or a line under `share` of the broker's names file"
        )
        raise RefusedError(Rule.NAME_TAKEN, message)


def _mixed(name: str) -> bool:
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in name if letter.isalpha()}
    return "LATIN" in scripts and not scripts.isdisjoint(_ALIKE)
