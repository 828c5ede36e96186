"""The webhook's log lines."""

import io
import json
import logging
from datetime import UTC, datetime
from typing import NoReturn

import pytest

from sidecar.contract import LogFormat
from webhook.log import LibraryHandler, Log


def _now() -> datetime:
    return datetime(2026, 11, 21, 6, 0, 0, 7000, UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("qwen-0", "k=qwen-0"),
        ("", 'k=""'),
        ("a b", 'k="a b"'),
        ("a=b", 'k="a=b"'),
        ('a"b', r'k="a\"b"'),
        ("a\nb", 'k="a b"'),
        ("a\x1b[31m", r'k="a\\x1b[31m"'),
        ("\ud800", r'k="\\ud800"'),
        ("é", 'k="é"'),
        ("x" * 256, "k=" + "x" * 256),
        ("x" * 257, 'k="' + "x" * 255 + '…"'),
        (7, "k=7"),
        (0.25, "k=0.25"),
    ],
)
def test_a_value_is_quoted_where_it_must_be(value: str | float, shown: str) -> None:
    """One line, printable, at most 256 characters of a value; plain ASCII words stand bare."""
    stream = io.StringIO()
    Log(stream, now=_now).say("DENIED", "No.", k=value)
    assert stream.getvalue() == f"2026-11-21T06:00:00.007Z DENIED   No. {shown}\n"


def test_a_value_of_none_is_left_out() -> None:
    """What is not known has no key, in both formats."""
    for style, line in (
        (LogFormat.TEXT, "2026-11-21T06:00:00.007Z STARTED  Here.\n"),
        (
            LogFormat.JSON,
            '{"time": "2026-11-21T06:00:00.007Z", "event": "started", "message": "Here."}\n',
        ),
    ):
        stream = io.StringIO()
        Log(stream, style, _now).say("STARTED", "Here", reason=None)
        assert stream.getvalue() == line


def test_json_lines_hold_any_value() -> None:
    """A line of JSON is one line, its values cleaned like those of the text."""
    stream = io.StringIO()
    Log(stream, LogFormat.JSON, _now).say("DENIED", "a\nb", k="c\nd", n=1.5)
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line) == {
        "time": "2026-11-21T06:00:00.007Z",
        "event": "denied",
        "message": "a b.",
        "k": "c d",
        "n": 1.5,
    }


def test_a_log_that_cannot_be_written_does_not_fail_the_request() -> None:
    """A full disk or a closed pipe loses lines, nothing else."""

    class Full(io.StringIO):
        def write(self, _: str) -> NoReturn:
            raise OSError(28, "No space left on device")

    Log(Full()).say("ALLOWED", "Lost")


def test_what_the_libraries_say_is_a_line_without_their_errors_text() -> None:
    """Of an exception only the type is told; anything below a warning is not told."""
    stream = io.StringIO()
    logger, handler = logging.getLogger("a.library"), LibraryHandler(Log(stream, now=_now))
    logger.addHandler(handler)
    logger.info("not told")
    try:
        int("sk-secret")
    except ValueError:
        logger.exception("Error handling request from %s", "10.0.0.1")
    logger.removeHandler(handler)
    assert stream.getvalue() == (
        "2026-11-21T06:00:00.007Z ERROR    Error handling request from 10.0.0.1. "
        "logger=a.library error=ValueError\n"
    )
