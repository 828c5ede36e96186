"""The annotations that say where the server is, and how its registrar is injected and runs. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from sidecar.contract import DEFAULT_LITELLM_SECRET, LogFormat, Settings
from webhook import values
from webhook.key import Key
from webhook.wishes import InjectMode, PreStop

# Provider prefixes of LiteLLM whose api_base the registrar knows how to write.
PROVIDERS: Final = ("hosted_vllm", "openai", "text-completion-openai", "ollama", "ollama_chat")


def _seconds(field: str) -> str:
    return f"`{_DEFAULTS[field]:g}s`"


_DEFAULTS: Final = {item.name: item.default for item in fields(Settings)}
_A_DURATION: Final = "like `30`, `30s`, `2m` or `500ms`"

_ONE_POD: Final = "it describes one server"

POD_KEYS: Final[tuple[Key, ...]] = (
    Key(
        "container",
        values.matching(values.DNS_LABEL),
        "name of a container of the pod",
        "found by image, command and ports",
        "Which container is the model server, when several could be.",
        not_default=_ONE_POD,
    ),
    Key(
        "port",
        values.port,
        "1 to 65535",
        "from the command line, the environment, the declared ports, or the engine's own",
        "Where the server listens.",
        not_default=_ONE_POD,
    ),
    Key(
        "scheme",
        values.one_of("http", "https"),
        "`http` or `https`",
        "`https` when the command line names a key or certificate file, else `http`",
        "How the server is spoken to; `https` needs `host`.",
        not_default=_ONE_POD,
    ),
    Key(
        "host",
        values.host,
        "a DNS name or an IP address",
        "the pod's IP",
        "What LiteLLM calls in place of the pod's IP; with TLS, a name its certificate holds.",
        not_default=_ONE_POD,
    ),
    Key(
        "path",
        values.path,
        "a URL path that begins with `/`",
        "from `--root-path`, else none",
        "Prefix before `/v1` in every URL of the server.",
        not_default=_ONE_POD,
    ),
    Key(
        "model-name",
        values.model_name,
        "1 to 253 printable characters",
        "the name the server gives its model",
        "Name in LiteLLM of the server's one model; of several none is renamed, and no adapter.",
        not_default=_ONE_POD,
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
        "`hosted_vllm`",
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
