"""The file of defaults, as it is followed."""

from __future__ import annotations

from collections.abc import Callable

from webhook.config import ConfigError
from webhook.defaults import Defaults, parse
from webhook.followed_file import FollowedFile
from webhook.log import Log


def defaults_file(
    path: str, log: Log, use: Callable[[Defaults], None], *, by_broker: bool = False
) -> FollowedFile[Defaults]:
    """Give the file of defaults; without a path there are none. With `by_broker` none may name a Secret."""
    return FollowedFile(
        path,
        "defaults",
        log,
        parse=_parse_by_broker if by_broker else parse,
        use=use,
        told=lambda defaults: {"namespaces": len(defaults.namespaces)},
    )


def _parse_by_broker(text: str) -> Defaults:
    found = parse(text)
    sections = {"defaults": found.cluster}
    if found.cluster.litellm_secret is None:  # or every namespace had it from there
        sections |= {f"namespaces.{name}": wishes for name, wishes in found.namespaces.items()}
    problems = [
        f"{name}.litellm-secret: allowed only without --broker-url, by which no pod gets a Secret"
        for name, wishes in sections.items()
        if wishes.litellm_secret is not None
    ]
    if problems:
        raise ConfigError(problems)
    return found
