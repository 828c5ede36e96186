"""The file of names, as it is followed."""

from __future__ import annotations

from collections.abc import Callable

from webhook.broker.names import Names
from webhook.broker.names_document import parse
from webhook.followed_file import FollowedFile
from webhook.log import Log


def names_file(path: str, log: Log, use: Callable[[Names], None]) -> FollowedFile[Names]:
    """Give the names file; with an empty path there is none."""
    return FollowedFile(
        path, "names", log, parse=parse, use=use, told=lambda names: {"namespaces": len(names.entries)}
    )
