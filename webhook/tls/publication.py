"""Where a CA bundle is published: what each place says now, and how to change that and nothing else. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol

from webhook.patch import pointer
from webhook.tls.certificates import bundle

JSON = dict[str, Any]

ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
# Webhooks of these names are ours, whatever object they are in and whatever else is in it.
OUR_WEBHOOKS: Final = ("*.litellm-registrar.io",)
BUNDLE_KEY: Final = "ca-bundle.crt"

# So many writes within this time (seconds) are at once; every further one waits twice as long as the last.
_AT_ONCE: Final = 5
_WITHIN: Final = 600.0
_FIRST_WAIT: Final = 5.0
_LONGEST_WAIT: Final = 120.0


class State(StrEnum):
    """What is to be said of one object that publishes; one name for log line and metric."""

    GOOD = "good"
    ABSENT = "absent"
    NO_WEBHOOK = "no_webhook"  # none in it is ours
    UNREADABLE = "unreadable"
    REFUSED = "refused"  # it may not be changed
    FOUGHT_OVER = "fought_over"  # another hand changes it again and again


@dataclass(frozen=True, slots=True)
class Place:
    """One place that clients go by, and the certificates there (PEM) by fingerprint."""

    where: str
    bundle: Mapping[str, bytes]


class Target(Protocol):
    """An object with such places. `found` is None where there is no such object."""

    @property
    def path(self) -> str:
        """Give its path in the Kubernetes API."""

    def places(self, found: JSON | None) -> tuple[Place, ...]:
        """Read its places."""

    def ops(self, found: JSON, pem: bytes) -> list[JSON]:
        """Give the JSON Patch after which every place holds this bundle, if the object is still this one."""

    def new(self, pem: bytes) -> JSON | None:
        """Give the object to create where there is none; None if somebody else has to."""


@dataclass(frozen=True, slots=True)
class WebhookConfiguration:
    """The `caBundle` of the webhooks of ours in one configuration, chosen by their names."""

    kind: str
    name: str
    ours: tuple[str, ...] = OUR_WEBHOOKS

    @property
    def path(self) -> str:
        """Give its path; `kind` is `mutatingwebhookconfigurations` or `validatingwebhookconfigurations`."""
        return f"{ADMISSION}/{self.kind}/{self.name}"

    def places(self, found: JSON | None) -> tuple[Place, ...]:
        """Read the webhooks of ours; an absent configuration is none: nobody goes by it."""
        return tuple(
            Place(f"{self.kind}/{self.name} {webhook['name']}", bundle(_decoded(_ca_bundle(webhook))))
            for _, webhook in self._webhooks(found)
        )

    def ops(self, found: JSON, pem: bytes) -> list[JSON]:
        """Give the JSON Patch for those webhooks of ours that do not hold exactly this bundle."""
        wanted = base64.b64encode(pem).decode()
        changes = [
            {"op": "add", "path": pointer("webhooks", index, "clientConfig", "caBundle"), "value": wanted}
            for index, webhook in self._webhooks(found)
            if _ca_bundle(webhook) != wanted
        ]
        return [_unchanged(found), *changes] if changes else []

    def new(self, pem: bytes) -> JSON | None:
        """Give nothing: whoever installs the webhook makes its configuration."""

    def _webhooks(self, found: JSON | None) -> list[tuple[int, JSON]]:
        webhooks = (found or {}).get("webhooks") or ()
        return [
            (index, webhook)
            for index, webhook in enumerate(webhooks)
            if any(fnmatchcase(webhook["name"], pattern) for pattern in self.ours)
        ]


@dataclass(frozen=True, slots=True)
class ConfigMapKey:
    """A bundle as a ConfigMap's key; where there is no such ConfigMap it is made."""

    namespace: str
    name: str
    key: str = BUNDLE_KEY

    @property
    def collection(self) -> str:
        """Give the path of the namespace's ConfigMaps."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    @property
    def path(self) -> str:
        """Give its path."""
        return f"{self.collection}/{self.name}"

    def places(self, found: JSON | None) -> tuple[Place, ...]:
        """Read the key; an absent ConfigMap publishes nothing, but is going to."""
        return (Place(f"configmaps/{self.name} {self.key}", bundle(self._pem(found).encode())),)

    def ops(self, found: JSON, pem: bytes) -> list[JSON]:
        """Give the JSON Patch that writes the key, unless it holds exactly this bundle."""
        wanted = pem.decode()
        if self._pem(found) == wanted:
            return []
        if not found.get("data"):
            change = {"op": "add", "path": "/data", "value": {self.key: wanted}}
        else:
            change = {"op": "add", "path": pointer("data", self.key), "value": wanted}
        return [_unchanged(found), change]

    def new(self, pem: bytes) -> JSON | None:
        """Give the ConfigMap."""
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "labels": {"app.kubernetes.io/managed-by": "litellm-registrar"}},
            "data": {self.key: pem.decode()},
        }

    def _pem(self, found: JSON | None) -> str:
        text = ((found or {}).get("data") or {}).get(self.key, "")
        return text if isinstance(text, str) else ""


def webhook_configurations(
    names: Sequence[str], ours: tuple[str, ...] = OUR_WEBHOOKS
) -> tuple[WebhookConfiguration, ...]:
    """Give the mutating and the validating configurations of these names."""
    kinds = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    return tuple(WebhookConfiguration(kind, name, ours) for name in names for kind in kinds)


def managers(found: JSON, own: str) -> list[str]:
    """Name who else manages fields of this object (kubernetes.io, "Server-Side Apply", `managedFields`).

    Who only takes a field away is not written down there (tried on 1.36).
    """
    entries = found["metadata"].get("managedFields") or ()
    return sorted({str(entry.get("manager")) for entry in entries} - {own})


@dataclass(frozen=True, slots=True)
class Patience:
    """How often an object was written lately, and how long the next write has to wait; times in seconds."""

    writes: tuple[float, ...] = ()

    def wrote(self, now: float) -> Patience:
        """Count a write, or an attempt."""
        return replace(self, writes=(*self._lately(now), now))

    def wait(self, now: float) -> float:
        """Give the seconds until the next write; 0 is at once."""
        lately = self._lately(now)
        if len(lately) < _AT_ONCE:
            return 0.0
        pause = min(_FIRST_WAIT * 2.0 ** (len(lately) - _AT_ONCE), _LONGEST_WAIT)
        return max(0.0, lately[-1] + pause - now)

    def calm(self, now: float) -> float:
        """Give the seconds until nothing of it is remembered, if nothing is written until then."""
        lately = self._lately(now)
        return lately[-1] + _WITHIN - now if lately else 0.0

    def _lately(self, now: float) -> tuple[float, ...]:
        return tuple(at for at in self.writes if at > now - _WITHIN)


def _ca_bundle(webhook: JSON) -> str:
    return str((webhook.get("clientConfig") or {}).get("caBundle") or "")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""


def _unchanged(found: JSON) -> JSON:
    """Have the patch refused with 409 unless the object is at this version.

    (A `test` op would do as well; it fails as 422 `Invalid`, like a patch that is really bad. Tried on 1.36.)
    """
    version = found["metadata"]["resourceVersion"]
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
