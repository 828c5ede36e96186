"""How long until something is tried again, and how long nobody hears of it."""

import pytest

from sidecar.access import Failed
from sidecar.patience import BACKOFF_MOST, PASSING_MOST, REFUSED_MOST, pause, silence
from sidecar.reasons import Reason


@pytest.mark.parametrize(
    ("reason", "first", "most"),
    [
        (Reason.LITELLM_UNREACHABLE, 0.25, BACKOFF_MOST),
        (Reason.BROKER_UNREACHABLE, 0.25, BACKOFF_MOST),
        (Reason.BROKER_REFUSED_TOKEN, 0.25, BACKOFF_MOST),
        (Reason.BROKER_REFUSED_ROW, 5.0, REFUSED_MOST),
        (Reason.BROKER_REFUSED_POD, 5.0, REFUSED_MOST),
        (Reason.BROKER_BUSY, 0.25, PASSING_MOST),
        (Reason.BROKER_NOT_YET, 0.25, PASSING_MOST),
    ],
)
def test_pauses_grow_to_their_bound(reason: Reason, first: float, most: float) -> None:
    """A Service that refuses for a moment is asked again at once, a rule that refuses ever more rarely."""
    failed = Failed(reason, "")
    pauses = [pause(failed, failures, 1.0) for failures in range(1, 200)]
    assert (pauses[0], pauses[-1]) == (first, most)
    assert pauses == sorted(pauses)
    assert pause(failed, 1, 0.0) == first / 2


def test_retry_after_is_the_least() -> None:
    """What the broker asks for is kept, and on top of it nobody comes back in step."""
    failed = Failed(Reason.BROKER_BUSY, "", retry_after=7.0)
    assert 7.0 < pause(failed, 1, 0.0) < pause(failed, 1, 1.0) <= 7.25


def test_only_what_passes_by_itself_is_kept_quiet() -> None:
    """A moment without the broker, a full queue; never what somebody must put right, nor LiteLLM's faults."""
    quiet = {reason: seconds for reason in Reason if (seconds := silence(Failed(reason, "")))}
    assert quiet == {
        Reason.BROKER_UNREACHABLE: 5.0,
        Reason.BROKER_NO_ANSWER: 5.0,
        Reason.BROKER_WITHOUT_KUBERNETES: 5.0,
        Reason.BROKER_POD_UNSEEN: 15.0,
        Reason.BROKER_NOT_YET: 60.0,
        Reason.BROKER_BUSY: 60.0,
    }


def test_litellm_behind_a_broker_is_given_a_moment() -> None:
    """Its overload meets many pods at once; a LiteLLM that a pod asks itself is said at once."""
    assert silence(Failed(Reason.LITELLM_NO_ANSWER, "", rule="cannot_ask_litellm")) == 30.0
    assert silence(Failed(Reason.LITELLM_NO_ANSWER, "")) == 0.0
    assert silence(Failed(Reason.BROKER_REFUSED_ROW, "", rule="name_taken")) == 0.0
