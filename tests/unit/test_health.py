"""How well the server is, and which models are gone: pure judgement over scripted observations."""

import pytest

from sidecar.health import (
    Condition,
    Health,
    Roster,
    judge,
    poll_after,
    update,
)
from sidecar.reasons import Reason
from sidecar.servers.shapes import Ambiguous, Answer, Asleep, Model, Observation, Refused

REFUSED = Refused("/v1/models: connection refused")
SLOW = Ambiguous(Reason.SERVER_TIMEOUT, "no answer within 5 s")
ERROR = Ambiguous(Reason.SERVER_ERROR, "/v1/models: HTTP 500")


def serving(*models: str, engine: str = "vllm") -> Answer:
    """Give an answer with these models."""
    return Answer(engine, None, tuple(Model(model) for model in models), gauges=True)


def after(*script: tuple[float, Observation], had_models: bool = True) -> Health:
    """Give the health after these observations at these times."""
    health = Health()
    for now, seen in script:
        health = judge(health, seen, now, had_models=had_models)
    return health


def test_an_answer_with_models_is_well() -> None:
    """One good answer is enough, whatever was before."""
    assert after((0, REFUSED), (5, REFUSED), (6, serving("m"))) == Health(Condition.WELL)


def test_one_refusal_is_a_hiccup() -> None:
    """A single refused connection changes nothing yet."""
    health = after((0, serving("m")), (5, REFUSED))
    assert (health.condition, health.reason) == (Condition.HICCUP, Reason.SERVER_REFUSED)


def test_two_refusals_a_second_apart_are_ill() -> None:
    """Nothing listens, and nothing listens a second later: ill."""
    health = after((0, serving("m")), (5, REFUSED), (6, REFUSED))
    assert (health.condition, health.reason) == (Condition.ILL, Reason.SERVER_REFUSED)


def test_refusals_less_than_a_second_apart_count_once() -> None:
    """Quick polls do not make a quick verdict."""
    quick = [(5 + n * 0.25, REFUSED) for n in range(4)]
    assert after((0, serving("m")), *quick).condition is Condition.HICCUP
    assert after((0, serving("m")), *quick, (6.0, REFUSED)).condition is Condition.ILL


def test_refusals_in_a_row_are_interrupted_by_anything_else() -> None:
    """Refused, slow, refused is no row of refusals."""
    assert after((0, serving("m")), (5, REFUSED), (6, SLOW), (7, REFUSED)).condition is Condition.HICCUP


@pytest.mark.parametrize("sign", [SLOW, ERROR, Ambiguous(Reason.SERVER_NOT_READY, ""), serving()])
def test_ambiguous_signs_for_30_seconds_are_ill(sign: Observation) -> None:
    """Timeouts, errors, a failing readiness probe or an empty list: ill after 30 s, not before."""
    script = [(0.0, serving("m")), *((5.0 + n, sign) for n in range(30))]
    assert after(*script).condition is Condition.HICCUP
    assert after(*script, (35.0, sign)).condition is Condition.ILL


def test_the_30_seconds_begin_with_the_first_sign_of_any_kind() -> None:
    """Changing signs do not start the time anew; a good answer does."""
    assert after((0, SLOW), (10, ERROR), (20, REFUSED), (29, SLOW)).condition is Condition.HICCUP
    assert after((0, SLOW), (10, ERROR), (20, REFUSED), (30, SLOW)).condition is Condition.ILL
    assert after((0, SLOW), (20, serving("m")), (21, SLOW), (50, SLOW)).condition is Condition.HICCUP


def test_ill_stays_ill_until_a_good_answer() -> None:
    """A dead server that comes back loading is not better yet; the reason follows."""
    health = after((0, REFUSED), (1, REFUSED), (2, Ambiguous(Reason.SERVER_LOADING, "")))
    assert (health.condition, health.reason) == (Condition.ILL, Reason.SERVER_LOADING)


def test_a_sleeping_server_is_ill_at_once_and_well_when_it_wakes() -> None:
    """It says so itself: nothing to wait for; the first good answer ends it."""
    asleep = Asleep("vllm says that it sleeps")
    health = after((0, serving("m")), (5, asleep))
    assert (health.condition, health.reason) == (Condition.ILL, Reason.SERVER_ASLEEP)
    assert after((0, serving("m")), (5, asleep), (6, serving("m"))) == Health(Condition.WELL)
    assert gone(None, None, None, None) == {"a", "b"}


def test_an_empty_list_where_models_were_is_doubtful() -> None:
    """An engine other than Ollama that lists nothing is doubtful once it had models."""
    health = after((0, serving("m")), (5, serving()))
    assert (health.condition, health.reason) == (Condition.HICCUP, Reason.NO_MODELS)


def test_an_empty_ollama_is_well() -> None:
    """Ollama lists nothing when its last model was removed: that is an answer."""
    health = after((0, serving("m", engine="ollama")), (5, serving(engine="ollama")))
    assert (health.condition, health.reason) == (Condition.WELL, Reason.NO_MODELS)


def test_an_empty_list_where_no_models_were_is_waited_with() -> None:
    """A server that never served anything is well and has no models."""
    health = after((0, serving()), (60, serving()), had_models=False)
    assert (health.condition, health.reason) == (Condition.WELL, Reason.NO_MODELS)


def gone(*script: Answer | None) -> set[str]:
    """Give the models that are left of "a" and "b" after these answers."""
    roster = update(Roster({}), serving("a", "b"))
    for answer in script:
        roster = update(roster, answer)
    return set(roster.missing)


def test_a_model_is_gone_after_three_good_answers_without_it() -> None:
    """Two answers without it are not enough, the third is."""
    assert gone(serving("a"), serving("a")) == {"a", "b"}
    assert gone(serving("a"), serving("a"), serving("a")) == {"a"}


def test_a_model_that_is_back_starts_anew() -> None:
    """Missing twice, there once, missing twice: it stays."""
    assert gone(serving("a"), serving("a"), serving("b", "a"), serving("a"), serving("a")) == {"a", "b"}


def test_no_answer_is_no_answer_without_the_model() -> None:
    """A hiccup between good answers starts the count anew and removes nothing."""
    assert gone(serving("a"), serving("a"), None, serving("a"), serving("a")) == {"a", "b"}
    assert gone(*[None] * 20) == {"a", "b"}


def test_new_models_join_at_once() -> None:
    """A model is wanted from the first answer that lists it."""
    assert "c" in update(Roster({"a": 0}), serving("a", "c"))


@pytest.mark.parametrize(
    ("health", "serving", "interval", "expected"),
    [
        (Health(), False, 5.0, 0.25),
        (Health(Condition.ILL, Reason.SERVER_REFUSED), False, 5.0, 0.25),
        (Health(Condition.WELL), True, 5.0, 5.0),
        (Health(Condition.WELL), True, 0.1, 0.1),
        (Health(Condition.HICCUP, Reason.SERVER_REFUSED), True, 5.0, 1.0),
        (Health(Condition.HICCUP, Reason.SERVER_TIMEOUT), True, 5.0, 1.0),
        (Health(Condition.ILL, Reason.SERVER_REFUSED), True, 5.0, 0.25),
        (Health(Condition.ILL, Reason.SERVER_TIMEOUT), True, 5.0, 1.0),
    ],
)
def test_how_soon_the_server_is_looked_at_again(
    health: Health, *, serving: bool, interval: float, expected: float
) -> None:
    """Quickly while waiting, every 5 s while serving, each second while something is wrong."""
    assert poll_after(health, serving=serving, poll_interval=interval) == expected
