"""Settings of a process that serves by certificates of its own, kept in a Secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from webhook import values
from webhook.flags import SECONDS, setting
from webhook.serving_settings import ServingSettings

# Certificates tell times in whole seconds: in less than this nothing can be renewed.
_SHORTEST: Final = 10
_DAY: Final = 86400.0
# Certificates are backdated by so many skews, and renewed after two thirds of what they say they live for:
# what lives for half of the former after it is made would be renewed at once, again and again.
BACKDATED: Final = 24
_SKEWS: Final = BACKDATED // 2
# As many overlaps have to fit into the life of a CA: the next one is made after two thirds of it.
_OVERLAPS: Final = 3
_FOR_TESTS: Final = "another value only for tests of one's own rotation"


def _name(text: str) -> str:
    return values.matching(values.DNS_NAME)(text)


def _objects(text: str) -> tuple[str, ...]:
    return tuple(_name(one.strip()) for one in text.split(","))


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(values.host(one.strip()) for one in text.split(","))


def _lifetime(text: str) -> float:
    value: float = SECONDS[0](text)
    if value < _SHORTEST:
        raise ValueError
    return value


NAME: Final = (_name, "a name as Kubernetes takes it: a-z, 0-9, '-' and '.'")
NAMES: Final = (_objects, "names as Kubernetes takes them, with commas between")
_HOSTS: Final = (_hosts, "host names and IP addresses, with commas between")
_LIFETIME: Final = (_lifetime, f"a number of seconds, {_SHORTEST} or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSettings(ServingSettings):
    """Where the Secret is, who the certificate is for, how long things live; times in seconds."""

    tls_secret: str = field(
        default="",
        metadata=setting(
            "Secret in --namespace with a CA of one's own and the certificate by it: made if it is "
            "not there, renewed, and served by every replica",
            *NAME,
        ),
    )
    namespace: str = field(
        default="", metadata=setting("namespace of the process's own Service, Secrets and Leases", *NAME)
    )
    service: str = field(
        default="",
        metadata=setting("Service that clients reach the process by: its certificate is for that", *NAME),
    )
    tls_names: tuple[str, ...] = field(
        default=(), metadata=setting("what else the certificate is for", *_HOSTS)
    )
    tls_ca_lifetime: float = field(
        default=3650 * _DAY,
        metadata=setting(
            f"how long the CA lives; it is changed after two thirds of that; {_FOR_TESTS}", *_LIFETIME
        ),
    )
    tls_leaf_lifetime: float = field(
        default=90 * _DAY,
        metadata=setting(
            f"how long the certificate lives; it is renewed after two thirds of that; {_FOR_TESTS}",
            *_LIFETIME,
        ),
    )
    tls_overlap: float = field(
        default=_DAY,
        metadata=setting(
            f"how long a new CA is published before certificates by it are served; {_FOR_TESTS}",
            *SECONDS,
        ),
    )
    tls_clock_skew: float = field(
        default=3600.0,
        metadata=setting(f"how far clocks may be off, of machines and clients; {_FOR_TESTS}", *SECONDS),
    )
    kubeconfig: str = field(
        default="", metadata=setting("kubeconfig to reach the API server by; empty in a pod")
    )

    @property
    def tls_hosts(self) -> tuple[str, ...]:
        """What the certificate is for: the Service, as the API server and pods call it, and `tls_names`.

        (The API server calls `NAME.NAMESPACE.svc`: admissionregistration.k8s.io/v1 WebhookClientConfig.)
        """
        own = f"{self.service}.{self.namespace}.svc"
        return (*((own, f"{own}.cluster.local") if self.service else ()), *self.tls_names)

    def certificate_problems(self) -> list[str]:
        """Say what `--tls-secret` lacks."""
        problems = []
        if self.tls_secret and not self.namespace:
            problems.append("--tls-secret: found no --namespace, which is needed with it")
        if self.tls_secret and not self.tls_hosts:
            problems.append("--tls-secret: found neither --service nor --tls-names, one is needed")
        if self.tls_clock_skew * _SKEWS >= self.tls_leaf_lifetime:
            less = f"less than a {_SKEWS}th of --tls-leaf-lifetime"
            problems.append(f"--tls-clock-skew: found {self.tls_clock_skew:g}, allowed: {less}")
        if self.tls_overlap * _OVERLAPS >= self.tls_ca_lifetime:
            less = "less than a third of --tls-ca-lifetime"
            problems.append(f"--tls-overlap: found {self.tls_overlap:g}, allowed: {less}")
        return problems
