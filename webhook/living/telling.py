"""What is found of an object that lives is told twice: by an Event on it, and in the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from webhook.kube.events import Events
from webhook.living.pods import Said
from webhook.log import Log

# Things that are told at once, and the seconds between two looks: fewer than Events are written meanwhile
# (ten a second), so that none is lost however many there are.
AT_ONCE: Final = 40
PAUSE: Final = 5.0


def tell(found: Iterable[Said], events: Events, log: Log) -> None:
    """Have it written; at most `AT_ONCE` of them, and then nothing for `PAUSE`."""
    for about, problem in found:
        events.say(about, problem.reason, str(problem))
        log.say(
            "LIVING",
            problem.message,
            reason=problem.reason,
            namespace=about["namespace"],
            **{about["kind"].lower(): about["name"]},
        )
