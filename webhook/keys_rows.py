"""The annotations that say which models get rows, and what is in the rows. Pure."""

from __future__ import annotations

from typing import Any, Final

from sidecar import patterns
from sidecar.contract import Alias, CloudModels, Override, Probing, ServedNames, WhenAsleep
from webhook import documents, row_objects, values
from webhook.documents import DocumentError, Fault
from webhook.key import Key
from webhook.litellm_keys import INFO, PARAMS
from webhook.reasons import shown

_PARAMS: Final = "litellm_params"
_INFO: Final = "model_info"
_MAX_ALIASES: Final = 20
_MAX_OVERRIDES: Final = 50
# Of all their patterns: about a second for an id that is met for the first time.
_MAX_STEPS: Final = 4 * patterns.MAX_STEPS
_ONE_MODEL: Final = "it describes one model"
_PATTERN: Final = "a regular expression; found anywhere in the id, `^` and `$` anchor it"
_DOCUMENT: Final = f"of up to {documents.MAX_TEXT} bytes, JSON or YAML"


def _pattern(text: str) -> str:
    if not text:
        raise ValueError("an empty one is found everywhere")
    return patterns.checked(text)


def _aliases(text: str) -> tuple[Alias, ...]:
    """Read `name, other=served-id`: each is one more name, of the one base model or of that id."""
    found = []
    for item in text.split(","):
        name, given, model = (part.strip() for part in item.partition("="))
        if not values.is_name(name) or (given and not values.is_name(model)):
            raise ValueError(f"{item.strip()!r} is neither a name nor name=served-id")
        found.append(Alias(name, model or None))
    if len(found) > _MAX_ALIASES or len({alias.name for alias in found}) < len(found):
        raise ValueError(f"up to {_MAX_ALIASES} names, each once")
    return tuple(found)


def _overrides(value: Any) -> tuple[Override, ...]:
    if not isinstance(value, list) or len(value) > _MAX_OVERRIDES:
        raise DocumentError([Fault((), f"found {shown(value)}, allowed is a list of up to {_MAX_OVERRIDES}")])
    found, faults = [], []
    for index, item in enumerate(value):
        try:
            found.append(Override(*row_objects.override(item, (index,))))
        except DocumentError as error:
            faults += error.found
        if len(faults) >= row_objects.MAX_FAULTS:
            break
    if not faults and sum(patterns.steps(override.match) for override in found) > _MAX_STEPS:
        faults.append(
            Fault((), "the patterns together are too slow: begin them with ^, or leave out repeats")
        )
    if faults:
        raise DocumentError(faults)
    return tuple(found)


def _single(field: str, name: str, default: str, meaning: str, *keys: str, not_default: str = "") -> Key:
    """Describe an annotation that fills keys of an object; by default the one that is called like it."""
    keys = keys or (name.replace("-", "_"),)
    kind = (PARAMS if field == _PARAMS else INFO)[keys[0]]
    return Key(
        name,
        kind.parse,
        kind.allowed,
        default,
        meaning,
        natural=kind.check,
        fills=field,
        keys=keys,
        not_default=not_default,
    )


ROW_KEYS: Final[tuple[Key, ...]] = (
    Key("include", _pattern, _PATTERN, "every model", "Only models with such an id get a row."),
    Key("exclude", _pattern, _PATTERN, "none", "Models with such an id get no row."),
    Key(
        "aliases",
        _aliases,
        f"up to {_MAX_ALIASES} of `name` and `name=served-id`, separated by commas",
        "none",
        "More names, each a row of its own: for the server's one base model, or for the model with that id.",
        not_default="names belong to one server",
    ),
    Key(
        "served-names",
        values.one_of(*ServedNames),
        "`all` or `first`",
        "`all`",
        "Which names of a model that its server knows by several get a row.",
    ),
    Key(
        "cloud-models",
        values.one_of(*CloudModels),
        "`skip` or `register`",
        "`skip`",
        "Models that an Ollama lists and does not run itself.",
    ),
    Key(
        "when-asleep",
        values.one_of(*WhenAsleep),
        "`block` or `route`",
        "`block`",
        "The rows of a server that sleeps: no requests until it is woken, or let a request wake it.",
    ),
    Key(
        "probe",
        values.one_of(*Probing),
        "`passive` or `active`",
        "`passive`",
        "`active` also asks an idle server for a few tokens, where only inference can tell what it can do.",
        fills="probing",
    ),
    _single(
        _INFO, "mode", "found by asking the server", "What the models are for, whatever the server says."
    ),
    Key(
        "overrides",
        lambda text: _overrides(documents.read(text)),
        f"a list of `{{match, model_info, litellm_params}}` {_DOCUMENT}",
        "none",
        "What is so for models whose id `match` is found in; all that match count, the last one most.",
        natural=_overrides,
    ),
    Key(
        "model-info",
        lambda text: row_objects.info(documents.read(text)),
        f"an object {_DOCUMENT}",
        "none",
        "Keys of `model_info`: LiteLLM's own are checked, others are yours.",
        natural=row_objects.info,
    ),
    Key(
        "litellm-params",
        lambda text: row_objects.params(documents.read(text)),
        f"an object {_DOCUMENT}, of the parameters listed in the README",
        "none",
        "Keys of `litellm_params`.",
        natural=row_objects.params,
    ),
    _single(_PARAMS, "rpm", "none", "Requests per minute."),
    _single(_PARAMS, "tpm", "none", "Tokens per minute."),
    _single(
        _PARAMS, "weight", "`1`", "This row's share among the rows of its name: 2 gets twice as many as 1."
    ),
    _single(_PARAMS, "order", "none", "Rows of a lower order are asked first."),
    _single(_PARAMS, "max-parallel-requests", "none", "How many requests LiteLLM sends at once."),
    _single(_PARAMS, "timeout", "LiteLLM's", "How long LiteLLM waits for an answer."),
    _single(_PARAMS, "stream-timeout", "LiteLLM's", "The same for streams."),
    _single(_PARAMS, "input-cost-per-token", "none", "Price of a token that is sent."),
    _single(_PARAMS, "output-cost-per-token", "none", "Price of a token that is answered."),
    _single(_PARAMS, "tags", "none", "Tags for LiteLLM's tag routing."),
    _single(_INFO, "access-groups", "none", "LiteLLM's access groups of the models."),
    _single(_INFO, "team-id", "none", "The team the models belong to (a paid feature of LiteLLM)."),
    _single(
        _INFO,
        "max-tokens",
        "the served context length",
        "The longest answer.",
        "max_tokens",
        "max_output_tokens",
    ),
    _single(_INFO, "category", "none", "What kind of model it is, for people and portals."),
    _single(_INFO, "display-name", "none", "What people and portals call it.", not_default=_ONE_MODEL),
    _single(_INFO, "description", "none", "What it is good for, in a sentence.", not_default=_ONE_MODEL),
)
