"""What the webhook writes into a pod and the registrar reads from it: what both share.

Standard library only, and leaves: `patterns`, `row_contract`, `broker_contract`. The registrar owns this
interface, the webhook and the broker are its clients. A registrar lives as long as its pod, so names here are
only ever added; `CONTRACT_VERSION` counts the changes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final, Self, TypeVar

from sidecar import patterns

CONTRACT_VERSION: Final = 3

DOMAIN: Final = "litellm-registrar.io"
LABEL_SERVER: Final = f"{DOMAIN}/server"
LABEL_INJECT: Final = f"{DOMAIN}/inject"
# Carried from a workload's own metadata to its pod template: a label and an annotation of ours, so that
# the user's keys on the template are never written (docs/adr/0002).
LABEL_CARRIED: Final = f"{DOMAIN}/carried"
ANNOTATION_CARRIED_SETTINGS: Final = f"{DOMAIN}/carried-settings"
# A note for people of what was injected; never read as proof of anything.
ANNOTATION_INJECTED: Final = f"{DOMAIN}/injected"

CONTAINER_NAME: Final = "registrar"
COMMAND: Final = ("python", "-m", "sidecar")
DEFAULT_PORT: Final = 9469
DRAIN_PATH: Final = "/drain"
READY_PATH: Final = "/ready"
STATUS_PATH: Final = "/status"
METRICS_PATH: Final = "/metrics"
NONCE_HEADER: Final = "X-Registrar-Nonce"
# Kept of the pod's grace period for what comes after the drain (seconds).
GRACE_MARGIN: Final = 10
DEFAULT_LITELLM_SECRET: Final = "litellm-registrar"  # noqa: S105 - the name of a Secret object, not a secret
# LiteLLM puts the proxy's own environment variables and secrets in the place of parameters of a row that
# begin so (`_resolve_db_litellm_param` in litellm/proxy/proxy_server.py, 1.106): none of ours may.
LITELLM_REFERENCE: Final = "os.environ/"

ENV_CONTRACT: Final = "REGISTRAR_CONTRACT"
ENV_NAMESPACE: Final = "REGISTRAR_NAMESPACE"
ENV_POD: Final = "REGISTRAR_POD"
ENV_POD_UID: Final = "REGISTRAR_POD_UID"
ENV_POD_IP: Final = "REGISTRAR_POD_IP"
ENV_NODE: Final = "REGISTRAR_NODE"
ENV_LITELLM_URL: Final = "REGISTRAR_LITELLM_URL"
ENV_LITELLM_KEY: Final = "REGISTRAR_LITELLM_KEY"
ENV_LITELLM_CA: Final = "REGISTRAR_LITELLM_CA"
ENV_SERVER_API_KEY: Final = "REGISTRAR_SERVER_API_KEY"
# A file with the pod's own token, instead of a key: LiteLLM's address is then a broker's.
ENV_TOKEN_FILE: Final = "REGISTRAR_TOKEN_FILE"  # noqa: S105 - a variable's name

# Where each env of PodIdentity comes from (the downward API's field paths).
DOWNWARD_FIELDS: Final[Mapping[str, str]] = {
    ENV_NAMESPACE: "metadata.namespace",
    ENV_POD: "metadata.name",
    ENV_POD_UID: "metadata.uid",
    ENV_POD_IP: "status.podIP",
    ENV_NODE: "spec.nodeName",
}
# Where each env of Credentials that comes from the LiteLLM Secret is found in it.
SECRET_FIELDS: Final[Mapping[str, str]] = {
    ENV_LITELLM_URL: "url",
    ENV_LITELLM_KEY: "key",
    ENV_LITELLM_CA: "ca.crt",
}


class Engine(StrEnum):
    """Values of the label `litellm-registrar.io/server`."""

    VLLM = "vllm"
    OLLAMA = "ollama"
    OPENAI = "openai"
    AUTO = "auto"


class LogFormat(StrEnum):
    """How the registrar writes its log."""

    TEXT = "text"
    JSON = "json"


class Probing(StrEnum):
    """How far the registrar may go to find out what a model can do."""

    PASSIVE = "passive"  # nothing that makes the server compute
    ACTIVE = "active"  # also requests of a few tokens, one at a time, when the server has nothing to do


class ServedNames(StrEnum):
    """Which names of a model that its server knows by several get a row."""

    ALL = "all"
    FIRST = "first"


class CloudModels(StrEnum):
    """What becomes of models that an Ollama lists and does not run itself."""

    SKIP = "skip"
    REGISTER = "register"


class WhenAsleep(StrEnum):
    """What becomes of the rows of a server that sleeps."""

    BLOCK = "block"
    ROUTE = "route"  # a request wakes it


_compact: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_JSON_NAMES: Final[Mapping[type, str]] = {dict: "object", list: "list", str: "text"}
T = TypeVar("T")


class ContractError(ValueError):
    """The environment does not hold what the contract asks for; the message names each variable."""


@dataclass(frozen=True, slots=True)
class ReadyCheck:
    """The server container's own httpGet or tcpSocket readinessProbe, copied at injection.

    `path` is None for a tcpSocket probe. `timeout` is in seconds.
    """

    port: int
    scheme: str = "http"
    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 1.0

    def to_json(self) -> str:
        """One line of JSON."""
        return _compact({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote. Raises ValueError."""
        raw = json.loads(text)
        if not isinstance(raw, dict) or not isinstance(raw.get("port"), int):
            raise ValueError(f"a JSON object with a port is needed, found {text!r}")
        path = raw.get("path")
        return cls(
            port=raw["port"],
            scheme=str(raw.get("scheme", "http")),
            path=None if path is None else str(path),
            headers=tuple((str(k), str(v)) for k, v in raw.get("headers", ())),
            timeout=float(raw.get("timeout", 1.0)),
        )


@dataclass(frozen=True, slots=True)
class Alias:
    """One more name for a model: of its served id, or (None) of the one base model there is."""

    name: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """What the owner says of the models whose served id the pattern `match` is found in."""

    match: str
    model_info: Mapping[str, Any] = field(default_factory=dict)
    litellm_params: Mapping[str, Any] = field(default_factory=dict)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _object(text: str) -> dict[str, Any]:
    return _of(dict, _json(text))


def _objects(text: str) -> list[dict[str, Any]]:
    return [_of(dict, item) for item in _of(list, _json(text))]


def _of(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"found {type(value).__name__}, a JSON {_JSON_NAMES[kind]} is needed")
    return value


def _aliases(text: str) -> tuple[Alias, ...]:
    return tuple(
        Alias(_of(str, item.get("name")), None if item.get("model") is None else _of(str, item["model"]))
        for item in _objects(text)
    )


def _overrides(text: str) -> tuple[Override, ...]:
    return tuple(
        Override(
            patterns.checked(_of(str, item.get("match"))),
            _of(dict, item.get("model_info", {})),
            _of(dict, item.get("litellm_params", {})),
        )
        for item in _objects(text)
    )


def _records(items: Any) -> str:
    return _compact([{name: getattr(item, name) for name in item.__slots__} for item in items])


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError("a number of seconds, 0 or more, is needed")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 < value < 65536:  # noqa: PLR2004 - the range of TCP ports
        raise ValueError("a port from 1 to 65535 is needed")
    return value


def _env(
    name: str, read: Callable[[str], Any], write: Callable[[Any], str] = str, *, left_out: bool = False
) -> dict[str, Any]:
    return {"env": name, "read": read, "write": write, "left_out": left_out}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the webhook decides for one registrar; times in seconds. Every field is one literal variable.

    A field that is None or empty has no variable, nor has a choice that is `left_out` at its default.
    """

    cluster: str = field(metadata=_env("REGISTRAR_CLUSTER", str))
    engine: Engine = field(metadata=_env("REGISTRAR_ENGINE", Engine))
    port: int = field(metadata=_env("REGISTRAR_SERVER_PORT", _port))
    nonce: str = field(repr=False, metadata=_env("REGISTRAR_NONCE", str))
    scheme: str = field(default="http", metadata=_env("REGISTRAR_SERVER_SCHEME", str))
    host: str | None = field(default=None, metadata=_env("REGISTRAR_SERVER_HOST", str))
    path: str = field(default="", metadata=_env("REGISTRAR_SERVER_PATH", str))
    server_ready: ReadyCheck | None = field(
        default=None, metadata=_env("REGISTRAR_SERVER_READY", ReadyCheck.from_json, ReadyCheck.to_json)
    )
    model_name: str | None = field(default=None, metadata=_env("REGISTRAR_MODEL_NAME", str))
    name_template: str = field(default="{model}", metadata=_env("REGISTRAR_NAME_TEMPLATE", str))
    provider: str | None = field(default=None, metadata=_env("REGISTRAR_PROVIDER", str))
    include: str | None = field(default=None, metadata=_env("REGISTRAR_INCLUDE", patterns.checked))
    exclude: str | None = field(default=None, metadata=_env("REGISTRAR_EXCLUDE", patterns.checked))
    aliases: tuple[Alias, ...] = field(default=(), metadata=_env("REGISTRAR_ALIASES", _aliases, _records))
    served_names: ServedNames = field(
        default=ServedNames.ALL, metadata=_env("REGISTRAR_SERVED_NAMES", ServedNames, left_out=True)
    )
    cloud_models: CloudModels = field(
        default=CloudModels.SKIP, metadata=_env("REGISTRAR_CLOUD_MODELS", CloudModels, left_out=True)
    )
    when_asleep: WhenAsleep = field(
        default=WhenAsleep.BLOCK, metadata=_env("REGISTRAR_WHEN_ASLEEP", WhenAsleep, left_out=True)
    )
    probing: Probing = field(
        default=Probing.PASSIVE, metadata=_env("REGISTRAR_PROBE", Probing, left_out=True)
    )
    mode: str | None = field(default=None, metadata=_env("REGISTRAR_MODE", str))
    model_info: Mapping[str, Any] = field(
        default_factory=dict, metadata=_env("REGISTRAR_MODEL_INFO", _object, _compact)
    )
    litellm_params: Mapping[str, Any] = field(
        default_factory=dict, metadata=_env("REGISTRAR_LITELLM_PARAMS", _object, _compact)
    )
    overrides: tuple[Override, ...] = field(
        default=(), metadata=_env("REGISTRAR_OVERRIDES", _overrides, _records)
    )
    poll_interval: float = field(default=5.0, metadata=_env("REGISTRAR_POLL_INTERVAL", _seconds))
    propagation: float = field(default=35.0, metadata=_env("REGISTRAR_PROPAGATION", _seconds))
    drain_timeout: float = field(default=120.0, metadata=_env("REGISTRAR_DRAIN_TIMEOUT", _seconds))
    grace_period: float = field(default=165.0, metadata=_env("REGISTRAR_GRACE_PERIOD", _seconds))
    ready_timeout: float = field(default=120.0, metadata=_env("REGISTRAR_READY_TIMEOUT", _seconds))
    listen_port: int = field(default=DEFAULT_PORT, metadata=_env("REGISTRAR_LISTEN_PORT", _port))
    log_format: LogFormat = field(default=LogFormat.TEXT, metadata=_env("REGISTRAR_LOG_FORMAT", LogFormat))
    contract: int = field(default=CONTRACT_VERSION, metadata=_env(ENV_CONTRACT, int))

    def to_env(self) -> dict[str, str]:
        """Give the variables of these settings, by name."""
        return {
            env: write(value)
            for (env, write, unsaid), value in zip(_WRITTEN, _values(self), strict=True)
            if value is not unsaid and (unsaid is MISSING or value != unsaid)
        }

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read settings back. Raises ContractError naming every variable that is missing or bad."""
        found: dict[str, Any] = {}
        wrong: list[str] = []
        for f in fields(cls):
            name = f.metadata["env"]
            text = environ.get(name)
            if text is None:
                if f.default is MISSING and f.default_factory is MISSING:
                    wrong.append(f"{name} is missing")
                continue
            try:
                found[f.name] = f.metadata["read"](text)
            except ValueError as error:
                shown = "(hidden)" if not f.repr else repr(text)
                wrong.append(f"{name}={shown}: {error}")
        if wrong:
            raise ContractError("; ".join(wrong))
        return cls(**found)


def _unsaid(item: Field[Any]) -> Any:
    """Give the value that has no variable; MISSING, which no field ever has, if every value has one."""
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default if item.default in (None, ()) or item.metadata["left_out"] else MISSING


# All values; of each its variable, writer, and value without a variable. The webhook writes every pod's.
_values: Final = attrgetter(*(f.name for f in fields(Settings)))
_WRITTEN: Final = tuple((f.metadata["env"], f.metadata["write"], _unsaid(f)) for f in fields(Settings))


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """Which pod this is; from the downward API (`DOWNWARD_FIELDS`)."""

    namespace: str
    pod: str
    pod_uid: str
    pod_ip: str
    node: str = ""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the identity. Raises ContractError naming every variable that is missing."""
        names = {"namespace": ENV_NAMESPACE, "pod": ENV_POD, "pod_uid": ENV_POD_UID, "pod_ip": ENV_POD_IP}
        missing = [name for name in names.values() if not environ.get(name)]
        if missing:
            raise ContractError("; ".join(f"{name} is missing" for name in missing))
        return cls(**{key: environ[name] for key, name in names.items()}, node=environ.get(ENV_NODE, ""))


@dataclass(frozen=True, slots=True)
class Credentials:
    """LiteLLM's address and keys; each may be absent, which the registrar says and lives with.

    With `token_file` (read again for every request) the address is a broker's, and there is no key.

    Never shown by repr. Surrounding white space (a Secret made from a file) is not part of a value.
    """

    litellm_url: str | None = None
    litellm_key: str | None = field(default=None, repr=False)
    litellm_ca: str | None = field(default=None, repr=False)
    server_api_key: str | None = field(default=None, repr=False)
    token_file: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read what is there; an empty value counts as absent."""

        def value(name: str) -> str | None:
            return environ.get(name, "").strip() or None

        return cls(
            litellm_url=value(ENV_LITELLM_URL),
            litellm_key=value(ENV_LITELLM_KEY),
            litellm_ca=value(ENV_LITELLM_CA),
            server_api_key=value(ENV_SERVER_API_KEY),
            token_file=value(ENV_TOKEN_FILE),
        )

    def check(self) -> None:
        """Raise ContractError for a server's key that LiteLLM would take for the name of a secret."""
        if (self.server_api_key or "").startswith(LITELLM_REFERENCE):
            raise ContractError(
                f"{ENV_SERVER_API_KEY}: begins with {LITELLM_REFERENCE}, which LiteLLM takes for a reference "
                "to a secret of its own; give the server another API key"
            )

    def secrets(self) -> tuple[str, ...]:
        """Give the values that must never be written anywhere."""
        return tuple(s for s in (self.litellm_key, self.server_api_key) if s)
