"""Which of a server's models get rows, and under which names and ids. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar import patterns
from sidecar.contract import Alias, PodIdentity, ServedNames, Settings
from sidecar.reasons import Reason
from sidecar.servers.shapes import Model

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Named:
    """A model under one of its names in LiteLLM; `alias` is None for its own name."""

    model: Model
    name: str
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Naming:
    """Every name that is to be in LiteLLM, the served ids left out, and the aliases without a model."""

    named: tuple[Named, ...]
    left_out: tuple[str, ...] = ()
    unfit: Mapping[Alias, Reason] = field(default_factory=dict)


def naming(models: Iterable[Model], engine: str, settings: Settings, identity: PodIdentity) -> Naming:
    """Choose the models that get rows, and give each its name and its aliases."""
    models = tuple(models)
    kept = chosen(models, settings)
    ids = {model.id for model in kept}
    own = public_names(kept, engine, settings, identity)
    named = [Named(model, own[model.id]) for model in kept]
    unfit: dict[Alias, Reason] = {}
    for alias in settings.aliases:
        found = _aliased(alias, kept)
        if isinstance(found, Reason):
            unfit[alias] = found
        elif all((other.model, other.name) != (found, alias.name) for other in named):
            named.append(Named(found, alias.name, alias.name))
    left_out = tuple(model.id for model in models if model.id not in ids)
    return Naming(tuple(named), left_out, unfit)


def chosen(models: Iterable[Model], settings: Settings) -> tuple[Model, ...]:
    """Give the models that `include`, `exclude` and `served-names` let through.

    Names of one root are one model under several names (vLLM's --served-model-name); an adapter has a root
    of its own and a parent. The first name is the one the server lists first.
    """
    kept = [model for model in models if _let_through(model.id, settings)]
    if settings.served_names is ServedNames.FIRST:
        first: dict[str, Model] = {}
        for model in sorted(kept, key=lambda model: model.place):
            first.setdefault(_root(model), model)
        kept = [model for model in kept if first[_root(model)] is model]
    return tuple(kept)


def _let_through(served: str, settings: Settings) -> bool:
    include, exclude = settings.include, settings.exclude
    if include is not None and not patterns.found(include, served):
        return False
    # An id that is too long to be searched may be one of those to be left out.
    return exclude is None or (len(served) <= patterns.MAX_TEXT and not patterns.found(exclude, served))


def public_names(
    models: Iterable[Model], engine: str, settings: Settings, identity: PodIdentity
) -> dict[str, str]:
    """Give each of these models its own name in LiteLLM, by served id.

    `model_name` renames the one base model there is; adapters (which have a parent) keep their own names, and
    where there are several base models it renames none. A placeholder nobody knows stays as it is.
    """
    models = tuple(models)
    bases = [model.id for model in models if model.parent is None]
    renamed = {bases[0]: settings.model_name} if len(bases) == 1 and settings.model_name else {}
    known = {"namespace": identity.namespace, "pod": identity.pod, "engine": engine}

    def name(model: Model) -> str:
        values = {**known, "model": renamed.get(model.id, model.id)}
        # In one pass: a model called "{pod}" keeps its name.
        return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), settings.name_template)

    return {model.id: name(model) or model.id for model in models}


def _root(model: Model) -> str:
    """Give what two names of one model have in common; without a root, or with a parent, nothing."""
    return json.dumps([model.root] if model.root and model.parent is None else [model.id, model.parent])


def _aliased(alias: Alias, models: tuple[Model, ...]) -> Model | Reason:
    if alias.model is not None:
        found = [model for model in models if model.id == alias.model]
        return found[0] if found else Reason.ALIAS_WITHOUT_MODEL
    bases = [model for model in models if model.parent is None]
    if len(bases) == 1:
        return bases[0]
    return Reason.ALIAS_AMBIGUOUS if bases else Reason.ALIAS_WITHOUT_MODEL
