"""Every setting of `webhook serve`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import urlsplit

from sidecar.broker_contract import DEFAULT_AUDIENCE
from sidecar.contract import DEFAULT_LITELLM_SECRET
from sidecar.row_contract import bracketed
from webhook import quantity, values
from webhook.access import MAX_EXPIRATION, MIN_EXPIRATION, Broker
from webhook.certificate_settings import NAME, NAMES, CertificateSettings
from webhook.flags import CLUSTER_ID, PORT, SECONDS, SettingsError, one_of, read, setting
from webhook.inject import Injection
from webhook.kubelets import OLDEST, STABLE, Release, release
from webhook.layer import TABLE
from webhook.wishes import InjectMode

# The largest id of a user or group (`IsValidUserID` in k8s.io/apimachinery/pkg/util/validation).
_MAX_ID: Final = 2**31 - 1

# What a pod's annotation may change is checked like that annotation.
_ANNOTATIONS: Final = {key.name: key for key in TABLE}


class OnError(StrEnum):
    """What an error of the webhook's own does to the request."""

    BY_PATH = "by-path"
    ALLOW = "allow"
    DENY = "deny"


class ModeChoice(StrEnum):
    """Where the registrar stands in pods that say nothing of it."""

    AUTO = "auto"
    NATIVE = "native"
    CONTAINER = "container"


# How the registrar stands in pods at first: with `auto` as any kubelet can run it, until they are known.
_AT_START: Final = {
    ModeChoice.AUTO: InjectMode.CONTAINER,
    ModeChoice.NATIVE: InjectMode.NATIVE,
    ModeChoice.CONTAINER: InjectMode.CONTAINER,
}


def _quantity(text: str) -> str:
    if quantity.parse(text) <= 0:
        raise ValueError
    return text


def _like(annotation: str) -> tuple[Callable[[str], Any], str]:
    key = _ANNOTATIONS[annotation]
    return key.parse, key.allowed.replace("`", "")


def _broker_url(text: str) -> str:
    parts = urlsplit(text)
    port = "" if parts.port is None else f":{parts.port}"  # raises ValueError for what is no port
    host = bracketed(values.host(parts.hostname or ""))
    if parts.scheme != "https" or text.removesuffix("/").lower() != f"https://{host}{port}".lower():
        raise ValueError
    return f"https://{host}{port}"


def _expiration(text: str) -> int:
    value = int(text)
    if not MIN_EXPIRATION <= value <= MAX_EXPIRATION:
        raise ValueError
    return value


def _id(text: str) -> int | None:
    if text == "none":
        return None
    value = int(text)
    if not 0 < value <= _MAX_ID:
        raise ValueError
    return value


def _native_from(text: str) -> Release:
    found = release(text)
    if found is None or found < OLDEST or text != str(found):
        raise ValueError
    return found


_AUDIENCE: Final = (
    values.matching(re.compile(r"[!-~]{1,253}")),
    "1 to 253 characters of ASCII without blanks",
)
_NAME: Final = (values.matching(values.DNS_NAME), "name of a ConfigMap")
_ID: Final = (_id, f"1 to {_MAX_ID}, or none")
_QUANTITY: Final = (_quantity, "a quantity above 0, such as 250m or 64Mi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(CertificateSettings):
    """The webhook's settings; times in seconds."""

    tls_cert: str = field(
        default="",
        metadata=setting(
            "PEM file with the certificate, then its chain, instead of --tls-secret; read again when it "
            "changes"
        ),
    )
    tls_key: str = field(
        default="",
        metadata=setting("PEM file with that certificate's key, without a passphrase; followed like it"),
    )
    webhook_configurations: tuple[str, ...] = field(
        default=("litellm-registrar",),
        metadata=setting(
            "with --tls-secret, the mutating and validating webhook configurations whose caBundle is written",
            *NAMES,
        ),
    )
    lease: str = field(
        default="",
        metadata=setting(
            "Lease in --namespace: the replica that holds it looks after what lives (pods that were missed, "
            "registrars that do not start, what the policy would refuse now); without one nobody does",
            *NAME,
        ),
    )
    excluded_namespaces: tuple[str, ...] = field(
        default=("kube-system",),
        metadata=setting(
            "with --lease, the namespaces that the webhook configurations leave out, beside --namespace",
            *NAMES,
        ),
    )
    gated_configurations: tuple[str, ...] = field(
        default=(),
        metadata=setting(
            "the mutating and validating webhook configurations whose webhooks of failurePolicy Fail get "
            "their rules, from an annotation, once the API server reaches this webhook",
            *NAMES,
        ),
    )
    cluster_id: str = field(
        default="",
        metadata=setting(
            "this cluster's name in LiteLLM: unique among the clusters that share a LiteLLM, never changed; "
            "empty: the uid of the namespace kube-system, asked at the start",
            *CLUSTER_ID,
        ),
    )
    registrar_image: str = field(
        metadata=setting(
            "image of the registrar that is injected, best with its digest", *_like("registrar-image")
        )
    )
    litellm_secret: str = field(
        default=DEFAULT_LITELLM_SECRET,
        metadata=setting(
            "name of the Secret, in each pod's own namespace, with LiteLLM's url and key",
            *_like("litellm-secret"),
        ),
    )
    broker_url: str = field(
        default="",
        metadata=setting(
            "where registrars reach the broker; with it they get a token of their pod and no key",
            _broker_url,
            "https:// with a host, and a port if it is not 443",
        ),
    )
    broker_ca: str = field(
        default="",
        metadata=setting(
            "PEM file with the certificates that the broker is verified by, as they are written into pods; "
            "read again when it changes"
        ),
    )
    broker_ca_configmap: str = field(
        default="",
        metadata=setting(
            "instead, the ConfigMap in --namespace in which the broker publishes them; followed",
            *_NAME,
        ),
    )
    token_audience: str = field(
        default=DEFAULT_AUDIENCE,
        metadata=setting(
            "audience of the pods' tokens for the broker, as the broker has it; never the API server's own",
            *_AUDIENCE,
        ),
    )
    token_expiration: int = field(
        default=3600,
        metadata=setting(
            "how long such a token lives; the kubelet renews it after four fifths of that",
            _expiration,
            f"{MIN_EXPIRATION} to {MAX_EXPIRATION} seconds",
        ),
    )
    inject_mode: ModeChoice = field(
        default=ModeChoice.NATIVE,
        metadata=setting(
            "the registrar as a native sidecar or as an ordinary container; auto: a native sidecar where "
            "every node's kubelet is at least --native-from, for which the nodes are watched",
            *one_of(ModeChoice),
        ),
    )
    native_from: Release = field(
        default=STABLE,
        metadata=setting(
            "with --inject-mode auto, the oldest kubelet that native sidecars are trusted to",
            _native_from,
            f"a release of Kubernetes like 1.33, {OLDEST} or newer",
        ),
    )
    registrar_user: int | None = field(
        default=65534,
        metadata=setting(
            "user id of the registrar; none: the cluster's choice, as OpenShift makes one", *_ID
        ),
    )
    registrar_group: int | None = field(
        default=65534,
        metadata=setting(
            "group id of the registrar; none, or with --registrar-user none: the cluster's choice", *_ID
        ),
    )
    registrar_pull_secrets: tuple[str, ...] = field(
        default=(),
        metadata=setting(
            "Secrets, in each pod's own namespace, that the registrar's image is pulled with: added to those "
            "that the pod has",
            *NAMES,
        ),
    )
    registrar_cpu_request: str = field(
        default="20m", metadata=setting("CPU the registrar requests", *_QUANTITY)
    )
    registrar_memory_request: str = field(
        default="64Mi", metadata=setting("memory the registrar requests", *_QUANTITY)
    )
    registrar_cpu_limit: str = field(
        default="250m", metadata=setting("CPU limit of the registrar", *_QUANTITY)
    )
    registrar_memory_limit: str = field(
        default="128Mi", metadata=setting("memory limit of the registrar", *_QUANTITY)
    )
    defaults: str = field(
        default="",
        metadata=setting(
            "YAML file with the cluster's and the namespaces' defaults of annotations; read again when it "
            "changes"
        ),
    )
    policy: str = field(
        default="",
        metadata=setting(
            "YAML file of the policy that model servers are held against, or default for the one that ships; "
            "read again when it changes; without one nothing is judged"
        ),
    )
    port: int = field(default=8443, metadata=setting("port of /mutate and /validate, TLS", *PORT))
    on_error: OnError = field(
        default=OnError.BY_PATH,
        metadata=setting(
            "what an error of the webhook's own does to the request: by-path allows it with a warning on "
            "/mutate and denies it on /validate",
            *one_of(OnError),
        ),
    )
    stop_timeout: float = field(
        default=10.0, metadata=setting("after that, how long reviews in hand may take to end", *SECONDS)
    )

    @classmethod
    def read(cls, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Self:
        """Take each setting from its flag, else its variable, else its default. Raises SettingsError."""
        settings = read(cls, flags, environ)
        problems = [
            *settings.certificate_problems(),
            *_certificate_source(settings),
            *_contradictions(settings),
        ]
        if problems:
            raise SettingsError(problems)
        try:
            settings.injection  # noqa: B018 - made once here, so that it can be made later
        except ValueError as error:
            raise SettingsError([f"--registrar-{error}".replace("_", "-")]) from None
        return settings

    @property
    def asks_kubernetes(self) -> bool:
        """Whether anything of these needs the Kubernetes API."""
        asks = self.tls_secret, self.broker_ca_configmap, self.lease, self.gated_configurations
        return any(asks) or not self.cluster_id or self.inject_mode is ModeChoice.AUTO

    @property
    def broker(self) -> Broker | None:
        """The broker, if registrars shall ask one; its certificates are not known yet."""
        if not self.broker_url:
            return None
        return Broker(self.broker_url, expiration=self.token_expiration)

    @property
    def injection(self) -> Injection:
        """What of these goes into pods."""
        return Injection(
            cluster=self.cluster_id,
            image=self.registrar_image,
            litellm_secret=self.litellm_secret,
            broker=self.broker,
            token_audience=self.token_audience,
            mode=_AT_START[self.inject_mode],
            user=self.registrar_user,
            group=self.registrar_group,
            pull_secrets=self.registrar_pull_secrets,
            cpu_request=self.registrar_cpu_request,
            memory_request=self.registrar_memory_request,
            cpu_limit=self.registrar_cpu_limit,
            memory_limit=self.registrar_memory_limit,
        )


def _certificate_source(settings: Settings) -> list[str]:
    """Say that there is none, or more than one."""
    files = {"--tls-cert": settings.tls_cert, "--tls-key": settings.tls_key}
    given = [flag for flag, value in files.items() if value]
    if settings.tls_secret:
        return [f"{flag}: allowed only without --tls-secret" for flag in given]
    if len(given) == 1:
        return [f"{given[0]}: found alone, allowed: --tls-cert and --tls-key together"]
    if not given:
        return ["--tls-secret is missing, or --tls-cert and --tls-key: what reviews are served with"]
    return []


def _contradictions(settings: Settings) -> list[str]:
    """Say which settings do not go together."""
    given = {
        "--broker-ca": settings.broker_ca,
        "--broker-ca-configmap": settings.broker_ca_configmap,
    }
    told = [flag for flag, value in given.items() if value]
    problems = []
    if settings.lease and not settings.namespace:
        problems.append("--lease: found no --namespace, which is needed with it")
    if settings.gated_configurations and not settings.namespace:
        problems.append("--gated-configurations: found no --namespace, which is needed with it")
    if not settings.broker_url:
        return [*problems, *(f"{flag}: allowed only with --broker-url" for flag in told)]
    if len(told) != 1:
        found = "both" if told else "neither"
        problems.append(f"--broker-url: found {found} of {' and '.join(given)}, one is needed")
    if settings.broker_ca_configmap and not settings.namespace:
        problems.append("--broker-ca-configmap: found no --namespace, which is needed with it")
    if settings.litellm_secret != DEFAULT_LITELLM_SECRET:
        problems.append("--litellm-secret: allowed only without --broker-url, by which no pod gets a Secret")
    return problems
