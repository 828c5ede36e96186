"""The log: one line an event, secrets never."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from sidecar.contract import LogFormat
from sidecar.log import MOST_TOKENS, Bridge, Log, Word
from sidecar.problems import Problems
from sidecar.reasons import Reason
from tests.standins.clock import FakeClock

AT = datetime(2026, 11, 21, 6, 0, 0, 123_999, tzinfo=UTC)
SECRET = 'sk-"geheim"\n'


def lines(form: LogFormat = LogFormat.TEXT, secrets: tuple[str, ...] = ()) -> tuple[Log, list[str]]:
    """Give a log and the lines it writes."""
    written: list[str] = []
    return Log(written.append, lambda: AT, form=form, secrets=secrets), written


def test_a_line_of_text() -> None:
    """Time, word, sentence, then key=value; values that are not there are left out."""
    log, written = lines()
    log.event(
        Word.FOUND,
        "The server answers",
        engine="vllm",
        version=None,
        models=["a", "b/c:1"],
        took=1.23456,
        n=2,
    )
    assert written == [
        "2026-11-21T06:00:00.123Z FOUND      The server answers. engine=vllm models=a,b/c:1 took=1.235 n=2\n"
    ]


def test_a_line_of_json() -> None:
    """The same as one JSON object, numbers as numbers."""
    log, written = lines(LogFormat.JSON)
    log.event(Word.GONE, "Nothing is in flight", cut=0, took=36.2, names=["ä"], ok=True)
    assert json.loads(written[0]) == {
        "time": "2026-11-21T06:00:00.123Z",
        "event": "gone",
        "message": "Nothing is in flight.",
        "cut": 0,
        "took": 36.2,
        "names": ["ä"],
        "ok": True,
    }


@pytest.mark.parametrize("form", list(LogFormat))
def test_a_line_is_for_people(form: LogFormat) -> None:
    """Of five hundred models, or a name as long as a book, the beginning is shown; no half of a secret."""
    log, written = lines(form, secrets=("geheim" * 2,))
    log.event(Word.FOUND, "The server answers", models=[f"m{n}" for n in range(500)])
    log.event(Word.FOUND, "The server answers", model="a" * 994 + "geheim" * 2)
    assert "m49" in written[0]
    assert "m50" not in written[0]
    assert "and 450 more" in written[0]
    assert "geheim" not in written[1]
    assert len(written[1]) < 1200


@pytest.mark.parametrize("form", list(LogFormat))
@pytest.mark.parametrize(
    "name", ["a\nb", "a b", 'a"b', "a=b", "a\u2028b", "\x1b[31m", "\ud800", "", "a\r\n2026 SERVING fake"]
)
def test_a_server_cannot_forge_lines(form: LogFormat, name: str) -> None:
    """Whatever a server calls its models, one event is one line, and the value can be read back."""
    log, written = lines(form)
    log.event(Word.REGISTERED, "The model is in LiteLLM", name=name)
    assert len(written) == 1
    assert written[0].count("\n") == 1
    assert "\r" not in written[0]
    assert "\x1b" not in written[0]
    if form is LogFormat.TEXT:
        assert json.loads(written[0].partition("name=")[2]) == name
    else:
        assert json.loads(written[0])["name"] == name


@pytest.mark.parametrize("form", list(LogFormat))
def test_secrets_are_never_written(form: LogFormat) -> None:
    """A secret is taken out of plain values, of lists, and in the form quoting gives it."""
    log, written = lines(form, ("sk-1234", SECRET, "sk-12345"))
    log.event(
        Word.PROBLEM, "LiteLLM answers", detail=f"key sk-12345 and {SECRET}", names=["sk-1234x", SECRET]
    )
    assert "sk-1234" not in written[0]
    assert "geheim" not in written[0]
    assert "***" in written[0]


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    """A closed pipe or a full disk is no reason to stop."""

    def broken(_line: str) -> None:
        raise BrokenPipeError

    Log(broken, lambda: AT).event(Word.SERVING, "fine")


def test_what_libraries_log_becomes_a_line_of_ours() -> None:
    """An exception that asyncio reports is one line with its kind, without secrets."""
    log, written = lines(secrets=("sk-1234",))
    error = ValueError("bad sk-1234")
    info = (ValueError, error, None)
    text = "Task exception was never retrieved"
    Bridge(log).handle(logging.LogRecord("asyncio", logging.ERROR, "", 0, text, None, info))
    assert len(written) == 1
    assert "reason=internal_error source=asyncio" in written[0]
    assert "ValueError('bad ***')" in written[0]


@pytest.fixture
def problems() -> tuple[Problems, FakeClock, Callable[[], list[str]]]:
    """Give problems, their clock, and the lines they wrote, without time."""
    clock = FakeClock()
    written: list[str] = []
    log = Log(written.append, clock.today, secrets=("sk-1234",))
    return Problems(log, clock), clock, lambda: [line.split(" ", 1)[1].strip() for line in written]


Ledger = tuple[Problems, FakeClock, Callable[[], list[str]]]


async def test_a_problem_is_said_once_and_once_when_it_is_over(problems: Ledger) -> None:
    """No line repeats while nothing changes; the end says how long it lasted."""
    ledger, clock, said = problems
    ledger.say("litellm", Reason.LITELLM_UNREACHABLE, "connect")
    ledger.say("litellm", Reason.LITELLM_UNREACHABLE, "connect again")
    await clock.advance(12.5)
    ledger.clear("litellm")
    ledger.clear("litellm")
    assert said() == [
        "PROBLEM    LiteLLM cannot be reached. reason=litellm_unreachable detail=connect",
        "SOLVED     No longer so: LiteLLM cannot be reached. reason=litellm_unreachable lasted=12.5",
    ]


def test_a_changed_problem_is_said_again(problems: Ledger) -> None:
    """Another reason is another line; each subject has its own."""
    ledger, _, said = problems
    ledger.say("litellm", Reason.LITELLM_UNREACHABLE)
    ledger.say("litellm", Reason.LITELLM_WRONG_KEY)
    ledger.say("server", Reason.SERVER_TIMEOUT)
    assert [line.split("reason=")[1] for line in said()] == [
        "litellm_unreachable",
        "litellm_wrong_key",
        "server_timeout",
    ]
    assert [problem.reason for problem in ledger.current()] == [
        Reason.LITELLM_WRONG_KEY,
        Reason.SERVER_TIMEOUT,
    ]


def test_a_problem_is_over_only_by_what_disproves_it(problems: Ledger) -> None:
    """A successful read does not prove that the key may write."""
    ledger, _, said = problems
    ledger.say("litellm", Reason.LITELLM_KEY_MAY_NOT_WRITE)
    ledger.clear("litellm", only={Reason.LITELLM_UNREACHABLE})
    assert len(said()) == 1
    assert ledger.current()


def test_a_secret_is_hidden_before_it_is_cut_short(problems: Ledger) -> None:
    """The detail kept for /status holds no secret and no half of one."""
    ledger, _, _ = problems
    ledger.say("litellm", Reason.LITELLM_ERROR, "x" * 297 + "sk-1234")
    assert ledger.last is not None
    assert ledger.last.detail == "x" * 297 + "***"


async def test_what_is_over_in_time_is_never_said(problems: Ledger) -> None:
    """A moment without the broker: no line, also not that it is over."""
    ledger, clock, said = problems
    ledger.say("litellm", Reason.BROKER_UNREACHABLE, silence=5)
    await clock.advance(4.9)
    ledger.say("litellm", Reason.BROKER_UNREACHABLE, silence=5)
    ledger.clear("litellm")
    await clock.advance(4.9)
    ledger.say("litellm", Reason.BROKER_UNREACHABLE, silence=5)
    assert not said()
    assert not ledger.current()


async def test_what_lasts_is_said_once_and_counted_from_its_beginning(problems: Ledger) -> None:
    """The line comes late; what `/status` and the end say goes by when it began."""
    ledger, clock, said = problems
    began = clock.today()
    for _ in range(8):
        ledger.say("litellm", Reason.BROKER_UNREACHABLE, silence=5)
        await clock.advance(1)
    assert len(said()) == 1
    assert ledger.current()[0].since == began
    ledger.clear("litellm")
    assert said()[1].endswith("lasted=8.0")


async def test_a_read_that_succeeds_does_not_end_the_wait_of_writes(problems: Ledger) -> None:
    """Patience for a full queue runs on: only what disproves it begins it anew."""
    ledger, clock, said = problems
    ledger.say("litellm", Reason.BROKER_BUSY, silence=60)
    ledger.say("litellm", Reason.BROKER_UNREACHABLE, silence=5)
    await clock.advance(60)
    ledger.clear("litellm", only={Reason.BROKER_UNREACHABLE})
    ledger.say("litellm", Reason.BROKER_UNREACHABLE, silence=5)
    assert not said()
    ledger.say("litellm", Reason.BROKER_BUSY, silence=60)
    assert len(said()) == 1


async def test_a_moment_does_not_hide_what_was_said(problems: Ledger) -> None:
    """A problem that was said stays the one that is said, until another lasts long enough."""
    ledger, clock, said = problems
    ledger.say("litellm", Reason.LITELLM_DATABASE_DOWN)
    ledger.say("litellm", Reason.BROKER_UNREACHABLE, silence=5)
    ledger.say("litellm", Reason.LITELLM_DATABASE_DOWN)
    await clock.advance(10)
    ledger.say("litellm", Reason.BROKER_UNREACHABLE, silence=5)
    assert len(said()) == 1


def test_the_same_reason_by_another_rule_is_said_too(problems: Ledger) -> None:
    """A row that was refused by one rule is refused by another one now."""
    ledger, _, said = problems
    for rule in ("name_taken", "name_taken", "name_not_allowed"):
        ledger.say("row", Reason.BROKER_REFUSED_ROW, "m", rule=rule)
    assert [line.split("rule=")[1] for line in said()] == ["name_taken detail=m", "name_not_allowed detail=m"]


def test_tokens_are_hidden_as_they_come_and_after_they_have_gone() -> None:
    """The one of now and those before it; of very old ones, which nobody takes any more, none is kept."""
    log, _ = lines(secrets=("sk-1",))
    tokens = [f"header.payload.signature-{number:02}" for number in range(MOST_TOKENS + 2)]
    for token in tokens:
        log.conceal(token)
        log.conceal(token)
    assert [log.hide(token) for token in tokens] == tokens[:2] + ["***"] * MOST_TOKENS
    assert log.hide("sk-1") == "***"


def test_every_reason_has_one_sentence_of_its_own() -> None:
    """Sentences are whole, without a full stop (the line adds it) and different from one another."""
    sentences = [reason.sentence for reason in Reason]
    assert len(set(sentences)) == len(sentences)
    for reason in Reason:
        assert reason.sentence[0].isupper()
        assert not reason.sentence.endswith(".")
        assert reason.value == reason.name.lower()
