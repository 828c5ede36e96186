"""What people wish of the registrar, and how nearer wishes go over farther ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sidecar.contract import Alias, CloudModels, LogFormat, Override, Probing, ServedNames, WhenAsleep


class PreStop(StrEnum):
    """What becomes of a preStop hook that the server container already has."""

    KEEP = "keep"
    REPLACE = "replace"


class InjectMode(StrEnum):
    """How the registrar stands in the pod: a native sidecar, or an ordinary container."""

    NATIVE = "native"
    CONTAINER = "container"


class Wishes(NamedTuple):
    """What annotations and defaults say; None where they say nothing. Times in seconds."""

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
    include: str | None = None
    exclude: str | None = None
    aliases: tuple[Alias, ...] | None = None
    served_names: ServedNames | None = None
    cloud_models: CloudModels | None = None
    when_asleep: WhenAsleep | None = None
    probing: Probing | None = None
    overrides: tuple[Override, ...] | None = None
    model_info: Mapping[str, Any] | None = None
    litellm_params: Mapping[str, Any] | None = None


NOTHING: Final = Wishes()
# What nearer and farther settings are put together of, key by key.
_OBJECTS: Final = ("model_info", "litellm_params")


def over(base: Wishes, nearer: Mapping[str, Any]) -> Wishes:
    """Put nearer wishes, by field, over others.

    A nearer one replaces a farther one, of the objects key by key. Overrides are put one after the other, the
    nearer ones last: the last one that matches counts most. A key that the nearer objects say for every model
    goes over farther overrides too.
    """
    if base is NOTHING:
        return Wishes(**nearer)
    merged = dict(nearer)
    for name in _OBJECTS:
        if name in merged:
            merged[name] = {**(getattr(base, name) or {}), **merged[name]}
    info, params = (nearer.get(name, {}) for name in _OBJECTS)
    farther = base.overrides or ()
    if info or params:
        farther = tuple(
            Override(said.match, _without(said.model_info, info), _without(said.litellm_params, params))
            for said in farther
        )
    if farther:
        merged["overrides"] = (*farther, *nearer.get("overrides", ()))
    return base._replace(**merged)


def _without(said: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key not in keys}
