"""How a registrar reaches LiteLLM: with a Secret's key, or by a broker with the pod's own token. Pure."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sidecar import contract
from sidecar.broker_contract import TOKEN_FILE, TOKEN_MOUNT, TOKEN_VOLUME
from webhook.pods import objects

# Seconds. The least that the API server takes (validateProjectionSources in
# pkg/apis/core/validation/validation.go), and the age at which the kubelet renews every token (maxTTL in
# pkg/kubelet/token/token_manager.go).
MIN_EXPIRATION: Final = 600
MAX_EXPIRATION: Final = 24 * 60 * 60
# What the kubelet makes of it (1.36; collectData in pkg/volume/projected/projected.go, FsUserFrom in
# pkg/volume/util/util.go): where all containers run as the registrar's user, the file is that user's, mode
# 0600; in a pod with an fsGroup it is that group's, 0640, and the registrar is in it; in any other it is
# root's with this mode, so that "others" must be able to read. No other container mounts it.
_TOKEN_MODE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker as pods are told of it.

    `ca` is the bundle of PEM certificates that it is verified by, None while it is not known. `expiration`
    is how long a pod's token lives, in seconds; the kubelet renews it after four fifths of that
    (requiresRefresh in pkg/kubelet/token/token_manager.go).
    """

    url: str
    ca: str | None = field(default=None, repr=False)
    expiration: int = 3600


class Access(NamedTuple):
    """What a registrar's container is given to reach LiteLLM: variables, and mounts."""

    env: tuple[Mapping[str, Any], ...]
    mounts: tuple[Mapping[str, Any], ...] = ()


@functools.lru_cache(maxsize=16)
def by_secret(secret: str) -> Access:
    """Give what comes from LiteLLM's Secret; nearly all pods name the same one."""
    return Access(
        tuple(
            {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": True}}}
            for name, key in contract.SECRET_FIELDS.items()
        )
    )


@functools.lru_cache(maxsize=16)
def by_broker(broker: Broker, volume: str) -> Access:
    """Give the broker's address and bundle, and the token's file, from the pod's volume of that name."""
    told = {
        contract.ENV_LITELLM_URL: broker.url,
        contract.ENV_LITELLM_CA: broker.ca or "",
        contract.ENV_TOKEN_FILE: f"{TOKEN_MOUNT}/{TOKEN_FILE}",
    }
    return Access(
        tuple({"name": name, "value": literal(value)} for name, value in told.items()),
        ({"name": volume, "mountPath": TOKEN_MOUNT, "readOnly": True},),
    )


def token_volume(name: str, audience: str, expiration: int) -> dict[str, Any]:
    """Give the volume with the pod's token for the broker."""
    token = {"audience": audience, "expirationSeconds": expiration, "path": TOKEN_FILE}
    return {
        "name": name,
        "projected": {"defaultMode": _TOKEN_MODE, "sources": [{"serviceAccountToken": token}]},
    }


def free_name(spec: Mapping[str, Any]) -> str:
    """Give a name that no volume of the pod has: ours, or ours with a number."""
    taken = volumes(spec)
    numbered = (f"{TOKEN_VOLUME}-{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([TOKEN_VOLUME], numbered) if name not in taken)


def volumes(spec: Mapping[str, Any]) -> frozenset[str]:
    """Give the names of the pod's volumes."""
    return frozenset(str(volume.get("name")) for _, volume in objects(spec.get("volumes")))


def mounted(container: Mapping[str, Any]) -> str:
    """Give the name of the volume that a registrar has its token from; empty if it has none."""
    mounts = objects(container.get("volumeMounts"))
    return next((str(item.get("name")) for _, item in mounts if item.get("mountPath") == TOKEN_MOUNT), "")


def literal(value: str) -> str:
    """Escape a literal for the kubelet, which expands `$(NAME)` and takes `$$` for `$`.

    See third_party/forked/golang/expansion in Kubernetes: `$$` becomes `$` wherever it stands, so every
    `$` is doubled, not only one before a bracket.
    """
    return value.replace("$", "$$")
