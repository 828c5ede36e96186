"""The file of defaults, as it is followed."""

from __future__ import annotations

from collections.abc import Callable

from webhook.defaults import Defaults, parse
from webhook.followed_file import FollowedFile
from webhook.log import Log


def defaults_file(path: str, log: Log, use: Callable[[Defaults], None]) -> FollowedFile[Defaults]:
    """Give the file of defaults; without a path there are none."""
    return FollowedFile(
        path,
        "defaults",
        log,
        parse=parse,
        use=use,
        told=lambda defaults: {"namespaces": len(defaults.namespaces)},
    )
