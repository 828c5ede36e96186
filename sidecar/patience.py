"""After something failed: what it is about, when it is tried again, and how long nobody is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sidecar.access import Failed
from sidecar.reasons import Reason

BACKOFF_FIRST: Final = 0.25
BACKOFF_MOST: Final = 30.0
# A broker's rule stays as it is until somebody changes what it is about: seconds.
REFUSED_FIRST: Final = 5.0
REFUSED_MOST: Final = 300.0
# What passes by itself soon; the answer says how long to stay away at least.
PASSING_MOST: Final = 10.0

# Nothing is wrong with these: they pass when their time has come.
PASSING: Final = frozenset({Reason.BROKER_BUSY, Reason.BROKER_NOT_YET, Reason.BROKER_POD_UNSEEN})
REFUSED: Final = frozenset({Reason.BROKER_REFUSED_ROW, Reason.BROKER_REFUSED_POD})
# A Service refuses for a moment while the broker's pods change; a new pod's address is at the API server
# within a second or two; a full queue is what a queue is for.
_SILENCE: Final[Mapping[Reason, float]] = {
    Reason.BROKER_UNREACHABLE: 5.0,
    Reason.BROKER_NO_ANSWER: 5.0,
    Reason.BROKER_WITHOUT_KUBERNETES: 5.0,
    Reason.BROKER_POD_UNSEEN: 15.0,
    Reason.BROKER_NOT_YET: 60.0,
    Reason.BROKER_BUSY: 60.0,
}
# LiteLLM behind a broker: many pods ask for it at a time, and the broker's own log has it at once.
_SILENCE_BEHIND_A_BROKER: Final = 30.0

# What an answer of any kind disproves; the rest is over only when a write has succeeded.
OVER_BY_READING: Final = frozenset(
    {
        Reason.LITELLM_UNREACHABLE,
        Reason.LITELLM_NO_ANSWER,
        Reason.LITELLM_WRONG_KEY,
        Reason.LITELLM_DATABASE_DOWN,
        Reason.BROKER_NO_TOKEN,
        Reason.BROKER_UNREACHABLE,
        Reason.BROKER_NO_ANSWER,
        Reason.BROKER_BAD_TLS,
        Reason.BROKER_REFUSED_TOKEN,
        Reason.BROKER_REFUSED_POD,
        Reason.BROKER_POD_UNSEEN,
        Reason.BROKER_NOT_YET,
        Reason.BROKER_WITHOUT_KUBERNETES,
        Reason.BROKER_WRONG_KEY,
    }
)
# The others are about LiteLLM, or the way to it.
OF_ONE_ROW: Final = frozenset(
    {
        Reason.LITELLM_NOT_LIVE,
        Reason.LITELLM_REFUSED_ROW,
        Reason.LITELLM_NOT_LICENSED,
        Reason.BROKER_REFUSED_ROW,
        Reason.INTERNAL_ERROR,
    }
)


def pause(failed: Failed, failures: int, random: float) -> float:
    """Give the seconds until the next try: longer from failure to failure, never in step with other pods.

    `failures` counts them in a row, this one too; `random` is from 0 to 1.
    """
    first, most = BACKOFF_FIRST, BACKOFF_MOST
    if failed.reason in REFUSED:
        first, most = REFUSED_FIRST, REFUSED_MOST
    elif failed.reason in PASSING:
        most = PASSING_MOST
    return failed.retry_after + min(most, first * 2.0 ** min(failures - 1, 16)) * (0.5 + 0.5 * random)


def silence(failed: Failed) -> float:
    """Give the seconds for which this must last before it is worth a line."""
    behind = failed.rule and failed.reason in {Reason.LITELLM_UNREACHABLE, Reason.LITELLM_NO_ANSWER}
    return _SILENCE_BEHIND_A_BROKER if behind else _SILENCE.get(failed.reason, 0.0)
