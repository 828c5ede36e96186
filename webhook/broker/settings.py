"""Every setting of `webhook broker`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self
from urllib.parse import urlsplit

from sidecar.broker_contract import DEFAULT_AUDIENCE
from webhook.broker.fair_queue import AT_ONCE
from webhook.broker.limits import ROWS_PER_NAMESPACE, ROWS_PER_POD
from webhook.certificate_settings import NAME, CertificateSettings
from webhook.flags import CLUSTER_ID, PORT, SECONDS, SettingsError, one_of, read, setting

_AUDIENCE: Final = re.compile(r"[!-~]{1,253}", re.ASCII).fullmatch


class Reap(StrEnum):
    """What the reaper does with what it finds."""

    OFF = "off"
    DRY_RUN = "dry-run"
    REMOVE = "remove"


def _url(text: str) -> str:
    found = urlsplit(text)
    if found.scheme not in ("http", "https") or not found.hostname or found.username or found.query:
        raise ValueError
    return text.rstrip("/")


def _audience(text: str) -> str:
    if not _AUDIENCE(text):
        raise ValueError
    return text


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _rate(text: str) -> float:
    value = SECONDS[0](text)
    if not value:
        raise ValueError
    return float(value)


LITELLM_URL: Final = (_url, "an http or https URL without user, password and query")


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


_COUNT: Final = (_count, "a whole number, 1 or more")
_RATE: Final = (_rate, "a number above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(CertificateSettings):
    """The broker's settings; times in seconds."""

    cluster_id: str = field(
        default="",
        metadata=setting(
            "this cluster's name in LiteLLM: the same as the webhook's; empty: the uid of the namespace "
            "kube-system, asked at the start",
            *CLUSTER_ID,
        ),
    )
    litellm_url: str = field(metadata=setting("LiteLLM's address", *LITELLM_URL))
    litellm_key_file: str = field(
        metadata=setting("file with the key of LiteLLM's admin API; read again when it changes")
    )
    litellm_ca: str = field(
        default="",
        metadata=setting("PEM file that LiteLLM's certificate is verified by; empty: the system's"),
    )
    token_audience: str = field(
        default=DEFAULT_AUDIENCE,
        metadata=setting(
            "audience that a pod's token must have: the same as the webhook's",
            _audience,
            "1 to 253 characters of ASCII without blanks",
        ),
    )
    names: str = field(
        default="",
        metadata=setting(
            "YAML file of the names that each namespace may use; read again when it changes; without one "
            "every name that nobody else has"
        ),
    )
    ca_configmap: str = field(
        default="litellm-registrar-broker-ca",
        metadata=setting(
            "the ConfigMap in --namespace in which the webhook finds what pods trust",
            *NAME,
        ),
    )
    port: int = field(default=8443, metadata=setting("port for registrars, TLS", *PORT))
    concurrency: int = field(
        default=AT_ONCE, metadata=setting("how many writes LiteLLM has in hand at a time", *_COUNT)
    )
    rows_per_pod: int = field(default=ROWS_PER_POD, metadata=setting("how many rows a pod may have", *_COUNT))
    rows_per_namespace: int = field(
        default=ROWS_PER_NAMESPACE, metadata=setting("how many rows a namespace's pods may have", *_COUNT)
    )
    pod_rate: float = field(
        default=20.0,
        metadata=setting(
            "how many calls a second a pod may make on average, ten times as many at once", *_RATE
        ),
    )
    namespace_rate: float = field(
        default=500.0,
        metadata=setting(
            "how many calls a second a namespace's pods may make on average, ten times as many at once",
            *_RATE,
        ),
    )
    lease: str = field(
        default="",
        metadata=setting(
            "Lease in --namespace: the replica that holds it removes rows of this cluster whose pod is gone; "
            "without one nobody does",
            *NAME,
        ),
    )
    reap: Reap = field(
        default=Reap.REMOVE,
        metadata=setting(
            "with --lease, what is done with such rows; dry-run: only told; off: only counted", *one_of(Reap)
        ),
    )
    reap_grace: float = field(
        default=20.0,
        metadata=setting("how long a pod must be gone before its rows are removed", *SECONDS),
    )
    node_grace: float = field(
        default=60.0,
        metadata=setting("how long a node must not be Ready before rows of its pods are blocked", *SECONDS),
    )
    reap_share: float = field(
        default=0.2,
        metadata=setting(
            "which share of the rows the reaper may remove or block within ten minutes; if more are due, it "
            "does nothing until fewer are or a person says so",
            _share,
            "a number from 0 to 1",
        ),
    )
    reap_at_least: int = field(
        default=5, metadata=setting("how many rows it may remove or block in that time in any case", *_COUNT)
    )
    stop_timeout: float = field(
        default=30.0, metadata=setting("after that, how long calls in hand may take to end", *SECONDS)
    )

    @classmethod
    def read(cls, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Self:
        """Take each setting from its flag, else its variable, else its default. Raises SettingsError."""
        settings = read(cls, flags, environ)
        problems = settings.certificate_problems()
        if not settings.namespace:
            problems.append("--namespace is missing: where the broker claims names, by Leases")
        if not settings.tls_secret:
            problems.append(
                "--tls-secret is missing: pods trust for life the CA that they were born with, so that the "
                "broker has one of its own"
            )
        if problems:
            raise SettingsError(problems)
        return settings
