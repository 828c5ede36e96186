"""The file of the policy, as it is followed, and the policy that ships."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

from webhook.followed_file import FollowedFile
from webhook.log import Log
from webhook.policy.document import parse
from webhook.policy.policy import Policy
from webhook.policy.table import RULES

# What stands for the policy that ships where a path is asked for.
SHIPPED: Final = "default"


def shipped_path() -> Path:
    """Give the file of the policy that ships."""
    return Path(str(resources.files("webhook.policy") / "default.yaml"))


def policy_file(setting: str, log: Log, use: Callable[[Policy], None]) -> FollowedFile[Policy]:
    """Give the policy's file: a path, `default` for the one that ships; with nothing there is none."""
    path = str(shipped_path()) if setting == SHIPPED else setting
    return FollowedFile(
        path,
        "policy",
        log,
        parse=lambda text: parse(text, RULES),
        use=use,
        told=lambda policy: {
            "policy": policy.name,
            "hash": policy.hash,
            "namespaces": len(policy.overrides),
            "exceptions": len(policy.exceptions),
        },
    )
