"""Every setting of `webhook serve`: its flag, its environment variable, its meaning and its default.

`--stop-delay` is `WEBHOOK_STOP_DELAY`; the flag wins, and an empty variable counts as not set.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from typing import Any, Final, Self

from sidecar.contract import DEFAULT_LITELLM_SECRET, LogFormat
from webhook import quantity
from webhook.inject import Injection
from webhook.layer import TABLE
from webhook.wishes import InjectMode

ENV_PREFIX: Final = "WEBHOOK_"

_CLUSTER: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
# What a pod's annotation may change is checked like that annotation.
_ANNOTATIONS: Final = {key.name: key for key in TABLE}


class OnError(StrEnum):
    """What an error of the webhook's own does to the request."""

    BY_PATH = "by-path"
    ALLOW = "allow"
    DENY = "deny"


class SettingsError(ValueError):
    """Settings are missing or bad; each of `problems` names the flag, what was found and what is allowed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _cluster(text: str) -> str:
    if _CLUSTER.fullmatch(text) is None:
        raise ValueError
    return text


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value < 65536:  # noqa: PLR2004 - the range of TCP ports; 0 takes a free one
        raise ValueError
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError
    return value


def _quantity(text: str) -> str:
    if quantity.parse(text) <= 0:
        raise ValueError
    return text


def _flag(meaning: str, read: Callable[[str], Any] = str, allowed: str = "") -> dict[str, Any]:
    return {"meaning": meaning, "read": read, "allowed": allowed}


def _like(annotation: str) -> tuple[Callable[[str], Any], str]:
    key = _ANNOTATIONS[annotation]
    return key.parse, key.allowed.replace("`", "")


def _one_of(kind: type[StrEnum]) -> tuple[Callable[[str], Any], str]:
    return kind, " | ".join(kind)


_PORT: Final = (_port, "a port from 0 (any free one) to 65535")
_SECONDS: Final = (_seconds, "a number of seconds, 0 or more")
_QUANTITY: Final = (_quantity, "a quantity above 0, such as 250m or 64Mi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The webhook's settings; times in seconds."""

    tls_cert: str = field(metadata=_flag("PEM file with the certificate, then its chain"))
    tls_key: str = field(metadata=_flag("PEM file with the certificate's key, without a passphrase"))
    cluster_id: str = field(
        metadata=_flag(
            "this cluster's name in LiteLLM: unique among the clusters that share a LiteLLM, never changed",
            _cluster,
            "1 to 128 letters, digits, '.', '_' and '-', first and last a letter or digit",
        )
    )
    registrar_image: str = field(
        metadata=_flag(
            "image of the registrar that is injected, best with its digest", *_like("registrar-image")
        )
    )
    litellm_secret: str = field(
        default=DEFAULT_LITELLM_SECRET,
        metadata=_flag(
            "name of the Secret, in each pod's own namespace, with LiteLLM's url and key",
            *_like("litellm-secret"),
        ),
    )
    inject_mode: InjectMode = field(
        default=InjectMode.NATIVE,
        metadata=_flag(
            "the registrar as a native sidecar (every kubelet 1.29 or newer) or as an ordinary container",
            *_one_of(InjectMode),
        ),
    )
    registrar_cpu_request: str = field(
        default="20m", metadata=_flag("CPU the registrar requests", *_QUANTITY)
    )
    registrar_memory_request: str = field(
        default="64Mi", metadata=_flag("memory the registrar requests", *_QUANTITY)
    )
    registrar_cpu_limit: str = field(default="250m", metadata=_flag("CPU limit of the registrar", *_QUANTITY))
    registrar_memory_limit: str = field(
        default="128Mi", metadata=_flag("memory limit of the registrar", *_QUANTITY)
    )
    defaults: str = field(
        default="",
        metadata=_flag(
            "YAML file with the cluster's and the namespaces' defaults of annotations; read again when it "
            "changes"
        ),
    )
    policy: str = field(
        default="",
        metadata=_flag(
            "YAML file of the policy that model servers are held against, or default for the one that ships; "
            "read again when it changes; without one nothing is judged"
        ),
    )
    listen_address: str = field(default="", metadata=_flag("address of both ports; empty is every interface"))
    port: int = field(default=8443, metadata=_flag("port of /mutate and /validate, TLS", *_PORT))
    health_port: int = field(
        default=8080, metadata=_flag("port of /healthz, /readyz and /metrics, HTTP", *_PORT)
    )
    on_error: OnError = field(
        default=OnError.BY_PATH,
        metadata=_flag(
            "what an error of the webhook's own does to the request: by-path allows it with a warning on "
            "/mutate and denies it on /validate",
            *_one_of(OnError),
        ),
    )
    stop_delay: float = field(
        default=5.0,
        metadata=_flag(
            "after SIGTERM, how long to go on serving while /readyz says 503, so that endpoints notice",
            *_SECONDS,
        ),
    )
    stop_timeout: float = field(
        default=10.0, metadata=_flag("after that, how long reviews in hand may take to end", *_SECONDS)
    )
    log_format: LogFormat = field(
        default=LogFormat.TEXT, metadata=_flag("how log lines are written", *_one_of(LogFormat))
    )

    @classmethod
    def read(cls, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Self:
        """Take each setting from its flag (by field name), else its variable, else its default.

        Raises SettingsError with everything that is wrong.
        """
        found: dict[str, Any] = {}
        problems: list[str] = []
        for item in fields(cls):
            origin, text = _given(item, flags, environ)
            if text is None:
                if item.default is MISSING:
                    problems.append(
                        f"{flag(item)} (or {variable(item)}) is missing: {item.metadata['meaning']}"
                    )
                continue
            try:
                found[item.name] = item.metadata["read"](text)
            except ValueError:
                problems.append(f"{origin}: found {text!r}, allowed: {item.metadata['allowed']}")
        if problems:
            raise SettingsError(problems)
        settings = cls(**found)
        try:
            settings.injection  # noqa: B018 - made once here, so that it can be made later
        except ValueError as error:
            raise SettingsError([f"--registrar-{error}".replace("_", "-")]) from None
        return settings

    @property
    def injection(self) -> Injection:
        """What of these goes into pods."""
        return Injection(
            cluster=self.cluster_id,
            image=self.registrar_image,
            litellm_secret=self.litellm_secret,
            mode=self.inject_mode,
            cpu_request=self.registrar_cpu_request,
            memory_request=self.registrar_memory_request,
            cpu_limit=self.registrar_cpu_limit,
            memory_limit=self.registrar_memory_limit,
        )


def flag(item: Field[Any]) -> str:
    """Give a setting's flag."""
    return "--" + item.name.replace("_", "-")


def variable(item: Field[Any]) -> str:
    """Give a setting's environment variable."""
    return ENV_PREFIX + item.name.upper()


def _given(
    item: Field[Any], flags: Mapping[str, str | None], environ: Mapping[str, str]
) -> tuple[str, str | None]:
    text = flags.get(item.name)
    if text is not None:
        return flag(item), text
    return variable(item), environ.get(variable(item)) or None
