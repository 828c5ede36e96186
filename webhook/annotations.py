"""The annotations of our domain: one table that reads them, suggests the nearest key and renders the README.

Annotations stand on a pod, a pod template or a workload. What a workload carries to its template is the
JSON object of `carried`, one annotation; it holds the same keys without the domain.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sidecar.contract import (
    ANNOTATION_CARRIED_SETTINGS,
    ANNOTATION_INJECTED,
    DEFAULT_LITELLM_SECRET,
    DOMAIN,
    LABEL_CARRIED,
    LABEL_INJECT,
    LABEL_SERVER,
    LogFormat,
    Settings,
)
from webhook import values
from webhook.reasons import Problem, Reason, shown

PREFIX: Final = f"{DOMAIN}/"
# Provider prefixes of LiteLLM whose api_base the registrar knows how to write.
PROVIDERS: Final = ("hosted_vllm", "openai", "openai_like", "text-completion-openai", "ollama", "ollama_chat")

_OURS: Final = frozenset({ANNOTATION_CARRIED_SETTINGS, ANNOTATION_INJECTED})
_LABELS: Final = frozenset({LABEL_SERVER, LABEL_INJECT, LABEL_CARRIED})
# More mistakes than these are not worth the time of an admission request.
_MAX_PROBLEMS: Final = 20
_MAX_KEY: Final = 63


class PreStop(StrEnum):
    """What becomes of a preStop hook that the server container already has."""

    KEEP = "keep"
    REPLACE = "replace"


class InjectMode(StrEnum):
    """How the registrar stands in the pod: a native sidecar, or an ordinary container."""

    NATIVE = "native"
    CONTAINER = "container"


class Wishes(NamedTuple):
    """What the annotations say; None where they say nothing. Times in seconds."""

    container: str | None = None
    port: int | None = None
    scheme: str | None = None
    host: str | None = None
    path: str | None = None
    model_name: str | None = None
    name_template: str | None = None
    provider: str | None = None
    poll_interval: float | None = None
    propagation: float | None = None
    drain_timeout: float | None = None
    ready_timeout: float | None = None
    pre_stop: PreStop | None = None
    registrar_image: str | None = None
    litellm_secret: str | None = None
    log_format: LogFormat | None = None
    inject_mode: InjectMode | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """One annotation: how its text is read, and what people are told of it.

    `parse` gives the typed value or raises ValueError, with a sentence where `allowed` does not say it all.
    """

    name: str
    parse: Callable[[str], Any]
    allowed: str
    default: str
    meaning: str

    @property
    def field(self) -> str:
        """The field of `Wishes` it fills."""
        return self.name.replace("-", "_")


def _seconds(field: str) -> str:
    return f"`{_DEFAULTS[field]:g}s`"


_DEFAULTS: Final = {item.name: item.default for item in fields(Settings)}
_A_DURATION: Final = "like `30`, `30s`, `2m` or `500ms`"

TABLE: Final[tuple[Key, ...]] = (
    Key(
        "container",
        values.matching(values.DNS_LABEL),
        "name of a container of the pod",
        "found by image, command and ports",
        "Which container is the model server, when several could be.",
    ),
    Key(
        "port",
        values.port,
        "1 to 65535",
        "from the command line, the environment, the declared ports, or the engine's own",
        "Where the server listens.",
    ),
    Key(
        "scheme",
        values.one_of("http", "https"),
        "`http` or `https`",
        "`https` when the command line names a key or certificate file, else `http`",
        "How the server is spoken to; `https` needs `host`.",
    ),
    Key(
        "host",
        values.host,
        "a DNS name or an IP address",
        "the pod's IP",
        "What LiteLLM calls in place of the pod's IP; with TLS, a name its certificate holds.",
    ),
    Key(
        "path",
        values.path,
        "a URL path that begins with `/`",
        "from `--root-path`, else none",
        "Prefix before `/v1` in every URL of the server.",
    ),
    Key(
        "model-name",
        values.model_name,
        "1 to 253 printable characters",
        "the name the server gives its model",
        "Name in LiteLLM of the server's one model; of several none is renamed, and no adapter.",
    ),
    Key(
        "name-template",
        values.name_template,
        "text with `{model}`, and `{namespace}`, `{pod}`, `{engine}` if wanted",
        f"`{_DEFAULTS['name_template']}`",
        "Name in LiteLLM of every model of this server.",
    ),
    Key(
        "provider",
        values.one_of(*PROVIDERS),
        ", ".join(f"`{name}`" for name in PROVIDERS),
        "`hosted_vllm`; for Ollama `openai`",
        "LiteLLM's provider prefix for this server's models.",
    ),
    Key(
        "poll-interval",
        values.between(1, 600),
        f"1s to 10m, {_A_DURATION}",
        _seconds("poll_interval"),
        "How often the server is asked while it serves.",
    ),
    Key(
        "propagation",
        values.between(0, 600),
        f"0s to 10m, {_A_DURATION}",
        _seconds("propagation"),
        "How long at least a drain waits until no LiteLLM replica sends requests any more.",
    ),
    Key(
        "drain-timeout",
        values.between(0, 3600),
        f"0s to 1h, {_A_DURATION}",
        _seconds("drain_timeout"),
        "How long a drain waits, after that, for requests in flight.",
    ),
    Key(
        "ready-timeout",
        values.between(0, 3600),
        f"0s to 1h, {_A_DURATION}",
        _seconds("ready_timeout"),
        "After how long the pod becomes ready even though nothing could be registered.",
    ),
    Key(
        "pre-stop",
        values.one_of(*PreStop),
        "`keep` or `replace`",
        "`keep`",
        "What becomes of the server's own preStop hook; with `keep` the drain does not hold its SIGTERM.",
    ),
    Key(
        "registrar-image",
        values.matching(values.IMAGE),
        "an image reference",
        "the webhook's `--registrar-image`",
        "Image of the registrar in this pod.",
    ),
    Key(
        "litellm-secret",
        values.matching(values.DNS_NAME),
        "name of a Secret in the pod's namespace",
        f"the webhook's `--litellm-secret` (`{DEFAULT_LITELLM_SECRET}`)",
        "Secret with LiteLLM's `url` and `key`, and `ca.crt` if it needs one.",
    ),
    Key(
        "log-format",
        values.one_of(*LogFormat),
        "`text` or `json`",
        "`text`",
        "How the registrar writes its log.",
    ),
    Key(
        "inject-mode",
        values.one_of(*InjectMode),
        "`native` or `container`",
        "the webhook's `--inject-mode`",
        "The registrar as a native sidecar (Kubernetes 1.29 or newer), or as an ordinary container.",
    ),
)
_BY_NAME: Final = {key.name: key for key in TABLE}


def settings(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings among annotations, by name without the domain, unread.

    The webhook's own notes (what was carried, what was injected) are no settings.
    """
    return {
        name[len(PREFIX) :]: value
        for name, value in annotations.items()
        if name.startswith(PREFIX) and name not in _OURS
    }


def carried(annotations: Mapping[str, Any]) -> str:
    """Give the value of `carried-settings` for a template whose workload has these annotations."""
    return json.dumps(settings(annotations), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read(annotations: Mapping[str, Any], path: str) -> tuple[Wishes, tuple[Problem, ...]]:
    """Read the annotations found at `path`; what is carried beside them counts where they say nothing.

    A key of our domain that is unknown, or has a bad value, is a problem and otherwise ignored; of very
    many problems only the first are told.
    """
    own = settings(annotations)
    text = annotations.get(ANNOTATION_CARRIED_SETTINGS)
    if not own and text is None:
        return Wishes(), ()
    problems: list[Problem] = []
    typed: dict[str, Any] = {}
    if text is not None:
        where = f"{path}[{ANNOTATION_CARRIED_SETTINGS}]"
        for name, value in _from_carried(text, where, problems).items():
            _read_one(name, value, f"{where}.{name}", typed, problems)
    for name, value in own.items():
        _read_one(name, value, f"{path}[{PREFIX}{name}]", typed, problems)
    return Wishes(**typed), tuple(problems)


def _from_carried(text: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    problems.append(Problem(Reason.BAD_ANNOTATION, f"a JSON object is needed, found {shown(text)}", path))
    return {}


def _read_one(name: str, value: Any, path: str, typed: dict[str, Any], problems: list[Problem]) -> None:
    key = _BY_NAME.get(name)
    if len(problems) >= _MAX_PROBLEMS:
        return
    if key is None:
        problems.append(Problem(Reason.UNKNOWN_ANNOTATION, _unknown(name), path))
        return
    try:
        # The API server lets only strings in; what is carried is JSON of any kind.
        typed[key.field] = key.parse(value if isinstance(value, str) else "")
    except ValueError as error:
        detail = f"; {error}" if error.args else ""
        message = f"found {shown(value)}, allowed is {key.allowed.replace('`', '')}{detail}"
        problems.append(Problem(Reason.BAD_ANNOTATION, message, path))


def _unknown(name: str) -> str:
    if PREFIX + name in _LABELS:
        return f"{PREFIX}{name} is a label, not an annotation"
    near = difflib.get_close_matches(name[:_MAX_KEY].replace("_", "-").lower(), _BY_NAME, n=1)
    if near:
        return f"no such annotation; did you mean {PREFIX}{near[0]}?"
    return f"no such annotation; there are {', '.join(_BY_NAME)}"
